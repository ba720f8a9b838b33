"""Where bytes, rows and servers live. On a cluster the ConfigMap `chexpert` fills the same variables."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from chexpert.domain.errors import InputError

__all__ = ["MissingPlace", "Places"]


class MissingPlace(InputError):
    """An address that this work needs is not set."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is not set: export it, or run under `chexpert up` or `chexpert pipeline run`")
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses, each from the variable CHEXPERT_<FIELD>. An empty one is missing; `need` says so by name."""

    objects: str = ""
    """Root of images, bundles, logs, reports: a folder or an fsspec URL such as s3://chexpert."""
    database: str = ""
    """SQLAlchemy URL of the site's tables."""
    tracking: str = ""
    """MLflow tracking and registry URI."""
    gitops: str = ""
    """Git URL or path of the repository with kserve/<environment>/inferenceservice.yaml."""
    site: str = ""
    """Base URL of the triage site."""
    staging: str = ""
    """Base URL of the staging predictor (V2)."""
    production: str = ""
    """Base URL of the production predictor (V2)."""
    version_url: str = ""
    """Base URL of one version's own server, with {version} in it, for shadow replays; empty: the production predictor
    is asked for /versions/<version>, which ours answers and KServe's router does not."""
    inference_service: str = ""
    """namespace/name of an environment's InferenceService, with {environment} in it; empty: not on a cluster."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read CHEXPERT_OBJECTS, CHEXPERT_DATABASE and so on from a mapping such as os.environ."""
        return cls(**{f.name: environment.get(_variable(f.name), "") for f in fields(cls)})

    def to_environment(self) -> dict[str, str]:
        """Inverse of `from_environment`, without the empty ones."""
        return {_variable(f.name): value for f in fields(self) if (value := getattr(self, f.name))}

    def need(self, name: str) -> str:
        """The address called `name`, or MissingPlace."""
        value: str = getattr(self, name)
        if not value:
            raise MissingPlace(_variable(name))
        return value

    def object(self, *parts: str) -> str:
        """URL of an object under the objects root."""
        return "/".join([self.need("objects").rstrip("/"), *parts])


def _variable(name: str) -> str:
    return f"CHEXPERT_{name.upper()}"
