#!/usr/bin/env python3
"""Back up and restore a site: its PostgreSQL databases by pg_dump, its objects by rclone.

Settings come by environment: CHEXPERT_BACKUP_DATABASES (JSON: name to postgresql:// URL), CHEXPERT_BACKUP_OBJECTS and
CHEXPERT_BACKUP_TARGET (rclone paths or folders), CHEXPERT_BACKUP_KEEP_DAYS, and RCLONE_CONFIG_* for the remotes.

    TARGET/tables/<stamp>/<name>.dump, manifest.json    one folder a run
    TARGET/objects/                                     as the objects are now
    TARGET/changed/<stamp>/                             objects that a run replaced or no longer found
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit

STAMP = "%Y%m%dT%H%M%SZ"
COUNTS = """
SELECT coalesce(json_object_agg(schemaname || '.' || tablename, (xpath('/row/n/text()', query_to_xml(
    format('SELECT count(*) AS n FROM %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint), '{}')
FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema');
"""
"""Rows of every table, as one JSON object."""


class Refused(Exception):
    """What was asked for would lose or hide data; a person must look."""


@dataclass(frozen=True)
class Settings:
    """Where a site's data are and where their copies go."""

    databases: dict[str, str]
    objects: str
    target: str
    keep: timedelta

    @classmethod
    def read(cls) -> "Settings":
        """From the environment. Raises KeyError for one that is not set."""
        return cls(
            json.loads(os.environ["CHEXPERT_BACKUP_DATABASES"]),
            os.environ["CHEXPERT_BACKUP_OBJECTS"].rstrip("/"),
            os.environ["CHEXPERT_BACKUP_TARGET"].rstrip("/"),
            timedelta(days=float(os.environ["CHEXPERT_BACKUP_KEEP_DAYS"])),
        )


def back_up(settings: Settings, stamp: str) -> dict[str, object]:
    """Dump the tables, then bring the copy of the objects up to date; the manifest comes last.

    Tables first: a row is written after its bytes, so the objects copied later hold all that the dump refers to.

    Raises:
        Refused: the source of the objects is empty, which is a wrong address rather than a site.
    """
    if not rclone("lsf", "--recursive", "--files-only", "--max-depth", "8", settings.objects):
        message = f"{settings.objects} holds nothing: is the address right?"
        raise Refused(message)
    place = f"{settings.target}/tables/{stamp}"
    manifest: dict[str, object] = {"stamp": stamp, "databases": {}}
    with tempfile.TemporaryDirectory() as folder:
        manifest["databases"] = {name: dump(url, Path(folder), name) for name, url in settings.databases.items()}
        rclone("copy", folder, place)
        moved = ["--backup-dir", f"{settings.target}/changed/{stamp}"]
        rclone("sync", "--checksum", "--fast-list", *moved, settings.objects, f"{settings.target}/objects")
        manifest["objects"] = json.loads(rclone("size", "--json", f"{settings.target}/objects"))
        Path(folder, "manifest.json").write_text(json.dumps(manifest, indent=2))
        rclone("copyto", f"{folder}/manifest.json", f"{place}/manifest.json")
    forget(settings, datetime.strptime(stamp, STAMP).replace(tzinfo=UTC))
    return manifest


def restore(settings: Settings, stamp: str) -> dict[str, object]:
    """Put a backup into empty databases and an empty place for objects, and hold it to its manifest.

    Raises:
        Refused: a place is not empty, a dump is not the one that was made, or what arrived is not what left.
    """
    manifest = json.loads(rclone("cat", f"{settings.target}/tables/{stamp}/manifest.json"))
    if missing := sorted(set(manifest["databases"]) - set(settings.databases)):
        message = f"no address for: {', '.join(missing)}"
        raise Refused(message)
    for name in manifest["databases"]:
        if held := rows(settings.databases[name]):
            message = f"the database for {name} has {len(held)} tables: restore into an empty one"
            raise Refused(message)
    if rclone("lsf", settings.objects, check=False):
        message = f"{settings.objects} is not empty: restore into an empty place"
        raise Refused(message)
    with tempfile.TemporaryDirectory() as folder:
        rclone("copy", f"{settings.target}/tables/{stamp}", folder)
        for name, stated in manifest["databases"].items():
            load(settings.databases[name], Path(folder, f"{name}.dump"), stated)
    rclone("copy", "--checksum", "--fast-list", f"{settings.target}/objects", settings.objects)
    rclone("check", "--fast-list", f"{settings.target}/objects", settings.objects)
    return manifest


def verify(settings: Settings, stamp: str) -> dict[str, object]:
    """Read a backup's dumps again, and compare the copies of the objects byte by byte with the objects.

    Raises:
        Refused: a dump is not the one that was made.
        CalledProcessError: an object is missing or differs.
    """
    manifest = json.loads(rclone("cat", f"{settings.target}/tables/{stamp}/manifest.json"))
    with tempfile.TemporaryDirectory() as folder:
        rclone("copy", f"{settings.target}/tables/{stamp}", folder)
        for name, stated in manifest["databases"].items():
            hold(Path(folder, f"{name}.dump"), stated["sha256"])
    rclone("check", "--download", "--one-way", f"{settings.target}/objects", settings.objects)
    return manifest


def latest(settings: Settings) -> str:
    """Stamp of the newest backup that was finished, which is the one with a manifest."""
    found = rclone(
        "lsf", "--recursive", "--files-only", "--include", "/*/manifest.json", f"{settings.target}/tables"
    ).split()
    if not found:
        message = f"{settings.target} holds no finished backup"
        raise Refused(message)
    return max(found).split("/")[0]


def forget(settings: Settings, now: datetime) -> None:
    """Remove dumps and replaced objects that are past keeping. The newest is from this run, so it stays."""
    for kind in ("tables", "changed"):
        for name in rclone("lsf", "--dirs-only", f"{settings.target}/{kind}", check=False).split():
            if now - datetime.strptime(name.rstrip("/"), STAMP).replace(tzinfo=UTC) > settings.keep:
                rclone("purge", f"{settings.target}/{kind}/{name.rstrip('/')}")


def dump(url: str, folder: Path, name: str) -> dict[str, object]:
    """One database into a file; rows are counted in the snapshot that is dumped, so that they can be compared."""
    file = folder / f"{name}.dump"
    psql = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(psql, env=reached(url), stdin=pipe, stdout=pipe, text=True) as session:  # noqa: S603 - no shell
        question, answer = cast("IO[str]", session.stdin), cast("IO[str]", session.stdout)
        question.write("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n")
        question.flush()
        snapshot = answer.readline().strip()
        run(["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={file}"], env=reached(url))
        counted, _ = session.communicate(COUNTS)
    return {"sha256": digest(file), "bytes": file.stat().st_size, "rows": json.loads(counted)}


def load(url: str, file: Path, stated: dict[str, object]) -> None:
    """One file into an empty database, whole or not at all."""
    hold(file, stated["sha256"])
    command = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    run([*command, "--dbname", reached(url)["PGDATABASE"], str(file)], env=reached(url))
    if (arrived := rows(url)) != stated["rows"]:
        message = f"{file.name}: {arrived} rows arrived, {stated['rows']} left"
        raise Refused(message)


def rows(url: str) -> dict[str, int]:
    """Of every table of a database."""
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", COUNTS]
    found: dict[str, int] = json.loads(run(command, env=reached(url)))
    return found


def hold(file: Path, sha256: object) -> None:
    """Refuse a dump whose bytes are not those that were written."""
    if (found := digest(file)) != sha256:
        message = f"{file.name} has sha256 {found}, its manifest says {sha256}"
        raise Refused(message)


def digest(file: Path) -> str:
    """sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reached(url: str) -> dict[str, str]:
    """The environment in which PostgreSQL's programs reach this database: a command line shows passwords to all."""
    parts = urlsplit(url)
    found = {"PGHOST": parts.hostname or "", "PGPORT": str(parts.port or 5432), "PGDATABASE": parts.path.strip("/")}
    found |= {"PGUSER": unquote(parts.username or ""), "PGPASSWORD": unquote(parts.password or "")}
    return {**os.environ, **{name: value for name, value in found.items() if value}}


def rclone(*arguments: str, check: bool = True) -> str:
    """What rclone prints. Without `check`, a place that does not exist holds nothing."""
    return run(["rclone", "--retries", "3", *arguments], check=check)


def run(command: list[str], *, env: dict[str, str] | None = None, check: bool = True) -> str:
    """What a program prints; its complaints go where ours go."""
    stderr = None if check else subprocess.DEVNULL
    done = subprocess.run(command, env=env, check=check, stdout=subprocess.PIPE, stderr=stderr, text=True)  # noqa: S603 - no shell
    return done.stdout


def main() -> int:
    """Exit 0: done; 3: refused, with the reason; 1: a program failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["backup", "restore", "verify"])
    parser.add_argument("stamp", nargs="?", default="latest", help="of the backup to restore or verify")
    asked = parser.parse_args()
    try:
        settings = Settings.read()
        if asked.action == "backup":
            done = back_up(settings, datetime.now(UTC).strftime(STAMP))
        else:
            stamp = latest(settings) if asked.stamp == "latest" else asked.stamp
            done = (restore if asked.action == "restore" else verify)(settings, stamp)
    except KeyError as error:
        sys.stderr.write(f"not set: {error}\n")
        return 3
    except Refused as error:
        sys.stderr.write(f"refused: {error}\n")
        return 3
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{' '.join(error.cmd)}: exit {error.returncode}\n")
        return 1
    sys.stdout.write(f"{json.dumps(done)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
