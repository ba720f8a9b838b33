"""The lines of the table: what is divided by what, and what is asked for."""

from bench.serving.table import Rounds, Row, Target, row
from bench.serving.ways import (
    BARE_FP32,
    BARE_LANES,
    BARE_LIGHT,
    BARE_SPINNING,
    BARE_VARIANT,
    ORT_JPEG,
    ORT_RAW,
    OURS_GRPC,
    OURS_JPEG,
    OURS_REST,
    STOCK_GRPC,
    STOCK_REST,
    TORCH_JSON,
)

INSTRUCTIONS = ("avx512_bf16", "avx512_vnni", "avx_vnni")
"""Without one of them the first line is printed and not judged."""


def lines(rounds: Rounds, *, flags: str) -> list[Row]:
    """Every line that speeds decide.

    Args:
        rounds: Numbers of every way in every round.
        flags: Of the processor.
    """
    able = any(name in flags.split() for name in INSTRUCTIONS)
    note = "" if able else f"no {' or '.join(INSTRUCTIONS)} here: {flags}"
    rows: list[Row] = []
    for way in (OURS_GRPC, OURS_REST):
        latency = Target(f"{way}: p50 at c=1 / {BARE_FP32}", way, "p50_c1", BARE_FP32, at_most=0.60)
        rows += [
            row(latency, rounds, judged=able, note=note),
            row(Target(f"{way}: requests/s at c=4 / {BARE_FP32}", way, "rps_c4", BARE_FP32, at_least=1.6), rounds),
            *(
                row(Target(f"{way}: requests/s at c=4 / {bare}", way, "rps_c4", bare, at_least=0.9), rounds)
                for bare in (BARE_VARIANT, BARE_LANES)
            ),
            row(Target(f"{way}: p50 at c=1 / {BARE_SPINNING}", way, "p50_c1", BARE_SPINNING), rounds),
        ]
    rows += [
        row(
            Target(f"{OURS_JPEG}: requests/s at c=4 / {ORT_JPEG}", OURS_JPEG, "rps_c4", ORT_JPEG, at_least=1.3), rounds
        ),
        row(
            Target(f"{OURS_REST}: requests/s at c=4 / {TORCH_JSON}", OURS_REST, "rps_c4", TORCH_JSON, at_least=6),
            rounds,
        ),
        row(Target(f"{BARE_LIGHT}: requests/s at c=4 / {BARE_FP32}", BARE_LIGHT, "rps_c4", BARE_FP32), rounds),
    ]
    rows += [
        row(Target(f"{way}: p99 at c=4, ms", way, "p99_c4", at_most=1000.0), rounds)
        for way in (OURS_GRPC, OURS_REST, OURS_JPEG)
    ]
    others = [ORT_RAW, STOCK_REST, STOCK_GRPC]
    others += [name for name in rounds[0] if name.startswith(("MLServer", "Triton"))]
    return rows + [
        row(Target(f"{OURS_GRPC}: requests/s at c=4 / {other}", OURS_GRPC, "rps_c4", other), rounds) for other in others
    ]
