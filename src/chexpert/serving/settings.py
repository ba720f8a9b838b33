"""How one server process is run."""

from dataclasses import dataclass, field
from pathlib import Path

from chexpert.domain.errors import InputError

__all__ = ["LogSettings", "NoDigest", "OpenToAll", "ServeSettings", "WhatToServe"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class OpenToAll(InputError):
    """The server has no authentication of its own, and was told to listen beyond this machine."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is not loopback and the server asks nobody who they are: listen on 127.0.0.1, "
            "or say --behind-gateway where a gateway or a NetworkPolicy keeps strangers out",
        )
        self.host = host


class NoDigest(InputError):
    """A mounted bundle whose digest nobody gave."""

    def __init__(self, version: str) -> None:
        super().__init__(f"version {version} has no digest: set CHEXPERT_BUNDLE_DIGEST, nothing is served unverified")
        self.version = version


class WhatToServe(InputError):
    """Neither or both of the two ways to say what is served."""

    def __init__(self) -> None:
        super().__init__("give either --manifest (an InferenceService file) or --model-dir (one mounted bundle)")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """When a part is closed, and what is kept while the objects cannot be written."""

    close_rows: int = 1000
    """A part is closed after so many rows."""
    close_s: float = 5.0
    """Seconds after its first row at which a part is closed. The judge of a stage sees an answer no later than this."""
    keep_rows: int = 100_000
    """Rows held back while writing fails (some 30 MB); beyond, the oldest are dropped, and said so."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of `chexpert serve`."""

    manifest: Path | None = None
    """InferenceService file to follow; None: `model_dir` is served."""
    model_dir: Path | None = None
    """One mounted bundle, in a KServe pod; None: `manifest` is followed."""
    version: str = ""
    """Name of the version in `model_dir`: CHEXPERT_VERSION of the pod; empty: no model yet."""
    digest: str = ""
    """Expected digest of the bundle in `model_dir`: CHEXPERT_BUNDLE_DIGEST of the pod."""
    objects: str = ""
    """Root of the inference log, and of a `storageUri` without scheme; empty: no log is written."""
    cache: Path = Path("var/cache/bundles")
    """Where remote bundles are copied to; a local bundle is verified and read in place."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback only with `behind_gateway`: V2 knows no authentication."""
    behind_gateway: bool = False
    """Something else keeps strangers out: the gateway and NetworkPolicy of a KServe pod."""
    port: int = 8080
    """HTTP port; 0: any free one, see `run_file`."""
    grpc_port: int = 8081
    """gRPC port; 0: any free one; negative: no gRPC."""
    run_file: Path | None = None
    """JSON with pid, http and grpc, written once both ports listen; None: none."""
    poll_s: float = 0.5
    """How often the served file is looked at."""
    retry_s: float = 5.0
    """After a failed change of the file, how soon the same file is tried again (its bundle may arrive later)."""
    workers: int = 0
    """Threads of one version that decode, beside those that run its graph. 0: one per CPU (affinity mask and cgroup
    quota)."""
    threads: int = 0
    """Threads of one run of the graph; 0: as many as CPUs (affinity mask and cgroup quota)."""
    max_batch: int = 8
    """Images that may share one run, from requests that came while another ran; 1: each request runs alone.
    It costs memory, and never a waiting time. A graph whose scores move with the batch is not batched at all."""
    queue: int = 64
    """Requests of one version waiting or worked on; one more is answered 503. 64 at 20 requests/s is 3 s of waiting."""
    body_s: float = 20.0
    """How long a REST body may take to arrive before it is answered 408; 0: any time. 64 MiB then need 27 Mbit/s. With
    `timeout_s` below the 60 s of KServe's route, and below `grace_s`: SIGTERM waits for a body on its way."""
    timeout_s: float = 30.0
    """How long a version may take for a request before it is answered 504: from when it got the request, so that a slow
    upload is not its fault."""
    max_request_bytes: int = 64 * 2**20
    """A larger body is answered 413 before it is read. A 3,000 x 2,500 px DICOM of 16 bits has 15 MB."""
    upload_bytes: int = 256 * 2**20
    """Bytes of requests held at once, over all versions and both protocols; one more is answered 503, and over REST not
    read. 0: no limit. A quarter of a pod's 1 GiB, and 17 DICOM of 15 MB: two cores decode for seconds at that."""
    grpc_calls: int = 128
    """gRPC calls under way at once, probes included; one more is RESOURCE_EXHAUSTED before its message is read. Twice
    `queue`, so that of two versions each refuses by its own; 0: no limit."""
    max_images: int = 64
    """Images or pixel arrays in one request."""
    linger_s: float = 0.3
    """After SIGTERM, how long open connections may still bring a request; each answer then closes its connection."""
    grace_s: float = 30.0
    """How long a request in flight may take after SIGTERM. Below the pod's 45 s."""
    access_log: bool = True
    """A line of JSON on standard output for each inference request; False: none."""
    log: LogSettings = field(default_factory=LogSettings)

    def __post_init__(self) -> None:
        if self.host not in _LOOPBACK and not self.behind_gateway:
            raise OpenToAll(self.host)
        if (self.manifest is None) == (self.model_dir is None):
            raise WhatToServe
        if self.version and self.model_dir is not None and not self.digest:
            raise NoDigest(self.version)
