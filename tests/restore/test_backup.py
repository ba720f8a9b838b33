import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from real_stores import S3, Postgres

PROGRAM = Path(__file__).resolve().parents[2] / "ansible/roles/backup/files/chexpert_backup.py"
STUDIES = 2000
IMAGES = 120


@dataclass(slots=True)
class Place:
    """A site's stores, or an empty place for them: two databases and a bucket."""

    server: Postgres
    store: S3
    target: Path
    databases: dict[str, str] = field(init=False)
    bucket: str = field(init=False)

    def __post_init__(self) -> None:
        self.databases = {name: self.server.database() for name in ("site", "mlflow")}
        self.bucket = self.store.bucket().removeprefix("s3://")

    @property
    def objects(self) -> Path:
        """Where the store keeps what is in the bucket."""
        return self.store.folder / "data" / self.bucket

    def run(self, *arguments: str, keep_days: float = 30) -> subprocess.CompletedProcess[str]:
        """The very program that the role installs, with the settings that the role writes."""
        plain = {name: url.replace("+psycopg", "") for name, url in self.databases.items()}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RCLONE", "AWS"))},
            "PATH": f"{self.server.programs}:{os.environ['PATH']}",
            "CHEXPERT_BACKUP_DATABASES": json.dumps(plain),
            "CHEXPERT_BACKUP_OBJECTS": f"site:{self.bucket}",
            "CHEXPERT_BACKUP_TARGET": str(self.target),
            "CHEXPERT_BACKUP_KEEP_DAYS": str(keep_days),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_SITE_TYPE": "s3",
            "RCLONE_CONFIG_SITE_PROVIDER": "Other",
            "RCLONE_CONFIG_SITE_ENDPOINT": f"http://127.0.0.1:{self.store.port}",
            "RCLONE_CONFIG_SITE_ACCESS_KEY_ID": "tests",
            "RCLONE_CONFIG_SITE_SECRET_ACCESS_KEY": "tests-secret",
        }
        return subprocess.run(
            [sys.executable, str(PROGRAM), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def fill(self) -> None:
        """Studies, label events of several types, and images; then what a database has beside its rows."""
        self.execute(
            "site",
            "CREATE TABLE study (id serial PRIMARY KEY, patient text NOT NULL, arrived timestamptz DEFAULT now())",
            "CREATE TABLE label_event (id bigserial, study int REFERENCES study, answer jsonb, note bytea)",
            "CREATE INDEX study_patient ON study (patient)",
            f"INSERT INTO study (patient) SELECT 'p' || n || 'ä' FROM generate_series(1, {STUDIES}) n",  # noqa: S608
            """INSERT INTO label_event (study, answer, note)
               SELECT id, jsonb_build_object('value', id % 4 - 1), sha256(patient::bytea) FROM study""",
        )
        self.execute("mlflow", "CREATE TABLE runs (run_uuid text)", "INSERT INTO runs VALUES ('a'), ('b')")
        for number in range(IMAGES):
            path = self.objects / "images" / f"{number % 7:02x}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hashlib.sha256(str(number).encode()).digest() * (1 + number * 40))

    def execute(self, database: str, *statements: str) -> None:
        """Statements in one transaction."""
        engine = create_engine(self.databases[database])
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def rows(self, database: str, table: str) -> list[tuple[object, ...]]:
        """A whole table, in the order of its first column."""
        engine = create_engine(self.databases[database])
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1"))]  # noqa: S608
        engine.dispose()
        return found

    def checksums(self) -> dict[str, str]:
        """sha256 of every object, by key."""
        return {
            str(path.relative_to(self.objects)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.objects.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def place(own_postgres: Postgres, own_s3: S3, tmp_path: Path) -> Place:
    """A filled site."""
    if shutil.which("rclone") is None:
        pytest.skip("no rclone: apt-get install rclone, then these run")
    made = Place(own_postgres, own_s3, tmp_path / "backup")
    made.fill()
    return made


def elsewhere(place: Place) -> Place:
    return Place(place.server, place.store, place.target)


def test_a_backup_restored_into_an_empty_place_is_equal(place: Place) -> None:
    """Every row of every table, every object's checksum, indexes and sequences too; the source can be gone."""
    made = place.run("backup")
    assert made.returncode == 0, made.stderr
    stated = json.loads(made.stdout)
    assert stated["databases"]["site"]["rows"] == {"public.study": STUDIES, "public.label_event": STUDIES}
    assert stated["objects"]["count"] == IMAGES
    rows = {table: place.rows("site", table) for table in ("study", "label_event")}
    checksums = place.checksums()
    shutil.rmtree(place.objects)

    empty = elsewhere(place)
    done = empty.run("restore")
    assert done.returncode == 0, done.stderr
    assert {table: empty.rows("site", table) for table in rows} == rows
    assert empty.rows("mlflow", "runs") == [("a",), ("b",)]
    assert empty.checksums() == checksums
    empty.execute("site", "INSERT INTO study (patient) VALUES ('next')")
    assert empty.rows("site", "study")[-1][0] == STUDIES + 1
    assert empty.rows("site", "pg_indexes WHERE indexname = 'study_patient'")


def test_rows_written_while_it_runs_are_all_or_not_there(place: Place) -> None:
    """The counts of the manifest are those of the dumped moment, so that a busy site can be held to them."""
    writing = subprocess.Popen(
        [
            str(place.server.programs / "psql"),
            place.databases["site"].replace("+psycopg", ""),
            "-qc",
            "DO $$ BEGIN FOR n IN 1..2000 LOOP INSERT INTO study (patient) VALUES ('late'); COMMIT; END LOOP; END $$",
        ]
    )
    made = place.run("backup")
    assert writing.wait(timeout=60) == 0
    assert made.returncode == 0, made.stderr
    empty = elsewhere(place)
    done = empty.run("restore")
    assert done.returncode == 0, done.stderr
    assert len(empty.rows("site", "study")) == json.loads(made.stdout)["databases"]["site"]["rows"]["public.study"]


@pytest.mark.parametrize("held", ["rows", "objects"])
def test_a_place_that_is_not_empty_is_refused(place: Place, held: str) -> None:
    """A restore never mixes two sites, and leaves alone what is there."""
    assert place.run("backup").returncode == 0
    other = elsewhere(place)
    if held == "rows":
        other.execute("mlflow", "CREATE TABLE runs (run_uuid text)")
    else:
        (other.objects / "one").write_text("kept")
    refused = other.run("restore")
    assert refused.returncode == 3
    assert "empty" in refused.stderr
    assert other.rows("site", "pg_tables WHERE schemaname = 'public'") == []


def test_a_damaged_dump_is_refused_before_anything_is_written(place: Place) -> None:
    """One byte that turned is found by its checksum, at verification as at restoration."""
    assert place.run("backup").returncode == 0
    (dump,) = place.target.glob("tables/*/site.dump")
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    for action, where in (("verify", place), ("restore", elsewhere(place))):
        refused = where.run(action)
        assert refused.returncode == 3
        assert "sha256" in refused.stderr


def test_a_damaged_object_is_seen(place: Place) -> None:
    """Verification reads the bytes, not the dates."""
    assert place.run("backup").returncode == 0
    assert place.run("verify").returncode == 0
    copy = place.target / "objects/images/01/1.png"
    copy.write_bytes(copy.read_bytes()[:-1] + b"\0")
    assert place.run("verify").returncode == 1


def test_a_second_run_copies_what_is_new_and_keeps_what_is_gone(place: Place) -> None:
    """Objects that a site deletes or replaces stay for the days that were chosen; the rest is not copied again."""
    assert place.run("backup").returncode == 0
    kept = place.target / "objects/images/00/0.png"
    before = kept.stat()
    (place.objects / "images/01/1.png").unlink()
    (place.objects / "images/02/2.png").write_text("new")
    assert place.run("backup").returncode == 0
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert kept.stat().st_ino == before.st_ino
    assert sorted(path.name for path in place.target.glob("changed/*/images/*/*")) == ["1.png", "2.png"]
    assert (place.target / "objects/images/02/2.png").read_text() == "new"


def test_an_empty_source_is_a_wrong_address(place: Place) -> None:
    """The copies are not emptied after it."""
    assert place.run("backup").returncode == 0
    shutil.rmtree(place.objects)
    place.objects.mkdir()
    refused = place.run("backup")
    assert refused.returncode == 3
    assert "is the address right?" in refused.stderr
    assert len([path for path in (place.target / "objects").rglob("*") if path.is_file()]) == IMAGES


def test_dumps_past_keeping_go_and_the_newest_stays(place: Place) -> None:
    """With nothing to be kept, the run that just ended is all that is left."""
    old = place.target / "tables/20200101T000000Z"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text("{}")
    made = place.run("backup", keep_days=0)
    assert made.returncode == 0, made.stderr
    assert [path.name for path in (place.target / "tables").iterdir()] == [json.loads(made.stdout)["stamp"]]


def test_a_backup_that_did_not_end_is_no_backup(place: Place) -> None:
    """The manifest comes last; without one the run before it is the newest."""
    made = place.run("backup")
    (place.target / "tables/29990101T000000Z").mkdir()
    done = elsewhere(place).run("restore")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stamp"] == json.loads(made.stdout)["stamp"]


def test_a_password_stands_in_no_command_line(place: Place) -> None:
    """Everybody on a machine may read those; a failure's message is made of one."""
    place.databases["site"] = (
        place.databases["site"].replace("chexpert@", "chexpert:geheim@").replace("chexpert_", "no_")
    )
    failed = place.run("backup")
    assert failed.returncode == 1
    assert "geheim" not in failed.stdout + failed.stderr
