"""What is measured beside speed: a full queue, memory over many requests, start to ready."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.serving.fixtures import SMALL_SIZE, Fixtures, Served
from bench.serving.measuring import Turns, import_seconds
from bench.serving.processes import running
from bench.serving.table import Row, Target, of_values, percentile
from bench.serving.ways import OURS_REST, product, product_ways

CROWD: Final = 32
SECOND_MS: Final = 1000.0
FEW: Final = 1_000
MANY: Final = 20_000
SHORT_QUEUE: Final = 8
BEYOND_IMPORT_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class Beside:
    """Measures one server at a time; each is started for it and ended after it."""

    fixtures: Fixtures
    turns: Turns
    say: Callable[[str], None]

    def crowd(self, served: Served, seconds: float) -> list[Row]:
        """32 callers at once, with the queue that `serve` has by itself and with a short one."""
        rows = []
        ways = {way.name: way for way in product_ways(self.fixtures.pixels(), self.fixtures.jpegs())}
        for queue in (None, SHORT_QUEUE):
            extra = () if queue is None else ("--queue", str(queue))
            name = f"c={CROWD}, {f'queue of {queue}' if queue else 'queue as it is by itself'}"
            self.say(name)
            server = product(served, self.fixtures.root / "objects", *extra, name=f"crowd-{queue or 'default'}")
            with running(server, self.fixtures.root / "logs") as up:
                seen = self.turns.load(ways[OURS_REST], up, concurrency=CROWD, seconds=seconds)
            answered, refused = len(seen.latencies_ms), seen.refused
            sent = answered + refused + len(seen.failed)
            note = f"{answered} answered, {refused} refused with 503, {seen.retry_after} of them with Retry-After"
            slow = Target(f"p99 of the answered, ms, at {name}", OURS_REST, "", at_most=SECOND_MS)
            lost = Target(f"lost requests at {name}", OURS_REST, "", at_most=0)
            silent = refused - seen.retry_after
            judged = queue is not None  # the default queue trades waiting for refusals, and has no target
            rows += [
                of_values(slow, [percentile(seen.latencies_ms, 99)], judged=judged, note=note),
                of_values(lost, [len(seen.failed) + silent], note=seen.failed[0] if seen.failed else ""),
                of_values(Target(f"share refused at {name}", OURS_REST, ""), [refused / max(1, sent)]),
            ]
        return rows

    def memory(self, share: float = 1.0) -> Row:
        """Resident memory of the server with the small network after many requests, over that after few.

        Args:
            share: Of the requests that the target speaks of; with less than 1 the line is not judged.
        """
        few, many = int(FEW * share), int(MANY * share)
        self.say(f"memory over {many} requests")
        pixels = self.fixtures.pixels(SMALL_SIZE)
        way = next(one for one in product_ways(pixels, self.fixtures.jpegs()) if one.name == OURS_REST)
        server = product(self.fixtures.small, self.fixtures.root / "objects", name="memory")
        with running(server, self.fixtures.root / "logs") as up:
            self.turns.load(way, up, concurrency=4, requests=few)
            before = up.resident_mb()
            self.turns.load(way, up, concurrency=4, requests=many - few)
            after = up.resident_mb()
        target = Target(
            f"memory after {many:,} requests of the small CNN, over after {few:,}", OURS_REST, "", at_most=1.05
        )
        return of_values(target, [after / before], judged=share >= 1.0, note=f"{before:.0f} to {after:.0f} MB")

    def start(self, served: Served, repeat: int) -> list[Row]:
        """Start to ready against `import kserve`, in turns."""
        starts, imports = [], []
        for number in range(repeat):
            self.say(f"start {number + 1} of {repeat}")
            imports.append(import_seconds())
            with running(
                product(served, self.fixtures.root / "objects", name="start"), self.fixtures.root / "logs"
            ) as up:
                starts.append(up.start_s)
        size_mb = sum(file.stat().st_size for file in served.folder.iterdir()) / 1e6
        name = f"{served.name}, bundle of {size_mb:.0f} MB"
        beyond = Target(f"start to ready beyond `import kserve`, s ({name})", "", "", at_most=BEYOND_IMPORT_S)
        differences = [start - load for start, load in zip(starts, imports, strict=True)]
        return [
            of_values(beyond, differences),
            of_values(Target(f"start to ready, s ({name})", "", ""), starts),
            of_values(Target("`import kserve`, s", "", ""), imports),
        ]
