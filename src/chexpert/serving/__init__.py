"""The model server: V2 over REST and gRPC on the kserve SDK, every version of one InferenceService file in one process.

It verifies a bundle before it answers with it, counts and logs each answer under its version, and never drops a request
for a change of the file. It must not load torch, fall back to another model, judge a version, or answer 200 with an
error inside. `client` and `tensors` stand on httpx and numpy alone, `isvc` on ruamel.yaml: other packages may import
them, and `inference_log`, without loading the SDK.
"""

__all__ = [
    "access_log",
    "app",
    "batching",
    "client",
    "command",
    "dataplane",
    "errors",
    "exchange",
    "fleet",
    "grpc_service",
    "inference_log",
    "isvc",
    "listening",
    "metrics",
    "model",
    "observing",
    "reading",
    "rest",
    "scoring",
    "settings",
    "split",
    "tensors",
    "tracing",
    "uploads",
    "versions",
    "wire",
    "yaml_reader",
]
