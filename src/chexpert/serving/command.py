"""The command `serve`: flags to ServeSettings, for `chexpert serve` and for the faulty servers of the tests."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from chexpert.serving.settings import ServeSettings

__all__ = ["declare"]

_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({field.name: field.default for field in fields(ServeSettings)})


def declare(app: typer.Typer, start: Callable[[ServeSettings], None]) -> None:
    """Add the command `serve` to `app`; it calls `start` and ends when that returns."""

    @app.command()
    def serve(
        *,
        manifest: Annotated[Path | None, typer.Option(help="InferenceService file to follow.")] = None,
        model_dir: Annotated[Path | None, typer.Option(help="Mounted bundle to serve, in a KServe pod.")] = None,
        version: Annotated[
            str,
            typer.Option(envvar="CHEXPERT_VERSION", help="Version of --model-dir; empty: no model yet."),
        ] = "",
        digest: Annotated[
            str,
            typer.Option(envvar="CHEXPERT_BUNDLE_DIGEST", help="Digest that the bundle in --model-dir must have."),
        ] = "",
        objects: Annotated[
            str,
            typer.Option(envvar="CHEXPERT_OBJECTS", help="Root of the inference log; empty: no log."),
        ] = "",
        cache: Annotated[Path, typer.Option(help="Folder for copies of remote bundles.")] = _DEFAULTS["cache"],
        host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS["host"],
        behind_gateway: Annotated[
            bool,
            typer.Option("--behind-gateway", help="Listen beyond loopback: a gateway keeps strangers out."),
        ] = False,
        port: Annotated[int, typer.Option(help="HTTP port; 0: any free one.")] = _DEFAULTS["port"],
        grpc_port: Annotated[int, typer.Option(help="gRPC port; 0: any free one; -1: none.")] = _DEFAULTS["grpc_port"],
        run_file: Annotated[Path | None, typer.Option(help="Where to write pid and ports once listening.")] = None,
        workers: Annotated[int, typer.Option(help="Threads per version that decode; 0: as many as CPUs.")] = _DEFAULTS[
            "workers"
        ],
        threads: Annotated[int, typer.Option(help="Threads of one run; 0: as many as CPUs.")] = _DEFAULTS["threads"],
        max_batch: Annotated[int, typer.Option(help="Images in one run; 1: no batching.")] = _DEFAULTS["max_batch"],
        timeout_s: Annotated[float, typer.Option(help="Seconds a version may take for a request.")] = _DEFAULTS[
            "timeout_s"
        ],
        queue: Annotated[int, typer.Option(help="Requests per version, waiting included.")] = _DEFAULTS["queue"],
        upload_bytes: Annotated[int, typer.Option(help="Bytes of requests held at once; 0: no limit.")] = _DEFAULTS[
            "upload_bytes"
        ],
        max_request_bytes: Annotated[
            int, typer.Option(help="Bytes of one request; a larger one is refused.")
        ] = _DEFAULTS["max_request_bytes"],
        body_s: Annotated[
            float, typer.Option(help="Seconds in which a REST body must have come; 0: any time.")
        ] = _DEFAULTS["body_s"],
        grpc_calls: Annotated[int, typer.Option(help="gRPC calls under way at once; 0: no limit.")] = _DEFAULTS[
            "grpc_calls"
        ],
        access_log: Annotated[
            bool,
            typer.Option(help="A line of JSON on standard output for each inference request."),
        ] = _DEFAULTS["access_log"],
    ) -> None:
        """Serve the versions of one InferenceService file over V2, REST and gRPC."""
        start(
            ServeSettings(
                manifest=manifest,
                model_dir=model_dir,
                version=version,
                digest=digest,
                objects=objects,
                cache=cache,
                host=host,
                behind_gateway=behind_gateway,
                port=port,
                grpc_port=grpc_port,
                run_file=run_file,
                workers=workers,
                threads=threads,
                max_batch=max_batch,
                timeout_s=timeout_s,
                queue=queue,
                upload_bytes=upload_bytes,
                max_request_bytes=max_request_bytes,
                body_s=body_s,
                grpc_calls=grpc_calls,
                access_log=access_log,
            ),
        )
