"""The ConfigMap and Secrets by which the platform's parts find each other (decision 0005), and the object store."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import fsspec

from chexpert.cluster.api import CORE, Api, Json, path
from chexpert.cluster.doctor.findings import Finding, Scope, State
from chexpert.cluster.errors import ClusterRefused

__all__ = ["configured", "object_store", "secrets"]

_PLACES: Final = (
    "CHEXPERT_OBJECTS",
    "CHEXPERT_TRACKING",
    "CHEXPERT_GITOPS",
    "CHEXPERT_SITE",
    "CHEXPERT_STAGING",
    "CHEXPERT_PRODUCTION",
    "CHEXPERT_VERSION_URL",
    "CHEXPERT_INFERENCE_SERVICE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
)
_OBJECT_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "chexpert-objects": _OBJECT_KEYS,
    "chexpert-tables": ("CHEXPERT_DATABASE", "MLFLOW_BACKEND_STORE_URI"),
    "chexpert-site": ("CHEXPERT_SESSION_KEY", "users"),
}
_INSTALL: Final = "helm install the chart charts/chexpert, which makes it"
_TIMEOUTS: Final = {"connect_timeout": 3, "read_timeout": 10, "retries": {"max_attempts": 1}}


def configured(api: Api, scope: Scope) -> Iterator[Finding]:
    """The ConfigMap chexpert in every namespace, with all its addresses."""
    for namespace in scope.namespaces:
        found = api.get(path(CORE, "configmaps", "chexpert", namespace=namespace))
        check = f"ConfigMap chexpert in {namespace}"
        data = (found or {}).get("data") or {}
        empty = [name for name in _PLACES if not data.get(name)]
        if found is None:
            yield Finding(check, State.MISSING, "it does not exist", _INSTALL)
        elif empty:
            yield Finding(check, State.MISSING, f"without {', '.join(empty)}", "set it in the chart's values")
        else:
            yield Finding(check, State.OK, f"{len(data)} addresses")


def secrets(api: Api, scope: Scope) -> Iterator[Finding]:
    """The Secrets with their keys; values are neither shown nor judged."""
    wanted = [(scope.namespace, name, keys) for name, keys in _SECRETS.items()]
    wanted += [(namespace, "chexpert-objects", _OBJECT_KEYS) for namespace in scope.environments.values()]
    for namespace, name, keys in wanted:
        check = f"Secret {name} in {namespace}"
        try:
            found = api.get(path(CORE, "secrets", name, namespace=namespace))
        except ClusterRefused as refused:
            yield Finding(check, State.UNKNOWN, refused.message, "run it as an account that may read Secrets")
            continue
        lacking = [key for key in keys if key not in ((found or {}).get("data") or {})]
        if found is None:
            yield Finding(check, State.MISSING, "it does not exist", _INSTALL)
        elif lacking:
            yield Finding(check, State.MISSING, f"without {', '.join(lacking)}", "add the key")
        else:
            yield Finding(check, State.OK, ", ".join(keys))


def object_store(api: Api, scope: Scope) -> Iterator[Finding]:
    """The bucket answers to the Secret's credentials, asked from here."""
    bucket, check = scope.places.get("CHEXPERT_OBJECTS", ""), "Object store"
    if not bucket:
        yield Finding(check, State.UNKNOWN, "the ConfigMap chexpert does not say where it is", _INSTALL)
        return
    if not bucket.startswith("s3://"):
        yield Finding(check, State.MISSING, f"{bucket} is no s3:// URL", "set objects in the chart's values")
        return
    found = api.get(path(CORE, "secrets", "chexpert-objects", namespace=scope.namespace))
    endpoint = scope.places.get("AWS_ENDPOINT_URL_S3", "")
    try:
        _list(bucket, endpoint, scope.places.get("AWS_DEFAULT_REGION", ""), found)
    except PermissionError as error:
        remedy = "put credentials into the Secret chexpert-objects that may list and write the bucket"
        yield Finding(check, State.MISSING, f"{bucket} at {endpoint}: {error}", remedy)
    except FileNotFoundError:
        yield Finding(check, State.MISSING, f"{bucket} does not exist at {endpoint}", "make the bucket")
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base; each means: not seen from here
        remedy = "an address inside the cluster answers only there: try it from a pod, or with a port-forward"
        yield Finding(check, State.UNKNOWN, f"{endpoint} is not reachable from here: {type(error).__name__}", remedy)
    else:
        yield Finding(check, State.OK, f"{bucket} at {endpoint} can be listed")


def _list(bucket: str, endpoint: str, region: str, secret: Json | None) -> None:
    data: Mapping[str, Any] = (secret or {}).get("data") or {}
    key, word = (base64.b64decode(str(data.get(name, ""))).decode() for name in _OBJECT_KEYS)
    store = fsspec.filesystem(
        "s3",
        key=key,
        secret=word,
        endpoint_url=endpoint or None,
        client_kwargs={"region_name": region or None},
        config_kwargs=dict(_TIMEOUTS),
        skip_instance_cache=True,
    )
    store.ls(bucket.removeprefix("s3://").rstrip("/"), refresh=True)
