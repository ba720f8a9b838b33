"""V2 over gRPC: the SDK's servicer, told of versions, with repository calls closed and errors under their codes."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Final

from grpc import StatusCode
from kserve import InferRequest, InferResponse
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.utils.utils import to_headers

from chexpert.domain.errors import InputError, RetryableError
from chexpert.serving.dataplane import FleetDataPlane
from chexpert.serving.errors import RequestTimedOut, RequestTooLarge, UnknownModel, UnknownVersion, refuse
from chexpert.serving.exchange import Exchange, Stage
from chexpert.serving.model import VERSION_HEADER
from chexpert.serving.observing import Observer
from chexpert.serving.wire import raw_bytes

__all__ = ["FleetServicer", "status_of"]

_LOGGER: Final = logging.getLogger(__name__)
_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_CONTENTS: Final[Mapping[str, str]] = MappingProxyType({"FP32": "fp32_contents", "BYTES": "bytes_contents"})
"""Where typed contents of a datatype stand."""

Call = Callable[[Any, Any, Any], Awaitable[Any]]
"""A method of the servicer: itself, the request, gRPC's context."""


def status_of(error: Exception) -> StatusCode:
    """Code of an error, as `rest.status_of`."""
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], StatusCode], ...] = (
        ((UnknownModel, UnknownVersion), StatusCode.NOT_FOUND),
        (RequestTooLarge, StatusCode.RESOURCE_EXHAUSTED),
        ((InputError, InvalidInput), StatusCode.INVALID_ARGUMENT),
        (RequestTimedOut, StatusCode.DEADLINE_EXCEEDED),
        (RetryableError, StatusCode.UNAVAILABLE),
        (NotImplementedError, StatusCode.UNIMPLEMENTED),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), StatusCode.INTERNAL)


def _with_code(call: Call) -> Call:
    """The call, which ends with the code of its error. An interceptor would be asked for each call's handler anew."""

    @wraps(call)
    async def answered(self: Any, request: Any, context: Any) -> Any:
        try:
            return await call(self, request, context)
        except Exception as error:
            status = status_of(error)
            if status is StatusCode.INTERNAL:
                _LOGGER.exception("%s: %s", call.__name__, error)  # noqa: TRY401 -- the last line of a trace is easily missed
            await context.abort(status, str(error) or type(error).__name__)

    return answered


def _message(answer: InferResponse, *, is_raw: bool) -> Any:
    """The answer raw, or typed where that was asked for and there is no FP16, which has no typed contents.

    The SDK's own `to_grpc` took a tenth of a request's Python, and wants lists for typed contents.
    """
    is_raw = is_raw or any(output.datatype not in _CONTENTS for output in answer.outputs)
    outputs = [
        pb.ModelInferResponse.InferOutputTensor(
            name=output.name,
            datatype=output.datatype,
            shape=output.shape,
            contents=None if is_raw else {_CONTENTS[output.datatype]: output.data.ravel().tolist()},
        )
        for output in answer.outputs
    ]
    return pb.ModelInferResponse(
        model_name=answer.model_name,
        model_version=answer.model_version,
        id=answer.id,
        outputs=outputs,
        raw_output_contents=[raw_bytes(output.data) for output in answer.outputs] if is_raw else None,
    )


class FleetServicer(InferenceServicer):
    """The calls that differ from the SDK's."""

    def __init__(self, plane: FleetDataPlane, repository: ModelRepositoryExtension, observer: Observer) -> None:
        super().__init__(plane, repository)
        self._observer = observer

    @_with_code
    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 -- named by the protocol
        """Readiness of the model or of one version."""
        del context
        return pb.ModelReadyResponse(ready=await self._data_plane.model_ready(request.name, version=request.version))

    @_with_code
    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 -- named by the protocol
        """Metadata with versions; shares and digests are on REST only, the message has no room."""
        del context
        told = await self._data_plane.model_metadata(request.name, request.version)
        return pb.ModelMetadataResponse(**{key: value for key, value in told.items() if key != "parameters"})

    @_with_code
    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 -- named by the protocol
        """One request; the version is in the answer and in the trailing metadata."""
        following = self._observer.exchange("gRPC", _INFER, to_headers(context))
        with following as exchange, self._data_plane.uploads.claim() as take:
            exchange.bytes_in, exchange.status = request.ByteSize(), StatusCode.CANCELLED.name
            try:
                take(exchange.bytes_in)
                answer = await self._infer(request, exchange)
            except Exception as error:
                self._observer.failed(exchange, error)
                exchange.status = status_of(error).name
                raise
            finally:
                if exchange.version:
                    context.set_trailing_metadata(((VERSION_HEADER, exchange.version),))
            exchange.bytes_out, exchange.status = answer.ByteSize(), StatusCode.OK.name
        return answer

    async def _infer(self, request: Any, exchange: Exchange) -> Any:
        self._data_plane.require(request.model_name, request.model_version)
        asked = await self._data_plane.read(lambda: self._parsed(request), exchange)
        answer = await self._data_plane.answer(asked, exchange)
        with exchange.stage(Stage.ENCODE):
            return _message(answer, is_raw=asked.request.use_binary_outputs)

    def _parsed(self, request: Any) -> InferRequest:
        try:
            self.validate_grpc_request(request)
            return InferRequest.from_grpc(request)
        except InvalidInput as error:
            kinds = ", ".join(f"{tensor.name!r} of {tensor.datatype!r}" for tensor in request.inputs)
            refuse(f"{error}: the inputs are {kinds}", error)

    @_with_code
    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802 -- named by the protocol
        """Closed."""
        raise NotImplementedError(_CLOSED)

    @_with_code
    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802 -- named by the protocol
        """Closed."""
        raise NotImplementedError(_CLOSED)


_CLOSED: Final = "versions are loaded by the InferenceService file alone"
