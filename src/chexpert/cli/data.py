"""`chexpert data`: phantoms, uploads, manifests, shards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)

SourceArgument = Annotated[
    str, typer.Argument(help="CheXpert folder, or a folder with labels.csv: a path or an fsspec URI.")
]
ManifestArgument = Annotated[str, typer.Argument(help="manifest.parquet: a path or an fsspec URI.")]


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write train/, valid/ and their tables to.")],
    *,
    train_patients: Annotated[int, typer.Option(help="Patients in train.csv, about 1.8 images each.")] = 800,
    valid_patients: Annotated[int, typer.Option(help="Patients in valid.csv.")] = 200,
    size: Annotated[int, typer.Option(help="Pixels of the longer side.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    noise: Annotated[float, typer.Option(help="Share of training labels that pass CheXpert's labeller.")] = 1.0,
    gamma: Annotated[float, typer.Option(help="Drift: exponent on grey levels; 1 is none.")] = 1.0,
    quantum_noise: Annotated[float, typer.Option(help="Drift: factor on the noise of the detector.")] = 1.0,
    prevalence: Annotated[float, typer.Option(help="Drift: factor on the odds of every finding.")] = 1.0,
    paediatric: Annotated[float, typer.Option(help="Drift: share of children.")] = 0.0,
    phone_photo: Annotated[float, typer.Option(help="Drift: share photographed from a screen.")] = 0.0,
    workers: Annotated[int | None, typer.Option(help="Processes; default: all cores.")] = None,
) -> None:
    """Draw synthetic radiographs with exact labels, in CheXpert's layout."""
    from chexpert.data.phantoms import Knobs, PhantomSettings, generate

    knobs = Knobs(
        gamma=gamma,
        noise=quantum_noise,
        prevalence=prevalence,
        paediatric=paediatric,
        phone_photo=phone_photo,
    )
    settings = PhantomSettings(train_patients, valid_patients, size, seed, noise, knobs)
    with _bar("patients") as progress:
        generate(folder, settings, workers=workers, progress=progress)
    typer.echo(
        f"{folder}: {train_patients} training and {valid_patients} validation patients; truth.csv has all labels"
    )


@app.command()
def upload(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of images and their tables.")],
    uri: Annotated[str, typer.Argument(help="Where to in object storage, such as s3://chexpert/uploads.")],
) -> None:
    """Copy a folder to object storage, verified; goes on after a kill."""
    from chexpert.data.upload import upload as upload_folder

    with _bar("files") as progress:
        uploaded = upload_folder(folder, uri, progress=progress)
    megabytes = uploaded.sent_bytes / 1e6
    typer.echo(f"{uri}: {uploaded.files} files verified, {uploaded.sent} of them sent now ({megabytes:.1f} MB)")


@app.command()
def manifest(
    source: SourceArgument,
    target: Annotated[str, typer.Argument(help="manifest.parquet to write: a path or an fsspec URI.")],
    feedback: Annotated[str, typer.Option(help="Folder or URI of label events to add; empty: none.")] = "",
) -> None:
    """Read a folder of images and labels into a manifest with checksums and splits."""
    from chexpert.data import increments, sources
    from chexpert.data.summary import summary

    with _bar("checksums") as progress:
        rows, refusals = sources.read(source, progress=progress)
    if feedback:
        rows, increment = increments.extend(rows, feedback)
        refusals += increment.refused
        typer.echo(f"{increment.new_labels} new labels of readers on {increment.rows} images")
    for refusal in refusals:
        typer.echo(str(refusal), err=True)
    digest = rows.write(target)
    for line in summary(rows):
        typer.echo(line)
    typer.echo(f"{target}: {digest}")


@app.command()
def etl(
    manifest_uri: ManifestArgument,
    target: Annotated[str, typer.Argument(help="Folder or URI of the shards.")],
    size: Annotated[int, typer.Option(help="Pixels of a side after preprocessing.")] = 64,
    workers: Annotated[int | None, typer.Option(help="Processes; default: all cores.")] = None,
    reuse: Annotated[str, typer.Option(help="Shards whose pixels are copied where they have them; empty: none.")] = "",
) -> None:
    """Decode and preprocess every image once into uint8 shards; goes on after a kill."""
    from chexpert.data.manifest import Manifest
    from chexpert.data.shards import Shards, build
    from chexpert.imaging.preprocess import PreprocessSpec

    rows = Manifest.read(manifest_uri)
    known = Shards.open(reuse) if reuse else None
    with _bar("images") as progress:
        kept, shards, refusals = build(
            rows,
            target,
            PreprocessSpec(size=size),
            workers=workers,
            progress=progress,
            reuse=known,
        )
    for refusal in refusals:
        typer.echo(str(refusal), err=True)
    typer.echo(
        f"{target}: {len(shards)} images of {size} px for {len(kept)} rows, {len(refusals)} refused, {shards.digest}"
    )


@app.command()
def show(manifest_uri: ManifestArgument) -> None:
    """Count a manifest's images, patients and labels by split."""
    from chexpert.data.manifest import Manifest
    from chexpert.data.summary import summary

    rows = Manifest.read(manifest_uri)
    for line in summary(rows):
        typer.echo(line)
    typer.echo(rows.digest)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
