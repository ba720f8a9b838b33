"""`chexpert simulate`: senders, readers, load, and the reading queue."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Artificial senders, readers and load; the reading queue.", no_args_is_help=True)

RunOption = Annotated[str, typer.Option(help="Name of the run: its ledger lies at simulator/<run> under the objects.")]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same traffic, answers or queue.")]


@app.command()
def traffic(
    *,
    run: RunOption = "traffic",
    folder: Annotated[Path | None, typer.Option(help="Folder of images; default: phantoms.")] = None,
    studies: Annotated[int, typer.Option(help="Studies of the run; those already in its ledger are not resent.")] = 100,
    per_hour: Annotated[float, typer.Option(help="Mean studies per simulated hour.")] = 60.0,
    acceleration: Annotated[float, typer.Option(help="Simulated seconds per second; 0: do not wait at all.")] = 0.0,
    shifted: Annotated[bool, typer.Option(help="Send everything through a shifted modality.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Send studies to the site, and keep what was sent with its truth."""
    import os

    from rich.progress import Progress

    from chexpert.domain.places import Places
    from chexpert.simulator.arrivals import ArrivalSettings
    from chexpert.simulator.devices import Shift
    from chexpert.simulator.ledger import Ledger
    from chexpert.simulator.site import Site
    from chexpert.simulator.sources import FolderSource, PhantomSource
    from chexpert.simulator.traffic import Traffic, TrafficSettings

    places = Places.from_environment(os.environ)
    shift = Shift() if shifted else None
    source = FolderSource(folder, seed, shift=shift) if folder else PhantomSource(seed, shift=shift)
    settings = TrafficSettings(
        studies=studies,
        arrivals=ArrivalSettings(per_hour=per_hour),
        acceleration=acceleration or None,
        seed=seed,
    )
    with Site(places.need("site")) as site, Progress(transient=True) as bar:
        task = bar.add_task(f"send {run}", total=studies)
        sender = Traffic(source, site, Ledger(places.need("objects"), run), settings)
        report = sender.send(progress=lambda sent: bar.update(task, completed=sent.number + 1))
    typer.echo(f"{len(report.sent)} sent, {report.already_sent} sent before, {len(report.refused)} refused")
    for line in report.refused:
        typer.echo(line)


@app.command()
def read(
    *,
    run: RunOption = "traffic",
    studies: Annotated[int, typer.Option(help="Studies to read, from the top of the worklist.")] = 50,
    readers: Annotated[int, typer.Option(help="Simulated readers, taking turns.")] = 2,
    miss: Annotated[float, typer.Option(help="Share of present findings called absent.")] = 0.1,
    false: Annotated[float, typer.Option(help="Share of absent findings called present.")] = 0.05,
    uncertain: Annotated[float, typer.Option(help="Share called uncertain.")] = 0.05,
    seed: SeedOption = 0,
) -> None:
    """Open, answer and sign studies whose truth the run's ledger knows."""
    import os

    from rich.progress import Progress

    from chexpert.domain.places import Places
    from chexpert.simulator.ledger import Ledger
    from chexpert.simulator.readers import ErrorRates, ReaderProfile
    from chexpert.simulator.reading import ReadingSession
    from chexpert.simulator.site import Site

    places = Places.from_environment(os.environ)
    rates = ErrorRates(miss=miss, false=false, uncertain=uncertain)
    profiles = [ReaderProfile(f"reader-{number + 1}", usual=rates) for number in range(readers)]
    with Site(places.need("site")) as site, Progress(transient=True) as bar:
        task = bar.add_task(f"read {run}", total=studies)
        session = ReadingSession(site, Ledger(places.need("objects"), run), profiles, seed=seed)
        readings = session.read(studies, progress=lambda _: bar.advance(task))
    typer.echo(f"{len(readings)} studies read, {sum(len(reading.answers) for reading in readings)} answers")


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="Base URL of a predictor (V2).")],
    *,
    requests: Annotated[int, typer.Option(help="Requests to send.")] = 200,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.")] = 4,
    p95_ms: Annotated[float, typer.Option(help="Refuse above this 95th percentile.")] = 1000.0,
    version: Annotated[str, typer.Option(help="Ask this version directly; empty: the traffic split chooses.")] = "",
    seed: SeedOption = 0,
) -> None:
    """Load a predictor with ordinary images and corner cases, print the table, and exit 3 if it does not bear it."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from chexpert.simulator.load import LoadSettings, run_load, standard_mix
    from chexpert.simulator.load_report import LoadThresholds, judge_load

    with Progress(transient=True) as bar:
        task = bar.add_task("load", total=requests)
        settings = LoadSettings(concurrency=concurrency, requests=requests, version=version)
        report = run_load(url, standard_mix(seed), settings, progress=lambda _: bar.advance(task))
    verdict = judge_load(report, LoadThresholds(p95_ms=p95_ms, version=version), subject=version or url)
    table = Table("images", "requests", "not ok", "p50 ms", "p95 ms", "p99 ms")
    for row in verdict.evidence:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
    typer.echo("; ".join(verdict.reasons))
    verdict.require()


@app.command()
def queue(
    *,
    sensitivity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of positives that are flagged.")] = 0.95,
    specificity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of negatives that are not.")] = 0.9,
    work: Annotated[float, typer.Option("--load", help="Share of the readers' time that reading takes.")] = 0.8,
    prevalence: Annotated[float, typer.Option(help="Share of truly positive studies.")] = 0.1,
    readers: Annotated[int, typer.Option(help="Readers at work.")] = 1,
    read_minutes: Annotated[float, typer.Option(help="Mean reading time.")] = 10.0,
    cap_minutes: Annotated[float, typer.Option(help="Wait after which a study goes first; 0: no cap.")] = 0.0,
    studies: Annotated[int, typer.Option(help="Studies per seed.")] = 100_000,
    seeds: Annotated[int, typer.Option(help="Simulations; their spread gives the error.")] = 5,
) -> None:
    """How long positive studies wait with and without flags of a stated quality."""
    from rich.console import Console
    from rich.table import Table

    from chexpert.simulator.benefit import QueueSettings, compare_seeds, minutes_saved

    settings = QueueSettings(
        load=work,
        prevalence=prevalence,
        readers=readers,
        read_minutes=read_minutes,
        cap_minutes=cap_minutes or None,
        studies=studies,
    )
    benefits = compare_seeds(settings, sensitivity, specificity, range(seeds))
    table = Table("wait in minutes, first seed", "studies", "mean", "p95", "longest", "within 30 min")
    for name in ("first_come", "flagged", "unflagged", "diseased", "missed", "healthy"):
        group = getattr(benefits[0], name)
        numbers = (f"{value:.1f}" for value in (group.mean, group.p95, group.longest))
        table.add_row(name.replace("_", " "), f"{group.studies}", *numbers, f"{group.within_30:.1%}")
    Console().print(table)
    saved, error = minutes_saved(benefits)
    typer.echo(f"{saved:.1f} minutes saved per positive study (standard error {error:.1f} over {seeds} seeds)")
