"""What a person sees while the demo runs: phases as headings, work as progress bars."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from chexpert.pipeline.runner.results import ENDED, StepResult, StepStatus

__all__ = ["Display"]

_MARKS = {StepStatus.SUCCEEDED: "[green]✓", StepStatus.REFUSED: "[yellow]refused", StepStatus.FAILED: "[red]failed"}


class Display:
    """Prints to one console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def heading(self, text: str) -> None:
        """Begin a phase."""
        self.console.rule(f"[bold]{text}", align="left", style="dim")

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar; what is yielded takes the amount done."""
        with self._progress() as progress:
            task = progress.add_task(text, total=total, state="")
            yield lambda done: progress.update(task, completed=done)

    @contextmanager
    def steps(self) -> Iterator[Callable[[Sequence[StepResult]], None]]:
        """One bar for each step of a pipeline run; what is yielded is the runner's watcher."""
        with self._progress() as progress:
            tasks: dict[str, TaskID] = {}

            def watch(results: Sequence[StepResult]) -> None:
                for step in results:
                    if step.status in {StepStatus.WAITING, StepStatus.OMITTED, StepStatus.SKIPPED}:
                        continue
                    if step.name not in tasks:
                        tasks[step.name] = progress.add_task(step.name, total=step.total or None, state="")
                    ended = step.status in ENDED
                    total = step.total or (1 if ended else None)
                    done = (total or 1) if ended else step.done
                    progress.update(tasks[step.name], total=total, completed=done, state=_MARKS.get(step.status, ""))
                    if ended:
                        progress.stop_task(tasks[step.name])

            yield watch

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("  {task.description:<18}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=self.console,
        )
