"""A real bare repository with one empty environment, commented as a person would."""

from pathlib import Path

import pytest

from chexpert.domain.places import Places
from chexpert.gitops.repository import seed

EMPTY = """\
# yaml-language-server: $schema=inferenceservice.json
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: chexpert  # the model's name in every URL
  annotations:
    serving.kserve.io/deploymentMode: Standard
    serving.kserve.io/autoscalerClass: none
spec:
  # Written by the first promotion.
  predictor: {}
"""


@pytest.fixture
def empty() -> str:
    return EMPTY


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    for environment in ("production", "staging"):
        folder = tmp_path / "kserve" / environment
        folder.mkdir(parents=True)
        (folder / "inferenceservice.yaml").write_text(EMPTY)
    seed(tmp_path / "gitops.git", tmp_path / "kserve")
    return tmp_path / "gitops.git"


@pytest.fixture
def places(bare: Path) -> Places:
    return Places(gitops=str(bare))
