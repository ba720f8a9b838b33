"""An empty place to roll out in."""

from pathlib import Path

import pytest

from chexpert.testing.rollouts import RolloutSite


@pytest.fixture
def site(tmp_path: Path) -> RolloutSite:
    return RolloutSite.create(tmp_path)
