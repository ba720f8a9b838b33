"""Saves what a benchmark measured with the machine, the versions and the date."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FLAGS = ("avx2", "avx_vnni", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_bf16", "amx_int8")
"""Instruction sets that inference depends on."""
ISA = "ONEDNN_MAX_CPU_ISA"
"""Variable by which oneDNN, beneath torch and OpenVINO, leaves newer instructions alone."""


def save(name: str, result: Mapping[str, Any], packages: Sequence[str]) -> Path:
    """Write bench/results/<name>.json and print it; `packages` are those whose versions matter."""
    report = {
        **result,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_1min_at_the_end": round(os.getloadavg()[0], 1),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    target = Path(__file__).parent / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    text = json.dumps(report, indent=2)
    target.write_text(text + "\n", encoding="utf-8")
    print(text)
    return target


def processor() -> str:
    """Model name of the first core, where Linux tells it, those of FLAGS that it has, and what oneDNN is held to."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.partition(": ")[2].split() for line in lines if line.startswith("flags")), [])
    held = os.environ.get(ISA, "")
    return " ".join([name, *(flag for flag in FLAGS if flag in flags), *([f"{ISA}={held}"] if held else [])])
