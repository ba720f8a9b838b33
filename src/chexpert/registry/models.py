"""Versions of the model. A version is a bundle's URI and digest, entered once, and only on a passed verdict."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from chexpert.domain.verdicts import Verdict
from chexpert.registry.clients import Connection
from chexpert.registry.errors import DigestMismatch, NoModelRegistered, RegistryRejected

__all__ = ["MODEL", "RegisteredVersion", "names", "register", "resolve", "set_alias", "versions"]

MODEL: Final = "chexpert"
"""Name of the registered model; also the V2 model name."""

_DIGEST: Final = "digest"
_VERSION: Final = re.compile(r"v?([0-9]+)")
_MODELS_URI: Final = re.compile(r"models:/[^/@]+[/@](.+)")


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version."""

    version: str
    """Such as v3: `v` and MLflow's number."""
    bundle_uri: str
    """Ends with sha256-<digest>."""
    digest: str
    """Of the bundle: sha256 of its card.json."""
    run_id: str
    created: datetime
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def register(
    uri: str,
    *,
    bundle_uri: str,
    digest: str,
    run_id: str,
    verdict: Verdict,
    name: str = MODEL,
    tags: Mapping[str, Any] | None = None,
) -> str:
    """Enter a bundle and return its version, such as v3. The same digest gives the same version again.

    Args:
        uri: MLflow's tracking and registry address.
        bundle_uri: As bundle.store.write gave it.
        digest: Of the bundle, 64 hexadecimal digits.
        run_id: Run that trained it; empty if there is none.
        verdict: Of the last gate before registration.
        name: Registered model.
        tags: More facts to keep with the version.

    Raises:
        RefusedError: The verdict is a refusal; nothing is entered.
        DigestMismatch: The URI does not end with the digest.
        RegistryUnavailable: No answer.
    """
    verdict.require()
    if not bundle_uri.rstrip("/").endswith(f"sha256-{digest}"):
        raise DigestMismatch(bundle_uri, digest)
    connection = Connection.open(uri)
    _ensure_model(connection, name)
    if present := _by_digest(connection, name, digest):
        return present
    facts = {
        _DIGEST: digest,
        "verdict gate": verdict.gate,
        "verdict subject": verdict.subject,
        "verdict inputs": verdict.inputs_digest,
        **(tags or {}),
    }
    made = connection.do(
        "create_model_version",
        name,
        source=bundle_uri,
        run_id=run_id or None,
        tags={key: str(value) for key, value in facts.items()},
        description="; ".join(verdict.reasons),
    )
    first = _by_digest(connection, name, digest)
    if first and first != f"v{made.version}":
        # Another process entered the same bundle in the same moment: the lower number stays.
        connection.do("delete_model_version", name, made.version)
        return first
    return f"v{made.version}"


def resolve(uri: str, wanted: str, *, name: str = MODEL) -> RegisteredVersion:
    """The version behind v3, 3, an alias such as production, or models:/chexpert@production.

    Raises:
        NoModelRegistered: Naming what there is.
        RegistryUnavailable: No answer.
    """
    inner = _MODELS_URI.fullmatch(wanted)
    key = inner.group(1) if inner else wanted
    number = _VERSION.fullmatch(key)
    present = versions(uri, name=name)
    for each in present:
        if each.version == (f"v{int(number.group(1))}" if number else None) or key in each.aliases:
            return each
    aliases = sorted({alias for each in present for alias in each.aliases})
    raise NoModelRegistered(uri, name, wanted, tuple([each.version for each in present][:10] + aliases))


def set_alias(uri: str, alias: str, version: str, *, name: str = MODEL) -> None:
    """Point an alias (staging, production) at a version such as v3; it leaves the version it stood at.

    Raises:
        NoModelRegistered: No such version.
        RegistryUnavailable: No answer.
    """
    found = resolve(uri, version, name=name)
    Connection.open(uri).do("set_registered_model_alias", name, alias, found.version.removeprefix("v"))


def versions(uri: str, *, name: str = MODEL) -> tuple[RegisteredVersion, ...]:
    """All versions of a model, newest first, with their aliases; empty if the model is unknown."""
    connection = Connection.open(uri)
    try:
        model = connection.do("get_registered_model", name)
    except RegistryRejected as error:
        if "not found" in str(error):
            return ()
        raise
    aliases: dict[str, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    found = _search(connection, f"name = '{name}'")
    return tuple(
        RegisteredVersion(
            version=f"v{each.version}",
            bundle_uri=each.source,
            digest=each.tags.get(_DIGEST, ""),
            run_id=each.run_id or "",
            created=datetime.fromtimestamp(each.creation_timestamp / 1000, UTC),
            aliases=tuple(sorted(aliases.get(str(each.version), ()))),
            tags=dict(each.tags),
        )
        for each in sorted(found, key=lambda each: -int(each.version))
    )


def names(uri: str) -> tuple[str, ...]:
    """Registered models."""
    return tuple(model.name for model in Connection.open(uri).do("search_registered_models"))


def _ensure_model(connection: Connection, name: str) -> None:
    try:
        connection.do("create_registered_model", name)
    except RegistryRejected as error:
        if "already exists" not in str(error):
            raise


def _by_digest(connection: Connection, name: str, digest: str) -> str | None:
    """Lowest version of that digest."""
    numbers = [int(each.version) for each in _search(connection, f"name = '{name}' and tags.{_DIGEST} = '{digest}'")]
    return f"v{min(numbers)}" if numbers else None


def _search(connection: Connection, query: str) -> list[Any]:
    """Every page of the answer."""
    found: list[Any] = []
    token = None
    while True:
        page = connection.do("search_model_versions", query, max_results=200, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
