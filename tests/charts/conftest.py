"""The chart of the platform, rendered."""

from pathlib import Path

import pytest

from rendering import Manifest, render_chart

CHART = Path(__file__).resolve().parents[2] / "charts" / "chexpert"


@pytest.fixture(scope="session")
def chart() -> Path:
    """Its folder."""
    return CHART


@pytest.fixture(scope="session")
def bundled() -> list[Manifest]:
    """With nothing stated: every store bundled."""
    return render_chart(CHART)


@pytest.fixture(scope="session")
def external() -> list[Manifest]:
    """With database, object store and Secrets of the hospital's own."""
    return render_chart(CHART, [CHART / "values" / "production.yaml"])
