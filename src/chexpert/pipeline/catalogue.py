"""The steps of both workflows: what each takes and gives. A test holds this against the YAML under argo/workflows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chexpert.pipeline.step import VERDICT, Parameter, StepDeclaration

__all__ = ["STEPS"]

_PROFILE: Final = Parameter("profile", "name of the profile that states the floors")

_DECLARATIONS: Final = (
    StepDeclaration(
        name="ingest",
        function="chexpert.pipeline.steps.ingest:run",
        parameters=(
            Parameter("source", "folder or URL with the images, in the CheXpert CSV layout or one folder per label"),
            Parameter("feedback", "URL of the label events to add; empty: <objects>/feedback", default=""),
            Parameter("size", "pixels per side of the training images"),
            Parameter("limit", "train on at most so many images; 0: all", default="0"),
        ),
        outputs=("manifest", "shards", "increment", VERDICT),
    ),
    StepDeclaration(
        name="train",
        function="chexpert.pipeline.steps.train:run",
        parameters=(
            Parameter("network", "name of a network, such as small-cnn or densenet121"),
            Parameter("epochs", "passes over the training rows; 0: as many as the network's recipe says", default="0"),
            Parameter("seed", "of initialisation and order", default="0"),
        ),
        inputs=("manifest", "shards"),
        outputs=("model",),
        imports=("torch", "lightning", "timm", "mlflow"),
    ),
    StepDeclaration(
        name="evaluate",
        function="chexpert.pipeline.steps.evaluate:run",
        parameters=(_PROFILE,),
        inputs=("manifest", "shards", "model-cnn", "model-vit"),
        outputs=("evaluation", "report", VERDICT),
        imports=("torch", "scipy.stats"),
    ),
    StepDeclaration(
        name="optimise",
        function="chexpert.pipeline.steps.optimise:run",
        inputs=("manifest", "shards", "evaluation"),
        outputs=("bundle", "variants", VERDICT),
        imports=("onnx", "onnxscript", "onnxruntime"),
    ),
    StepDeclaration(
        name="register",
        function="chexpert.pipeline.steps.register:run",
        inputs=("bundle", "evaluation", "evaluate-verdict", "optimise-verdict"),
        outputs=("version",),
        imports=("mlflow",),
    ),
    StepDeclaration(
        name="stage",
        function="chexpert.pipeline.steps.stage:run",
        inputs=("version", "bundle"),
        outputs=("staged",),
    ),
    StepDeclaration(
        name="load-test",
        function="chexpert.pipeline.steps.load_test:run",
        inputs=("manifest", "staged"),
        outputs=("report", "measurements", VERDICT),
    ),
    StepDeclaration(
        name="propose",
        function="chexpert.pipeline.steps.propose:run",
        inputs=("version", "bundle", "evaluation", "evaluate-verdict", "optimise-verdict", "load-test-verdict"),
        outputs=("pull-request",),
    ),
    StepDeclaration(
        name="advance",
        function="chexpert.pipeline.steps.advance:run",
        parameters=(
            Parameter("environment", "which environment to move: staging or production"),
            Parameter("merge", "auto: merge the pull request; wait: leave it to a person", default="wait"),
            Parameter("profile", "production or demo: how many answers a stage needs", default="production"),
            Parameter(
                "baseline",
                "what an input shift is told by: bundle, the validation images; traffic, earlier answers of the stable",
                default="bundle",
            ),
        ),
        outputs=("event",),
        imports=("scipy.stats", "evidently"),
    ),
)

STEPS: Final[Mapping[str, StepDeclaration]] = MappingProxyType(
    {declaration.name: declaration for declaration in _DECLARATIONS},
)
"""Every step by its name."""
