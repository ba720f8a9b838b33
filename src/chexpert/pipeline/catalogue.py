"""The steps of both workflows: what each takes and gives. A test holds this against the YAML under argo/workflows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chexpert.pipeline.step import VERDICT, Parameter, StepDeclaration

__all__ = ["STEPS"]

_PROFILE: Final = Parameter("profile", "name of the profile that states the floors")

_DELIVERY: Final = (
    Parameter("source", "folder or URL with the images, in the CheXpert CSV layout or one folder per label"),
    Parameter("feedback", "URL of the label events to add; empty: <objects>/feedback", default=""),
    Parameter("size", "pixels per side of the training images"),
    Parameter("limit", "train on at most so many images; 0: all", default="0"),
)

_TRAINING: Final = (
    Parameter("network", "name of a network, such as small-cnn or densenet121"),
    Parameter("epochs", "passes over the training rows; 0: as many as the network's recipe says", default="0"),
    Parameter("seed", "of initialisation and order", default="0"),
)

_DECLARATIONS: Final = (
    StepDeclaration(
        name="ingest",
        function="chexpert.pipeline.steps.ingest:run",
        parameters=_DELIVERY,
        outputs=("manifest", "shards", "increment", VERDICT),
    ),
    StepDeclaration(
        name="etl-plan",
        function="chexpert.pipeline.steps.etl:plan",
        parameters=(*_DELIVERY, Parameter("capacity", "images per shard, which is one task's work", default="4096")),
        outputs=("manifest", "plan", "increment"),
        values=("numbers",),
    ),
    StepDeclaration(
        name="etl-shard",
        function="chexpert.pipeline.steps.etl:shard",
        parameters=(Parameter("number", "which shard, from 0"),),
        inputs=("manifest", "plan"),
    ),
    StepDeclaration(
        name="etl-join",
        function="chexpert.pipeline.steps.etl:join",
        inputs=("manifest", "plan"),
        outputs=("manifest", "shards", VERDICT),
    ),
    StepDeclaration(
        name="train",
        function="chexpert.pipeline.steps.train:run",
        parameters=_TRAINING,
        inputs=("manifest", "shards"),
        outputs=("model",),
        imports=("torch", "lightning", "timm", "mlflow"),
    ),
    StepDeclaration(
        name="train-distributed",
        function="chexpert.pipeline.steps.train:distributed",
        parameters=(
            *_TRAINING,
            Parameter("manifest", "URL of manifest.parquet, as ingest and etl write it"),
            Parameter("shards", "URL of the folder of shards"),
            Parameter("batch", "images of one step, over all processes; 0: as the network's recipe says", default="0"),
            Parameter("precision", "Lightning's word, such as 32-true, bf16-mixed or 64-true", default="32-true"),
            Parameter("checkpoints", "URL under which a killed run goes on; empty: with the models", default=""),
            Parameter("result", "URL of the object that names the model; empty: <objects>/trained/<run>", default=""),
        ),
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
        parameters=(_PROFILE,),
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
        name="report",
        function="chexpert.pipeline.steps.report:run",
        parameters=(
            Parameter("status", "how the workflow ended: Succeeded, Failed or Error"),
            Parameter("failures", "what failed, as in Argo's {{workflow.failures}}; null: nothing", default="null"),
        ),
        outputs=("outcome",),
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
