"""Every way to ask for a score: which server, which bytes, and where the scores stand in the answer."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from bench.serving.fixtures import Fixtures, Served
from numpy.typing import NDArray

from chexpert.serving.client import MODEL
from chexpert.serving.tensors import HEADER_LENGTH, encode_bytes

Scores = NDArray[np.float32]

INFER: Final = f"/v2/models/{MODEL}/infer"
READY: Final = f"/v2/models/{MODEL}/ready"
JSON: Final[Mapping[str, str]] = MappingProxyType({"content-type": "application/json"})
OURS_GRPC: Final = "chexpert gRPC raw"
OURS_REST: Final = "chexpert REST binary"
OURS_JPEG: Final = "chexpert REST JPEG"
TORCH_JSON: Final = "FastAPI + torch eager, JSON"
ORT_RAW: Final = "FastAPI + ONNX Runtime, raw"
ORT_JPEG: Final = "FastAPI + ONNX Runtime, JPEG"
STOCK_REST: Final = "kserve stock, REST JSON"
STOCK_GRPC: Final = "kserve stock, gRPC raw"
BARE_FP32: Final = "bare ONNX Runtime fp32"
BARE_SPINNING: Final = "bare ONNX Runtime fp32, spinning"
BARE_LIGHT: Final = "bare ONNX Runtime fp32, our export"
BARE_VARIANT: Final = "bare loop of the served variant"
BARE_LANES: Final = "bare loop of the served variant, an image per core"


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers."""

    name: str
    command: Sequence[str]
    """With {http} and {grpc} where the ports stand."""
    ready: str
    """Path that answers 200 once it may be asked."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """One protocol of one server."""

    name: str
    server: str
    path: str
    """Of HTTP; empty: gRPC."""
    headers: Mapping[str, str]
    bodies: Sequence[bytes]
    scores: Callable[[bytes, Mapping[str, str]], Scores]
    """From the answer's body and its headers, lower case, to (14,)."""
    jpeg: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """A bare loop over a bundle, which is no server."""

    name: str
    served: Served
    how: str
    """bundle, alone or spinning."""


def python(module: str, *arguments: str) -> list[str]:
    """Command of a module of this benchmark."""
    return [sys.executable, "-m", f"bench.serving.{module}", *arguments]


def product(served: Served, objects: Path, *extra: str, name: str = "chexpert") -> Server:
    """`chexpert serve` with a mounted bundle, as in a KServe pod, with its inference log."""
    command = [
        str(Path(sys.executable).with_name("chexpert")), "serve", "--model-dir", str(served.folder), "--version", "v1",
        "--digest", served.digest, "--objects", str(objects), "--port", "{http}", "--grpc-port", "{grpc}", *extra,
    ]  # fmt: skip
    return Server(name, command, READY)


def product_ways(pixels: NDArray[np.uint8], jpegs: Sequence[bytes]) -> list[Way]:
    """The standard protocol: gRPC raw, REST binary with pixels, REST binary with encoded images."""
    rest = [_binary("pixels", "UINT8", list(one.shape), one.tobytes()) for one in pixels[:, None]]
    images = [_binary("image", "BYTES", [1], encode_bytes([data])) for data in jpegs]
    ways = [Way(OURS_GRPC, "chexpert", "", {}, _grpc_bodies(pixels), grpc_scores)]
    for name, bodies in ((OURS_REST, rest), (OURS_JPEG, images)):
        # The header's length is part of the headers, which are the same for all bodies of a way.
        length = {len(header) for header, _ in bodies}
        if len(length) != 1:
            msg = f"{name}: headers of lengths {sorted(length)}"
            raise ValueError(msg)
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(length.pop())}
        ways.append(Way(name, "chexpert", INFER, headers, [a + b for a, b in bodies], binary_scores, name == OURS_JPEG))
    return ways


def peers(fixtures: Fixtures) -> tuple[list[Server], list[Way]]:
    """Those of every run."""
    pixels, file = fixtures.pixels(), str(fixtures.plain.folder)
    nested = [json.dumps({"pixels": one[0].tolist()}).encode() for one in pixels]
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, *pixels.shape[1:]]}
    # The stock server answers 500 to a request without the optional id.
    v2 = [json.dumps({"id": "1", "inputs": [{**tensor, "data": one.ravel().tolist()}]}).encode() for one in pixels]
    servers = [
        Server("torch", python("peers.fastapi_torch", str(fixtures.network), "{http}"), "/ready"),
        Server("ort", python("peers.fastapi_ort", file, "{http}"), "/ready"),
        Server("stock", python("peers.kserve_stock", file, "{http}", "{grpc}"), READY),
    ]
    ways = [
        Way(TORCH_JSON, "torch", "/predict", JSON, nested, json_scores),
        Way(ORT_RAW, "ort", "/raw", {}, [one.tobytes() for one in pixels], json_scores),
        Way(ORT_JPEG, "ort", "/jpeg", {}, fixtures.jpegs(), json_scores, jpeg=True),
        Way(STOCK_REST, "stock", INFER, JSON, v2, v2_scores),
        Way(STOCK_GRPC, "stock", "", {}, _grpc_bodies(pixels), grpc_scores),
    ]
    return servers, ways


def grpc_way(name: str, server: str, pixels: NDArray[np.uint8]) -> Way:
    """Raw pixels to any other V2 server."""
    return Way(name, server, "", {}, _grpc_bodies(pixels), grpc_scores)


def json_scores(body: bytes, headers: Mapping[str, str]) -> Scores:
    """Of {"scores": [...]}."""
    del headers
    return np.array(json.loads(body)["scores"], np.float32)


def v2_scores(body: bytes, headers: Mapping[str, str]) -> Scores:
    """Of V2 JSON."""
    del headers
    return np.array(json.loads(body)["outputs"][0]["data"], np.float32)


def binary_scores(body: bytes, headers: Mapping[str, str]) -> Scores:
    """Of the REST binary extension, wherever among the outputs the scores stand."""
    at = int(headers[HEADER_LENGTH.lower()])
    for output in json.loads(body[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "scores":
            return np.frombuffer(body[at : at + size], np.float32)
        at += size
    msg = "no scores among the outputs"
    raise ValueError(msg)


def grpc_scores(body: bytes, headers: Mapping[str, str]) -> Scores:
    """Of ModelInferResponse, raw or typed."""
    del headers
    answer: Any = _messages().ModelInferResponse.FromString(body)
    at = [output.name for output in answer.outputs].index("scores")
    if answer.raw_output_contents:
        return np.frombuffer(answer.raw_output_contents[at], np.float32)
    return np.array(answer.outputs[at].contents.fp32_contents, np.float32)


def _binary(name: str, datatype: str, shape: list[int], raw: bytes) -> tuple[bytes, bytes]:
    tensor = {"name": name, "datatype": datatype, "shape": shape}
    header = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    # Padded with blanks, which JSON allows: one header length for bodies of all sizes.
    return json.dumps(header).encode().ljust(256), raw


def _grpc_bodies(pixels: NDArray[np.uint8]) -> list[bytes]:
    pb = _messages()
    shape = [1, *pixels.shape[1:]]
    tensor = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=shape)
    asked = (
        pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[one.tobytes()]) for one in pixels
    )
    return [one.SerializeToString() for one in asked]


def _messages() -> Any:
    """Imported late: a process takes these messages from kserve or from tritonclient, and the tests have theirs."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2  # noqa: PLC0415 -- as above

    return grpc_predict_v2_pb2
