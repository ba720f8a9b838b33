"""The summary as tables on the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table

from chexpert.local.demo.record import Record

__all__ = ["print_summary"]


def print_summary(record: Record, console: Console) -> None:
    """Print what was seen, the times against their budgets, and whether the story ended where it should."""
    table = Table(title="What was seen", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Part")
    table.add_column("What")
    table.add_column("Seen", overflow="fold")
    part = ""
    for row in record.rows:
        table.add_row("" if row.part == part else row.part, row.what, row.seen)
        part = row.part
    console.print(table)
    times = Table(title="Time", box=box.SIMPLE_HEAD, title_justify="left")
    times.add_column("Phase")
    times.add_column("Seconds", justify="right")
    times.add_column("Budget", justify="right")
    for phase in record.phases:
        over = phase.budget_s is not None and phase.seconds > phase.budget_s
        budget = "" if phase.budget_s is None else f"≤ {phase.budget_s:g}{' (missed)' if over else ''}"
        times.add_row(phase.name, f"{phase.seconds:.1f}", budget)
    console.print(times)
    mark = "[green]as expected[/]" if record.as_expected else "[red]NOT as expected[/]"
    for broken in record.broken:
        console.print(f"[red]Broken:[/] {broken}", soft_wrap=True)
    console.print(f"Expected: {record.expected}. Seen: {record.seen}. {mark}", soft_wrap=True)
