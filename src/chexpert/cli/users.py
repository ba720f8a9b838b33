"""`chexpert users`: lines of the file that says who may log in. Passwords never stand among the arguments."""

import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from chexpert.domain.errors import InputError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Who may log in to the site.")

ROLES = ("technician", "radiologist", "admin")


class PasswordsDiffer(InputError):
    """The second time it was another one."""

    def __init__(self) -> None:
        super().__init__("the two passwords differ: type the same one twice")


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Stands beside each answer of theirs.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
) -> None:
    """Print a line for the users' file. The password is asked for, or read from standard input where that is a pipe."""
    from chexpert.triage.errors import NotAllowed
    from chexpert.triage.users import Role, line_of

    if role not in ROLES:
        raise NotAllowed(what="role", reason=f"{role!r} is none of {', '.join(ROLES)}")
    typer.echo(line_of(name, Role(role), _password()))


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The users' file.")],
    name: Annotated[str, typer.Option(help="Also ask for this user's password, and say whether it is right.")] = "",
) -> None:
    """Say who stands in a users' file, or which line is wrong."""
    from chexpert.triage.errors import NotAllowed
    from chexpert.triage.users import UserBook

    users = UserBook(file).users()
    for user in users.values():
        typer.echo(f"{user.name}: {user.role}")
    if not name:
        return
    if name not in users or not users[name].password.matches(_password(twice=False)):
        raise NotAllowed(what=name, reason="not in the file, or the password is another one")
    typer.echo(f"the password of {name} is right")


def _password(*, twice: bool = True) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if twice and getpass("Again: ") != password:
        raise PasswordsDiffer
    return password
