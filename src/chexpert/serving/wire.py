"""V2 over REST, pure: bytes of a body to the SDK's InferRequest, and an answer to the bytes of a body.

Stock kserve 0.21 turns every binary tensor into a Python list and BYTES into UTF-8 text: a JPEG gives HTTP 500. Here a
binary tensor stays a view of the body (which halved REST binary latency). In JSON a BYTES element is base64, with or
without the tensor parameter `content_type: base64`, since JSON has no bytes.
"""

import binascii
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import orjson
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.infer_type import RequestedOutput, to_http_parameters
from numpy.typing import NDArray

from chexpert.serving.client import MODEL
from chexpert.serving.errors import RequestTooLarge, refuse
from chexpert.serving.scoring import Query
from chexpert.serving.tensors import decode_bytes, decode_fixed, encode_bytes

__all__ = ["OUTPUTS", "decode_request", "encode_response", "raw_bytes", "requested", "to_query"]

OUTPUTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"scores": ("FP32", "FP16"), "priority": ("FP32", "FP16"), "flag": ("BYTES",)}
)
"""Datatypes of each output, the one that comes unasked first."""
_NCHW: Final = 4
_LENGTH_DIGITS: Final = 18
_JSON_VALUES: Final = 2**23
"""In one request: 64 images of 320 x 320 pixels have 6.6 million. orjson takes some 24 bytes for each, so that 64 MiB
of single digits needed 750 MiB, in a pod of 1 GiB."""


def decode_request(body: bytes, header_length: str | None) -> InferRequest:
    """One REST body, with or without binary tensors behind `header_length` bytes of JSON.

    Raises:
        MalformedRequest: It is not what it says, or says what is no request.
        RequestTooLarge: Its JSON holds more values than can be held at once.
    """
    split = _split(len(body), header_length)
    if (commas := body.count(b",", 0, split)) > _JSON_VALUES:
        raise RequestTooLarge(commas, _JSON_VALUES, "JSON values")
    try:
        document = orjson.loads(memoryview(body)[:split])
    except orjson.JSONDecodeError as error:
        refuse(f"the JSON of the request does not parse: {error}", error)
    if not isinstance(document, dict):
        refuse(f"the request is a JSON {type(document).__name__}, not an object")
    inputs, at, view = [], split, memoryview(body)
    for entry in _objects(document, "inputs"):
        tensor, size = _input(entry)
        if size is not None:
            if at + size > len(view):
                refuse(f"input {tensor.name!r} says {size} bytes, {len(view) - at} are left")
            tensor._raw_data = view[at : at + size]  # noqa: SLF001 -- the SDK has no setter that keeps bytes as bytes
            at += size
        inputs.append(tensor)
    if at != len(view):
        refuse(f"{len(view) - at} bytes stand behind the last tensor")
    identity = document.get("id")
    outputs = [
        RequestedOutput(name := str(entry.get("name")), _parameters(entry, f"output {name!r}"))
        for entry in _objects(document, "outputs")
    ]
    return InferRequest(
        model_name=MODEL,
        infer_inputs=inputs,
        request_id=None if identity is None else str(identity),
        parameters=_parameters(document, "the request"),
        request_outputs=outputs or None,
    )


def to_query(request: InferRequest, *, version: str, fallback_id: str, max_images: int) -> Query:
    """What is asked; MalformedRequest says what the metadata would have told, RequestTooLarge how many are too many."""
    if len(request.inputs) != 1 or request.inputs[0].name not in {"image", "pixels"}:
        names = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        refuse(f"give one input, 'image' (BYTES [n]) or 'pixels' (UINT8 [n, 1, H, W]), not {names}")
    requested(request)
    tensor = request.inputs[0]
    parameters = to_http_parameters(request.parameters or {})
    shadow = parameters.get("shadow", False)
    if not isinstance(shadow, bool):
        refuse(f"parameter shadow is {shadow!r}, not true or false")
    count = _count(tensor, max_images)
    is_image = tensor.name == "image"
    return Query(
        request=request.id or fallback_id,
        images=tuple(_images(tensor, count)) if is_image else (),
        pixels=None if is_image else _pixels(tensor),
        shadow=shadow,
        version=version,
    )


def requested(request: InferRequest) -> dict[str, str]:
    """Datatypes of the outputs to answer with, by name and in the order asked; all if none is named.

    V2 has no word for the datatype of an answer. The parameter `datatype` of a requested output is ours: FP16 in place
    of FP32, where the answer is binary (REST) or raw (gRPC), since neither JSON nor gRPC's typed contents has FP16.
    """
    asked: dict[str, str] = {}
    for output in request.request_outputs or ():
        if output.name not in OUTPUTS:
            refuse(f"no output {output.name!r} here: ask for {', '.join(OUTPUTS)}")
        known = OUTPUTS[output.name]
        datatype = (output.parameters or {}).get("datatype", known[0])
        if datatype not in known:
            refuse(f"output {output.name!r} comes as {' or '.join(known)}, not {datatype!r}")
        if datatype == "FP16" and not request.from_grpc and not _is_binary(request, output):
            refuse(f"output {output.name!r} as FP16 has no form in JSON: ask for it with binary_data")
        asked[output.name] = datatype
    return asked or {name: datatypes[0] for name, datatypes in OUTPUTS.items()}


def encode_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """Body of the answer, and the length of its JSON if binary tensors follow.

    An output is binary if its own parameter `binary_data` says so, else if the request's `binary_data_output` does.
    """
    by_name = {output.name: output for output in request.request_outputs or ()}
    outputs, binary = [], []
    for output in response.outputs:
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if _is_binary(request, by_name.get(output.name)):
            raw = raw_bytes(output.data)
            entry["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            entry["data"] = [_text(value) for value in output.data.ravel().tolist()]
        outputs.append(entry)
    header = orjson.dumps(
        {
            "id": response.id,
            "model_name": response.model_name,
            "model_version": response.model_version,
            "outputs": outputs,
        },
    )
    return (b"".join((header, *binary)), len(header)) if binary else (header, None)


def _is_binary(request: InferRequest, output: RequestedOutput | None) -> bool:
    own = None if output is None else output.binary_data
    return bool((request.parameters or {}).get("binary_data_output", False) if own is None else own)


def _split(length: int, header_length: str | None) -> int:
    if header_length is None:
        return length
    # Python refuses to read a number of more than 4,300 digits with an error that is not ours.
    digits = header_length.isdecimal() and len(header_length) <= _LENGTH_DIGITS
    if not digits or int(header_length) > length:
        refuse(f"Inference-Header-Content-Length is {header_length!r} of a body of {length} bytes")
    return int(header_length)


def _objects(document: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    entries = document.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        refuse(f"{key!r} is not a list of objects")
    return entries


def _parameters(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        refuse(f"the parameters of {where} are not an object")
    return parameters


def _input(entry: Mapping[str, Any]) -> tuple[InferInput, int | None]:
    """The tensor, and the size of its binary part if it has one."""
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(datatype, str) or not _is_shape(shape):
        refuse(f"an input needs name, datatype and shape, not {name!r}, {datatype!r}, {shape!r}")
    parameters = _parameters(entry, f"input {name!r}")
    size, data = parameters.get("binary_data_size"), entry.get("data")
    if (size is None) == (data is None):
        refuse(f"input {name!r} needs either data or the parameter binary_data_size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        refuse(f"binary_data_size of input {name!r} is {size!r}")
    return InferInput(name=name, shape=shape, datatype=datatype, data=data, parameters=parameters), size


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)


def _count(tensor: InferInput, limit: int) -> int:
    image = tensor.name == "image"
    datatype, rank, words = ("BYTES", 1, "[n]") if image else ("UINT8", _NCHW, "[n, 1, H, W]")
    if tensor.datatype != datatype:
        refuse(f"input {tensor.name!r} has datatype {tensor.datatype}, not {datatype}")
    shape = list(tensor.shape)
    if len(shape) != rank or any(side < 1 for side in shape) or (not image and shape[1] != 1):
        refuse(f"input {tensor.name!r} has shape {shape}, not {words} with sides of 1 or more")
    if shape[0] > limit:
        raise RequestTooLarge(shape[0], limit, "images")
    return int(shape[0])


def _images(tensor: InferInput, count: int) -> list[bytes]:
    raw = tensor._raw_data  # noqa: SLF001 -- see `decode_request`
    if raw is not None:
        return decode_bytes(tensor.name, raw, count)
    data = tensor.data
    if not isinstance(data, list) or len(data) != count:
        found = len(data) if isinstance(data, list) else type(data).__name__
        refuse(f"the shape of input 'image' says {count} elements, its data holds {found}")
    return [_element(element, position) for position, element in enumerate(data)]


def _element(element: Any, position: int) -> bytes:
    if isinstance(element, bytes):  # gRPC's bytes_contents
        return element
    try:
        return b64decode(element, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        refuse(f"element {position} of input 'image' is not base64: JSON has no bytes", error)


def _pixels(tensor: InferInput) -> NDArray[np.uint8]:
    raw = tensor._raw_data  # noqa: SLF001 -- see `decode_request`
    if raw is not None:
        return decode_fixed(tensor.name, "UINT8", tensor.shape, raw)
    if (flat := _flat(tensor.data)) is not None and len(flat) == math.prod(tensor.shape):
        return np.frombuffer(flat, np.uint8).reshape(tensor.shape)
    try:
        values = np.asarray(tensor.data)
    except ValueError as error:
        refuse("the data of input 'pixels' is nested unevenly", error)
    if values.dtype.kind not in "iu" or values.size != math.prod(tensor.shape):
        found = f"{values.size} of {values.dtype}"
        refuse(f"the data of input 'pixels' is not {tensor.shape} whole numbers but {found}")
    if values.min() < 0 or values.max() > np.iinfo(np.uint8).max:
        refuse("the data of input 'pixels' goes beyond 0..255")
    return values.astype(np.uint8).reshape(tensor.shape)


def _flat(data: Any) -> bytes | None:
    """Grey levels of a flat list; None if it is anything else. An array took 8 bytes for each, and 6 times as long."""
    try:
        return bytes(data) if isinstance(data, list) and type(data[0]) is int else None
    except (TypeError, ValueError, IndexError):
        return None


def raw_bytes(data: NDArray[Any]) -> bytes:
    """As a binary tensor: little-endian, BYTES with the length before each element."""
    if data.dtype == np.object_:
        return encode_bytes(data.tolist())
    return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
