"""The SDK's data plane, told of versions: readiness and metadata as both protocols give them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from kserve import InferRequest, InferResponse, ModelRepository
from kserve.protocol.dataplane import DataPlane

from chexpert.bundle.sessions import ONNXRUNTIME, OPENVINO
from chexpert.serving.client import MODEL
from chexpert.serving.errors import NotReady, UnknownModel
from chexpert.serving.exchange import Exchange
from chexpert.serving.fleet import Fleet
from chexpert.serving.model import FleetModel
from chexpert.serving.reading import Asked, Reader
from chexpert.serving.uploads import Uploads

__all__ = ["FleetDataPlane"]

_PLATFORMS: Final[Mapping[str, str]] = MappingProxyType({ONNXRUNTIME: "onnxruntime_onnx", OPENVINO: "openvino"})
"""What Triton calls them, by the runtime of the card."""


class FleetDataPlane(DataPlane):
    """Answers what V2 asks about server, model and versions."""

    def __init__(
        self, registry: ModelRepository, fleet: Fleet, model: FleetModel, reader: Reader, uploads: Uploads
    ) -> None:
        super().__init__(model_registry=registry)
        self.fleet = fleet
        self.uploads = uploads
        """What the requests of both protocols hold."""
        self._model = model
        self._reader = reader

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}

    async def ready(self) -> bool:
        """Whether requests are welcome."""
        return not self.fleet.unready

    def require(self, model_name: str, version: str = "") -> None:
        """Raise UnknownModel, UnknownVersion or NotReady unless that is served."""
        if model_name != MODEL:
            raise UnknownModel(model_name, MODEL)
        self.fleet.named(version)

    async def model_ready(
        self,
        model_name: str,
        disable_predictor_health_check: bool = False,
        *,
        version: str = "",
    ) -> bool:
        """Whether the model, or one version of it, can answer; UnknownModel or UnknownVersion where it never will."""
        del disable_predictor_health_check  # the SDK's, for transformers
        try:
            self.require(model_name, version)
        except NotReady:
            return False
        return not self.fleet.unready

    async def model_metadata(self, model_name: str, version: str = "") -> dict[str, Any]:
        """Names, datatypes, shapes, versions; under `parameters` the shares, the digests, and why a change waits.

        Raises:
            UnknownModel: Another name than `chexpert`.
            UnknownVersion: Not in the served file.
            NotReady: No version at all.
        """
        self.require(model_name, version)
        state = self.fleet.state
        asked = {name: known for name, known in state.versions.items() if version in {"", name}}
        return {
            "name": MODEL,
            "versions": list(asked),
            "platform": _PLATFORMS[self.fleet.named(version).runtime],
            "inputs": self._model.get_input_types(version),
            "outputs": self._model.get_output_types(),
            "parameters": {
                "weights": {name: state.weights[name] for name in asked},
                "digests": {name: known.served.digest for name, known in asked.items()},
                "problem": state.problem,
            },
        }

    async def read(self, parse: Callable[[], InferRequest], exchange: Exchange) -> Asked:
        """As `Reader.read`."""
        return await self._reader.read(parse, exchange)

    async def answer(self, asked: Asked, exchange: Exchange) -> InferResponse:
        """As the SDK's `infer`, but `exchange` knows the version also when that failed."""
        return await self._model.answer(asked, exchange)
