"""`chexpert optimise`: a model's variants side by side, and a repository for Triton."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Variants of a model, and other servers for them.", no_args_is_help=True)


@app.command()
def compare(
    evaluation: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What the step `evaluate` wrote.")],
    manifest: Annotated[str, typer.Argument(help="manifest.parquet: a path or an fsspec URI.")],
    shards: Annotated[str, typer.Argument(help="Folder or URI of the shards.")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="For variants.json, variants.html and bundles/.")],
    *,
    profile: Annotated[str, typer.Option(help="Effort as in the pipeline under this profile.")] = "chexpert",
    images: Annotated[int, typer.Option(min=1, help="Evaluation images, at most.")] = 2000,
) -> None:
    """Export every variant, measure them in turns, say which is served and why each other one lost."""
    from rich.console import Console
    from rich.table import Table

    from chexpert.data.manifest import Manifest
    from chexpert.data.shards import Shards
    from chexpert.optimise.page import COLUMNS, cells, page
    from chexpert.optimise.settings import VariantSettings
    from chexpert.pipeline.variants import Evaluated, read_evaluation

    evaluated = Evaluated(read_evaluation(evaluation), Manifest.read(manifest), Shards.open(shards), images)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    if not console.is_terminal:  # a file has no edge to fit twelve columns into
        console.width = 200
    with Console(stderr=True).status("exporting and measuring"):
        (folder / "graphs").mkdir(exist_ok=True)
        comparison = evaluated.compare(folder / "graphs", VariantSettings.of_profile(profile))
        (folder / "variants.json").write_text(comparison.verdict.to_json() + "\n", encoding="utf-8")
        (folder / "variants.html").write_text(page(comparison), encoding="utf-8")
        written = {
            row.name: evaluated.bundle(row, str(folder / "bundles")).uri
            for row in comparison.rows
            if not row.unavailable
        }
    table = Table(*COLUMNS, highlight=False)
    for row in comparison.rows:
        table.add_row(*cells(row))
    console.print(table)
    for row in comparison.rows:
        console.print(f"{row.name}: {row.lost or 'served'}", markup=False, highlight=False, soft_wrap=True)
    for name, uri in written.items():
        console.print(f"{name}: {uri}", markup=False, highlight=False, soft_wrap=True)
    comparison.verdict.require(str(folder / "variants.json"))


@app.command()
def triton(
    bundle: Annotated[str, typer.Argument(help="Folder or URI of a bundle.")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Model repository to write.")],
    *,
    gpus: Annotated[int, typer.Option(min=0, help="Each gets instances of the graph; 0: the CPU.")] = 0,
    instances: Annotated[int, typer.Option(min=1, help="Copies of each model, per GPU.")] = 1,
) -> None:
    """Write a model repository for Triton, with the ONNX Runtime and the Python backend."""
    import tempfile

    from chexpert.bundle.store import fetch
    from chexpert.optimise.triton import write_repository

    with tempfile.TemporaryDirectory() as cache:
        write_repository(fetch(bundle, None, Path(cache)), folder, gpus=gpus, instances=instances)
    typer.echo(f"{folder}: start with tritonserver --model-repository={folder}")
