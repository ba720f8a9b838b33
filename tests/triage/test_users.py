"""The users' file, the passwords in it, and the commands that write and check it."""

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chexpert.cli.users import app
from chexpert.triage.errors import BrokenUsers, NotAllowed
from chexpert.triage.passwords import PasswordHash
from chexpert.triage.throttle import Throttle
from chexpert.triage.users import Right, Role, UserBook, line_of, parse

CHEAP = PasswordHash(b"salt", PasswordHash(b"salt", bytes(32), n=2, p=1).derive("secret"), n=2, p=1)


def test_a_hash_knows_its_password_and_no_other() -> None:
    """It survives its text form, differs each time, and refuses the empty password and a longer one."""
    one, other = PasswordHash.of("correct horse"), PasswordHash.of("correct horse")
    again = PasswordHash.from_text(one.to_text())
    assert again == one
    assert one.to_text() != other.to_text()
    assert again.matches("correct horse")
    assert not any(again.matches(wrong) for wrong in ("", "correct hors", "correct horse "))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "$scrypt$n=16384,r=8,p=5$c2FsdA",
        "$scrypt$n=16383,r=8,p=5$c2FsdA$aGFzaA",
        "$scrypt$n=1048576,r=8,p=1$c2FsdA$aGFzaA",
        "$scrypt$n=16384,r=8,p=99$c2FsdA$aGFzaA",
        "$2b$12$aaaaaaaaaaaaaaaaaaaaaa",
    ],
)
def test_other_texts_and_hashes_that_would_take_the_memory_are_none(text: str) -> None:
    """A line of the file cannot make each try cost gigabytes."""
    with pytest.raises(ValueError, match=r"scrypt|power of two|rounds"):
        PasswordHash.from_text(text)


def test_roles_hold_what_their_work_needs() -> None:
    """A technician brings images and sees the list, a radiologist reads, an admin does both."""
    users = parse("".join(f"{role}:{role}:{CHEAP.to_text()}\n" for role in Role), "here")
    rights = {name: {right for right in Right if user.may(right)} for name, user in users.items()}
    assert rights["technician"] == {Right.LIST, Right.UPLOAD}
    assert rights["radiologist"] == {Right.LIST, Right.READ}
    assert rights["admin"] == set(Right)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"ada:radiologist:{CHEAP.to_text()}\nbob:radiologist:x", "line 2"),
        (f"ada:chief:{CHEAP.to_text()}", "line 1"),
        (f" :radiologist:{CHEAP.to_text()}", "line 1"),
        (f"ada:radiologist:{CHEAP.to_text()}\nada:admin:{CHEAP.to_text()}", "line 2 names ada again"),
    ],
)
def test_a_broken_file_is_refused_by_line(text: str, said: str) -> None:
    """The message says which line, and never shows a hash."""
    with pytest.raises(BrokenUsers, match=said) as caught:
        parse(text, "here")
    assert "scrypt" not in str(caught.value)


def test_a_file_of_nobody_is_one() -> None:
    """A site may be installed before its first user: it runs, and lets nobody in."""
    assert parse("", "here") == parse("# nobody yet\n\n", "here") == {}


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """As Kubernetes swaps a mounted Secret: through a link to another folder."""
    for number, name in enumerate(("ada", "bob")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "users").write_text(f"{name}:admin:{CHEAP.to_text()}\n")
    (tmp_path / "data").symlink_to("0")
    book = UserBook(tmp_path / "data" / "users")
    assert set(book.users()) == {"ada"}
    (tmp_path / "new").symlink_to("1")
    os.replace(tmp_path / "new", tmp_path / "data")  # noqa: PTH105  pathlib would follow the link
    assert set(book.users()) == {"bob"}


def test_a_file_that_breaks_changes_nothing_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who could log in still can; the next sound file counts again."""
    file = tmp_path / "users"
    file.write_text(f"ada:admin:{CHEAP.to_text()}\n")
    book = UserBook(file)
    with caplog.at_level(logging.ERROR):
        file.write_text("ada:admin\n")
        assert {*book.users(), *book.users()} == {"ada"}
    assert [record.message.count("line 1") for record in caplog.records] == [1]
    file.write_text(f"bob:admin:{CHEAP.to_text()}\n")
    assert set(book.users()) == {"bob"}


def test_the_command_prints_a_line_and_takes_no_password_as_argument(tmp_path: Path) -> None:
    """The password comes by standard input; what is printed is a line that `check` accepts."""
    runner = CliRunner()
    made = runner.invoke(app, ["add", "Ada Lovelace", "--role", "radiologist"], input="correct horse battery\n")
    assert made.exit_code == 0
    assert "correct horse" not in made.output
    file = tmp_path / "users"
    file.write_text(made.output)
    assert UserBook(file).users()["Ada Lovelace"].password.matches("correct horse battery")
    checked = runner.invoke(app, ["check", str(file), "--name", "Ada Lovelace"], input="correct horse battery\n")
    assert "is right" in checked.output
    wrong = runner.invoke(app, ["check", str(file), "--name", "Ada Lovelace"], input="another one\n")
    assert isinstance(wrong.exception, NotAllowed)


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "short"), ("a:da", "correct horse battery"), ("", "correct horse battery")]
)
def test_short_passwords_and_names_that_break_the_line_are_refused(name: str, password: str) -> None:
    """Under twelve characters nothing is hashed."""
    with pytest.raises(NotAllowed):
        line_of(name, Role.ADMIN, password)


def test_the_sixth_try_waits_twice_as_long_each_time(clock: "object") -> None:
    """Five at once; then 1, 2, 4 seconds; another address and a right password begin anew."""
    hand = clock
    throttle = Throttle(hand)  # type: ignore[arg-type]
    assert [throttle.take("ada", "1") for _ in range(5)] == [0.0] * 5
    for pause_s in (1, 2, 4, 8):
        assert throttle.take("ada", "1") == pytest.approx(pause_s, abs=0.01)
        hand.forward(seconds=pause_s)  # type: ignore[attr-defined]
        assert throttle.take("ada", "1") == 0.0
    assert throttle.take("ada", "2") == 0.0
    throttle.clear("ada", "1")
    assert throttle.take("ada", "1") == 0.0


def test_the_throttle_forgets_and_stays_small(clock: "object") -> None:
    """Whatever names are tried, no more than `size` are kept; a quarter of an hour later all is forgotten."""
    throttle = Throttle(clock, size=100)  # type: ignore[arg-type]
    for number in range(1000):
        throttle.take(f"n{number}", "1")
    assert len(throttle._tries) == 100
    for _ in range(5):
        throttle.take("ada", "1")
    assert throttle.take("ada", "1") > 0
    clock.now += timedelta(minutes=16)  # type: ignore[attr-defined]
    assert throttle.take("ada", "1") == 0.0
