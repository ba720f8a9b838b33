"""The API server that KUBECONFIG, ~/.kube/config or a pod's own account names, by the kubernetes client."""

import os
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlencode

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from chexpert.cluster.answers import FOLLOW_TIMEOUT_S, TIMEOUT_S, checked, lines, read_json
from chexpert.cluster.api import NO_QUERY, Json
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable, NoCluster

__all__ = ["KubernetesApi"]

_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubernetesApi:
    """One API server; see `api.Api`. Nothing is asked before the first call."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self._client = api_client
        self.namespace = namespace
        """Where the kubeconfig's context or the pod's account points; `default` where neither says."""

    @classmethod
    def connect(cls) -> Self:
        """The cluster of KUBECONFIG or ~/.kube/config, else the one this pod runs in.

        Raises:
            NoCluster: There is none, or its configuration cannot be read.
        """
        settings = client.Configuration()
        settings.retries = False
        named, usual = os.environ.get("KUBECONFIG", ""), Path("~/.kube/config").expanduser()
        files = named or str(usual)
        try:
            if named or usual.exists():
                config.load_kube_config(config_file=files, client_configuration=settings)  # type: ignore[no-untyped-call]
                _, active = config.list_kube_config_contexts(config_file=files)  # type: ignore[no-untyped-call]
                namespace = str(active["context"].get("namespace") or "default")
            else:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
                namespace = _OWN_NAMESPACE.read_text(encoding="utf-8").strip()
        except (ConfigException, OSError, ValueError, TypeError) as error:
            raise NoCluster(" ".join(str(error).split())) from error
        return cls(client.ApiClient(settings), namespace)

    @property
    def address(self) -> str:
        """Its URL, for messages."""
        return str(self._client.configuration.host)

    def get(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Json | None:
        """An object or a list; None where there is none."""
        try:
            return self._json("GET", path, query)
        except ClusterRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def create(self, path: str, body: Json, query: Mapping[str, str] = NO_QUERY) -> Json:
        """POST an object to its collection."""
        return self._json("POST", path, query, body)

    def lines(self, path: str, query: Mapping[str, str] = NO_QUERY) -> Iterator[str]:
        """A text as it comes."""
        timeout_s = FOLLOW_TIMEOUT_S if query.get("follow") == "true" else TIMEOUT_S
        yield from lines(self._send("GET", path, query, timeout_s=timeout_s), self.address)

    def _json(self, method: str, path: str, query: Mapping[str, str], body: Json | None = None) -> Json:
        return read_json(self._send(method, path, query, body), self.address)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        *,
        timeout_s: tuple[float, float] = TIMEOUT_S,
    ) -> BaseHTTPResponse:
        request = self._client.param_serialize(
            method=method,
            resource_path=f"{path}?{urlencode(query)}" if query else path,
            header_params={"Accept": "application/json, */*"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer: BaseHTTPResponse = self._client.call_api(*request, _request_timeout=timeout_s).response
        except (HTTPError, client.ApiException, OSError) as error:
            raise ClusterUnavailable(self.address, str(error)) from error
        return checked(answer, f"{method} {path}", self.address)
