"""The variants of the CNN and of the ViT as the gate sees them, with the pipeline's whole effort: a table each.

Run: .venv/bin/python -m bench.serving.variants
"""

import json
from typing import Any, Final

from bench._saving import save
from bench.serving.fixtures import ROOT, fixtures
from bench.serving.trained import LARGE, VIT, described, trained

from chexpert.optimise.choice import VariantComparison
from chexpert.optimise.page import COLUMNS, cells
from chexpert.optimise.settings import VariantSettings

PACKAGES: Final = ("onnx", "onnxruntime", "openvino", "timm", "torch")


def main() -> None:
    """Train what is not trained yet, compare, print and save."""
    root = fixtures(ROOT).root
    networks: dict[str, Any] = {}
    for recipe in (LARGE, VIT):
        evaluated = trained(root / "trained", recipe)
        comparison = evaluated.compare(root / "compared" / recipe.network, VariantSettings())
        networks[recipe.network] = {
            **described(evaluated),
            "size": recipe.size,
            "judged_images": len(evaluated.manifest.rows("valid")),
            "verdict": json.loads(comparison.verdict.to_json()),
        }
        print(f"{recipe.network}, {recipe.size} px\n\n{table(comparison)}\n", flush=True)
    save("variants", {"what": "variants as the gate sees them, measured in turns", "networks": networks}, PACKAGES)


def table(comparison: VariantComparison) -> str:
    """In Markdown."""
    rows = [(*cells(row), row.lost or "served") for row in comparison.rows]
    lines = [(*COLUMNS, "why it lost"), ("---",) * (len(COLUMNS) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
