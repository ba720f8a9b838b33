"""Workflows through an Argo Server, by the argo-workflows client: for people without an account in the cluster."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import urlencode

from argo_workflows import ApiClient, Configuration
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import HTTPError

from chexpert.cluster.answers import FOLLOW_TIMEOUT_S, TIMEOUT_S, checked, lines, read_json
from chexpert.cluster.api import NO_QUERY, Json
from chexpert.cluster.errors import ClusterRefused, ClusterUnavailable, NothingToSubmit, UnknownRun
from chexpert.cluster.manifests import Source
from chexpert.cluster.runs import Step

__all__ = ["ArgoServer", "settings"]

_TEMPLATES: Final = {"workflow-templates": "WorkflowTemplate", "cron-workflows": "CronWorkflow"}


def settings(environment: Mapping[str, str]) -> Configuration:
    """What `argo` itself reads.

    ARGO_SERVER is host:port or a URL; ARGO_BASE_HREF its path; ARGO_TOKEN with or without the word Bearer;
    ARGO_SECURE=false means http, ARGO_INSECURE_SKIP_VERIFY=true takes any certificate.
    """
    server = environment["ARGO_SERVER"].rstrip("/")
    if "://" not in server:
        server = f"{'http' if environment.get('ARGO_SECURE') == 'false' else 'https'}://{server}"
    base = environment.get("ARGO_BASE_HREF", "").strip("/")
    configuration = Configuration(host=f"{server}/{base}" if base else server)
    configuration.retries = False
    configuration.verify_ssl = environment.get("ARGO_INSECURE_SKIP_VERIFY") != "true"
    if token := environment.get("ARGO_TOKEN", "").removeprefix("Bearer").strip():
        configuration.api_key = {"BearerToken": token}
        configuration.api_key_prefix = {"BearerToken": "Bearer"}
    return configuration


class ArgoServer:
    """The workflows of one namespace, asked of an Argo Server; see `workflows.Workflows`."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    @classmethod
    def connect(cls, environment: Mapping[str, str], namespace: str) -> Self:
        """The server of ARGO_SERVER; nothing is asked yet."""
        return cls(ApiClient(settings(environment)), namespace)

    def template(self, name: str) -> Source:
        """A WorkflowTemplate or CronWorkflow."""
        for resource, kind in _TEMPLATES.items():
            try:
                found = self._ask("GET", f"/api/v1/{resource}/{self.namespace}/{name}")
            except ClusterRefused as refused:
                if refused.status != HTTPStatus.NOT_FOUND:
                    raise
            else:
                return Source({**found, "kind": kind}, f"{kind} {self.namespace}/{name}")
        listed = [self._ask("GET", f"/api/v1/{resource}/{self.namespace}") for resource in _TEMPLATES]
        known = sorted(str(entry["metadata"]["name"]) for found in listed for entry in found.get("items") or [])
        raise NothingToSubmit(name, self.namespace, known)

    def create(self, manifest: Json) -> str:
        """Create a Workflow; the server lints it first."""
        made = self._ask("POST", f"/api/v1/workflows/{self.namespace}", body={"workflow": dict(manifest)})
        return str(made["metadata"]["name"])

    def read(self, name: str) -> Json:
        """A Workflow object, its steps also where they are offloaded."""
        try:
            return self._ask("GET", f"/api/v1/workflows/{self.namespace}/{name}")
        except ClusterRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                raise UnknownRun(name, self.namespace) from refused
            raise

    def log(self, run: str, step: Step, *, follow: bool) -> Iterator[str]:
        """Lines of a step's main container; none where the pod is gone."""
        query = {"podName": step.pod, "logOptions.container": "main", "logOptions.follow": str(follow).lower()}
        response = self._open(
            "GET",
            f"/api/v1/workflows/{self.namespace}/{run}/log",
            query=query,
            timeout_s=FOLLOW_TIMEOUT_S if follow else TIMEOUT_S,
        )
        yield from (_content(line) for line in lines(response, self.address) if line.strip())

    @property
    def address(self) -> str:
        """Its URL, for messages."""
        return str(self._client.configuration.host)

    def _ask(self, method: str, path: str, *, body: Json | None = None) -> Json:
        return read_json(self._open(method, path, body=body), self.address)

    def _open(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] = NO_QUERY,
        timeout_s: tuple[float, float] = TIMEOUT_S,
    ) -> BaseHTTPResponse:
        # The client's typed calls would turn a Workflow into some hundred classes, and drop what these do not know.
        headers = {"Content-Type": "application/json", **self._client.default_headers}
        for auth in self._client.configuration.auth_settings().values():
            headers[auth["key"]] = auth["value"]
        try:
            answer: BaseHTTPResponse = self._client.rest_client.pool_manager.request(
                method,
                f"{self.address}{path}?{urlencode(query)}" if query else f"{self.address}{path}",
                body=json.dumps(body) if body is not None else None,
                headers=headers,
                timeout=Timeout(*timeout_s),
                preload_content=False,
            )
        except (HTTPError, OSError) as error:
            raise ClusterUnavailable(self.address, str(error)) from error
        return checked(answer, f"{method} {path}", self.address)


def _content(line: str) -> str:
    """The text of one entry of a log stream; an error in the stream is told as a line of it."""
    entry = json.loads(line)
    return str((entry.get("result") or {}).get("content", "") if "result" in entry else entry.get("error", ""))
