"""Verdicts and reports under the objects root: read by run and name, never by a path from outside."""

import re
from typing import Final

import fsspec

from chexpert.domain.verdicts import Verdict
from chexpert.triage.errors import UnknownRecord

__all__ = ["Records"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,199}")
"""Of a run, a report or a verdict: it begins with no dot and holds no slash, so it leads nowhere else."""
_ADDRESS: Final = re.compile(r"(?:^|.*/)(?P<kind>reports|verdicts)/(?P<run>[^/]+)/(?P<file>[^/]+\.(?:html|json))")
_ENDINGS: Final = {"reports": ".html", "verdicts": ".json"}
_READ_MAX: Final = 50
"""Newest runs looked through for a version's load test."""


class Records:
    """Reads verdicts/<run>/<name>.json and reports/<run>/<name>.html."""

    def __init__(self, objects: str) -> None:
        self._root = objects.rstrip("/")

    def read(self, kind: str, run: str, name: str) -> bytes:
        """Bytes of a record.

        Raises:
            UnknownRecord: there is none, or run or name is none that the house gives.
        """
        if not (_NAME.fullmatch(run) and _NAME.fullmatch(name)):
            raise UnknownRecord(kind, run, name)
        files, path = fsspec.core.url_to_fs(f"{self._root}/{kind}/{run}/{name}{_ENDINGS[kind]}")
        try:
            data: bytes = files.cat_file(path)
        except OSError as error:
            raise UnknownRecord(kind, run, name) from error
        return data

    def verdict(self, uri: str) -> Verdict | None:
        """The verdict an event names, read from this site's objects; None: it is not there, or is none."""
        found = _parts(uri, "verdicts")
        return self._verdict(*found) if found else None

    def link(self, uri: str, kind: str) -> str:
        """Path on this site of a record an event names; empty: it names none of that kind."""
        found = _parts(uri, kind)
        return f"/{kind}/{found[0]}/{found[1]}{_ENDINGS[kind]}" if found else ""

    def reports(self, run: str) -> list[str]:
        """Names of a run's reports."""
        if not _NAME.fullmatch(run):
            return []
        names = self._names(f"reports/{run}")
        return sorted(name.removesuffix(".html") for name in names if name.endswith(".html"))

    def load_test(self, version: str) -> tuple[str, Verdict] | None:
        """Run and verdict of the newest load test of a version in staging, as far as one is found."""
        files, folder = fsspec.core.url_to_fs(f"{self._root}/verdicts")
        runs = sorted(filter(_NAME.fullmatch, self._names("verdicts")), reverse=True)[:_READ_MAX]
        paths = {f"{folder}/{run}/load-test.json": run for run in runs}
        # Together: of an object store each would cost its own round trip.
        contents = files.cat(list(paths), on_error="omit") if paths else {}
        for path, run in paths.items():
            found = _verdict_of(contents.get(path, b""))
            if found and found.subject == version:
                return run, found
        return None

    def _verdict(self, run: str, name: str) -> Verdict | None:
        try:
            return _verdict_of(self.read("verdicts", run, name))
        except UnknownRecord:
            return None

    def _names(self, folder: str) -> list[str]:
        """Names of what lies in a folder; none where there is no such folder, or the objects are away."""
        files, path = fsspec.core.url_to_fs(f"{self._root}/{folder}")
        try:
            return [str(one).rstrip("/").rsplit("/", 1)[-1] for one in files.ls(path, detail=False)]
        except OSError:
            return []


def _verdict_of(data: bytes) -> Verdict | None:
    try:
        return Verdict.from_json(data.decode())
    except (ValueError, TypeError, LookupError):
        return None


def _parts(uri: str, kind: str) -> tuple[str, str] | None:
    """Run and name of a record, whatever the driver calls the root: only this site's own root is ever read."""
    found = _ADDRESS.fullmatch(uri)
    if found is None or found["kind"] != kind:
        return None
    run, name = found["run"], found["file"].removesuffix(_ENDINGS[kind])
    return (run, name) if _NAME.fullmatch(run) and _NAME.fullmatch(name) else None
