"""One call of a step from the command line: `chexpert step NAME --parameter=… --in=… --out=… --run=…`.

A cluster starts it in a container, the local runner in a forked child: both come through here.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Self

from chexpert.domain.errors import ChexpertError, InputError, RefusedError, RetryableError
from chexpert.domain.places import Places
from chexpert.pipeline.step import VERDICT, StepContext, StepDeclaration

__all__ = ["DONE", "FAULT", "PROGRESS_VARIABLE", "REFUSED", "RETRY", "Invocation"]

DONE: Final = 0
FAULT: Final = 1
REFUSED: Final = 3
"""A gate refused: trying again does not help, and nothing is broken."""
RETRY: Final = 75
"""EX_TEMPFAIL of sysexits.h: something outside did not answer, or ended the step before its time (SIGTERM)."""

PROGRESS_VARIABLE: Final = "ARGO_PROGRESS_FILE"
"""Argo reads `done/total` from the file this variable names."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process: a fork of the runner must end in its own way."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message} (chexpert step --help)"
        raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A parsed command line of one step."""

    declaration: StepDeclaration
    parameters: Mapping[str, str]
    inputs: Path
    outputs: Path
    run: str

    @classmethod
    def parse(cls, arguments: Sequence[str], steps: Mapping[str, StepDeclaration]) -> Self:
        """Read what follows `chexpert step`.

        Raises:
            InputError: no such step, an unknown option, or a parameter that is unknown, malformed or missing.
        """
        parser = _Parser(prog="chexpert step", description="Run one step of a workflow.")
        parser.add_argument("name", choices=sorted(steps), metavar="NAME", help=", ".join(sorted(steps)))
        parser.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE")
        parser.add_argument("--in", dest="inputs", type=Path, default=Path("/step/in"), help="input artifacts")
        parser.add_argument("--out", dest="outputs", type=Path, default=Path("/step/out"), help="output artifacts")
        parser.add_argument("--run", default="by-hand", help="name of the workflow run")
        options = parser.parse_args(list(arguments))
        given: dict[str, str] = {}
        for text in options.parameter:
            key, equals, value = text.partition("=")
            if not equals:
                msg = f"--parameter={text} has no value: write --parameter={text}=VALUE"
                raise InputError(msg)
            given[key] = value
        declaration = steps[options.name]
        return cls(
            declaration=declaration,
            parameters=declaration.resolve(given),
            inputs=options.inputs,
            outputs=options.outputs,
            run=options.run,
        )

    def execute(self, environment: Mapping[str, str]) -> None:
        """Run the step's function; its verdict is published, and a failed one raised as RefusedError."""
        progress = environment.get(PROGRESS_VARIABLE, "")
        context = StepContext(
            step=self.declaration.name,
            parameters=self.parameters,
            inputs=self.inputs,
            outputs=self.outputs,
            places=Places.from_environment(environment),
            run=self.run,
            progress_file=Path(progress) if progress else None,
        )
        verdict = self.declaration.load()(context)
        if verdict is not None:
            if not (self.outputs / VERDICT).exists():
                context.publish(verdict)
            verdict.require()


def main(arguments: Sequence[str], environment: Mapping[str, str], steps: Mapping[str, StepDeclaration]) -> int:
    """Parse and execute, tell errors on standard error, and return the exit code."""
    try:
        with _terminable():
            Invocation.parse(arguments, steps).execute(environment)
    except RefusedError as refusal:
        for reason in refusal.reasons:
            _say(f"refused: {reason}")
        return REFUSED
    except RetryableError as error:
        _say(f"try again: {error}")
        return RETRY
    except ChexpertError as error:
        _say(f"error: {error}")
        return FAULT
    except Exception:  # noqa: BLE001 - the outermost edge of a step: any other error is a fault, told with its trace
        _say(traceback.format_exc().rstrip())
        return FAULT
    return DONE


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the step with RETRY: a drained node or a deleted pod says nothing against its work."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    step = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() != step:  # a worker that the step forked ends as it would have
            os._exit(128 + number)
        _say(f"try again: ended by {signal.Signals(number).name}")
        raise SystemExit(RETRY)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a step's log is its standard output and error
