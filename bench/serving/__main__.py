"""The command behind `make bench-serving`: measures in turns, prints the table of ratios, saves it.

Run: .venv/bin/python -m bench.serving [--quick] [--variant NAME] [--peers mlserver,triton]
"""

import contextlib
import os
from typing import Annotated, Any, Final

import typer
from bench._saving import ISA, processor, save
from bench.serving.beside import Beside
from bench.serving.fixtures import FP32, ROOT, Fixtures, Served, fixtures
from bench.serving.installed import NotInstallable, installed
from bench.serving.lines import lines
from bench.serving.measuring import EQUAL, SAME_VARIANT, Turns, check, rotated, truth
from bench.serving.processes import NotStarted, Running, running
from bench.serving.table import Row, medians
from bench.serving.ways import (
    BARE_FP32,
    BARE_LANES,
    BARE_LIGHT,
    BARE_SPINNING,
    BARE_VARIANT,
    Loop,
    Server,
    Way,
    peers,
    product,
    product_ways,
)
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PACKAGES: Final = ("onnxruntime", "openvino", "torch", "kserve", "fastapi", "uvicorn", "grpcio", "numpy", "pillow")


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two short rounds to see that everything runs; saves nothing.")
    ] = False,
    variant: Annotated[str, typer.Option(help="Variant to serve; empty: the fastest that the gate takes.")] = "",
    more: Annotated[str, typer.Option("--peers", help="Further peers, by comma: mlserver, triton.")] = "",
    rounds: Annotated[int, typer.Option(help="Rounds; 0: 5, or 2 with --quick.")] = 0,
) -> None:
    """Measure this server and its peers side by side."""
    console = Console(width=150, highlight=False)
    built = fixtures(ROOT)
    served = built.variants[variant or built.chosen]
    console.print(f"{processor()}\nserved: {served.name} ({served.runtime})")
    for one in built.variants.values():
        lost = f"lost: {one.lost}" if one.lost else "taken by the gate"
        console.print(f"  {one.name}: {lost}; scores differ from fp32 by at most {one.score_change_max:.2g}")
    turns = Turns(built, {1: 2.0, 4: 3.0} if quick else {1: 6.0, 4: 10.0})
    measured, differences, skipped = _speeds(
        console, built, served, turns, rounds=rounds or (2 if quick else 5), more=more
    )
    beside = Beside(built, turns, console.print)
    rows = [
        *lines(measured, flags=processor()),
        *beside.crowd(served, 4.0 if quick else 20.0),
        beside.memory(0.1 if quick else 1.0),
        *beside.start(built.variants[FP32], 2 if quick else 5),
    ]
    _show(console, rows)
    report: dict[str, Any] = {
        "what": "DenseNet-121, 320 px, servers in turns on loopback; ratios within a round, medians of rounds",
        "served": served.name,
        "variants": {
            one.name: {"lost": one.lost, "score_change_max": one.score_change_max} for one in built.variants.values()
        },
        "rows": [row.to_dict() for row in rows],
        "medians": medians(measured),
        "rounds": len(measured),
        "largest_score_difference": differences,
        "skipped": skipped,
    }
    if not quick:  # two short rounds are no result
        save("_".join(["serving", *filter(None, [os.environ.get(ISA, "").lower()])]), report, PACKAGES)


def _speeds(
    console: Console,
    built: Fixtures,
    served: Served,
    turns: Turns,
    *,
    rounds: int,
    more: str,
) -> tuple[list[dict[str, dict[str, float]]], dict[str, float], dict[str, str]]:
    servers, ways = peers(built)
    skipped: dict[str, str] = {}
    for name in filter(None, more.split(",")):
        try:
            server, way = installed(name, built.plain, built)
        except NotInstallable as error:
            _skip(console, skipped, name, error)
            continue
        servers.append(server)
        ways.append(way)
    servers = [product(served, built.root / "objects"), *servers]
    ways = [*product_ways(built.pixels(), built.jpegs()), *ways]
    loops = [
        Loop(BARE_FP32, built.plain, "bundle"),
        Loop(BARE_SPINNING, built.plain, "spinning"),
        Loop(BARE_LIGHT, built.variants[FP32], "bundle"),
        Loop(BARE_VARIANT, served, "alone"),
        Loop(BARE_LANES, served, "bundle"),
    ]
    measured = []
    with contextlib.ExitStack() as stack:
        up: dict[str, Running] = {}
        for one in servers:
            try:
                up[one.name] = _started(console, stack, one, built)
            except NotStarted as error:
                if one.name not in more.split(","):
                    raise
                _skip(console, skipped, one.name, error)
        ways = [way for way in ways if way.server in up]
        differences = _checked(built, served, ways, up)
        for turn in range(rounds):
            found: dict[str, dict[str, float]] = {}
            for one in rotated([*ways, *loops], turn * 3):
                found[one.name] = turns.loop(one) if isinstance(one, Loop) else turns.way(one, up[one.server])
                told = ", ".join(f"{metric} {value:.1f}" for metric, value in found[one.name].items())
                console.print(f"round {turn + 1}/{rounds} {one.name}: {told}")
            measured.append({one.name: found[one.name] for one in [*ways, *loops]})
    return measured, differences, skipped


def _skip(console: Console, skipped: dict[str, str], name: str, error: Exception) -> None:
    """Of a peer on request: the others are measured all the same."""
    skipped[name] = str(error)
    console.print(f"[bold red]SKIPPED[/] {name}: {escape(str(error))}")


def _started(console: Console, stack: contextlib.ExitStack, server: Server, built: Fixtures) -> Running:
    up = stack.enter_context(running(server, built.root / "logs"))
    console.print(f"{server.name} is ready after {up.start_s:.1f} s")
    return up


def _checked(built: Fixtures, served: Served, ways: list[Way], up: dict[str, Running]) -> dict[str, float]:
    """Equal answers first: peers against fp32, the product against its own variant."""
    exact, own = truth(built, built.plain), truth(built, served)
    return {
        way.name: check(way, up[way.server], own[way.jpeg], EQUAL if served.name == FP32 else SAME_VARIANT)
        if way.server == "chexpert"
        else check(way, up[way.server], exact[way.jpeg], EQUAL)
        for way in ways
    }


def _show(console: Console, rows: list[Row]) -> None:
    table = Table("what", "median", "least", "most", "target", "", "note")
    for row in rows:
        verdict = {True: "met", False: "[bold red]missed[/]", None: ""}[row.met]
        table.add_row(
            row.what, *(f"{value:.3g}" for value in (row.median, row.low, row.high)), row.target, verdict, row.note
        )
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
