"""The same ONNX file in a browser and on the server: one table, the devices named for what they are.

WebAssembly on one thread and on all, WebGPU where the browser has an adapter, against ONNX Runtime on one core and on
all; fp32 and int8. Chromium runs headless, on a page from loopback that may share memory between threads.

Run: .venv/bin/python -m bench.serving.on_device [--quick]
"""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import onnxruntime
import typer
from bench._saving import save
from bench.serving.fixtures import FP32, ROOT, SIZE, Fixtures, fixtures
from bench.serving.measuring import rotated
from bench.serving.table import percentile
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from chexpert.bundle.cpus import available_cpus
from chexpert.bundle.sessions import INPUT, OUTPUT
from chexpert.triage.on_device_runtime import PAGE_FILES, VERSION, RuntimeNotFetched, fetch

WEBGPU_FILES: Final = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
SCRIPTS: Final = {"wasm": PAGE_FILES[0], "webgpu": WEBGPU_FILES[0]}
FLAGS: Final = ("--no-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan")
OPEN_S: Final = 180.0
SOFTWARE: Final = ("swiftshader", "llvmpipe", "lavapipe")
"""Adapters that are programs on the CPU. Measured in the first turn alone."""
CELL_S: Final = 30.0
"""A measurement ends after this, with one image at least: a software adapter takes half a minute for one."""
MEASURE: Final = """async ({script, provider, threads, model, pixels, size, runs, warm, seconds}) => {
  const ort = await import(`/${script}`);
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const data = new Uint8Array(await (await fetch(`/${model}`)).arrayBuffer());
  const session = await ort.InferenceSession.create(data, { executionProviders: [provider] });
  const images = new Uint8Array(await (await fetch(`/${pixels}`)).arrayBuffer());
  const one = (at) => {
    const start = (at * size * size) % images.length;
    return new ort.Tensor("uint8", images.slice(start, start + size * size), [1, 1, size, size]);
  };
  const times = [], scores = [], until = performance.now() + 1000 * seconds;
  for (let at = -warm; at < runs && !(times.length && performance.now() > until); at += 1) {
    const tensor = one(Math.max(0, at));
    const started = performance.now();
    const answer = await session.run({ pixels: tensor });
    const values = [...await answer.scores.getData()];
    if (at >= 0) { times.push(performance.now() - started); scores.push(values); }
  }
  await session.release();
  return { times, scores, threads: ort.env.wasm.numThreads, isolated: crossOriginIsolated };
}"""
ADAPTER: Final = """async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  const { vendor, architecture, description } = adapter?.info ?? {};
  return adapter ? [vendor, architecture, description].filter(Boolean).join(" ") || "unnamed" : "";
}"""


class Isolated(SimpleHTTPRequestHandler):
    """Files of one folder with the headers that give a page shared memory."""

    def end_headers(self) -> None:
        """Add them."""
        self.send_header("cross-origin-opener-policy", "same-origin")
        self.send_header("cross-origin-embedder-policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def main(*, quick: Annotated[bool, typer.Option("--quick", help="Few runs; saves nothing.")] = False) -> None:
    """Measure browser and server in turns, print and save one table."""
    console = Console(width=150, highlight=False)
    chromium = shutil.which("chromium")
    built = fixtures(ROOT)
    folder = ROOT / "browser"
    try:
        fetch(folder, (*PAGE_FILES, *WEBGPU_FILES))
    except RuntimeNotFetched as error:
        console.print(f"[bold red]SKIPPED[/]: {error}")
        raise typer.Exit(1) from error
    if chromium is None:
        console.print("[bold red]SKIPPED[/]: no chromium on PATH")
        raise typer.Exit(1)
    models = _models(built, folder)
    with _opened(chromium, folder) as (page, browser):
        adapter = page.evaluate(ADAPTER)
        cells = _cells(models, adapter)
        times: dict[int, list[float]] = {number: [] for number in range(len(cells))}
        differences: dict[int, float] = {}
        failed: dict[int, str] = {}
        for turn in range(2 if quick else 5):
            for number in rotated(range(len(cells)), turn):
                if number in failed or (turn and cells[number]["software"]):
                    continue
                try:
                    seen, scores = _measured(page, folder, cells[number], runs=4 if quick else 16)
                except Exception as error:  # noqa: BLE001 -- a browser without an operator says so in any way
                    failed[number] = str(error).splitlines()[0][:160]
                    continue
                times[number] += seen
                own = _scores(folder / cells[number]["model"], built)[: len(scores)]
                differences[number] = float(np.abs(scores - own).max())
                told = f"{cells[number]['device']}, {cells[number]['precision']}"
                console.print(f"turn {turn + 1}: {told}: {percentile(seen, 50):.0f} ms, {len(seen)} images")
    rows = [
        {
            **{key: cell[key] for key in ("device", "precision", "model")},
            **_speed(times[number], failed.get(number, "")),
            "images": len(times[number]),
            "largest_score_difference": differences.get(number),
        }
        for number, cell in enumerate(cells)
    ]
    _show(console, rows, browser)
    report = {
        "what": f"DenseNet-121, {SIZE} px, one image at a time, ms p50 and p95: the same file in browser and server",
        "browser": browser,
        "onnxruntime_web": VERSION,
        "webgpu_adapter": adapter or "none",
        "score_differences_are_against": "ONNX Runtime on the server with the same file",
        "rows": rows,
    }
    if not quick:  # a few runs are no result
        save("serving_on_device", report, ("onnxruntime", "playwright", "numpy"))


def _models(built: Fixtures, folder: Path) -> dict[str, str]:
    """File by precision: fp32, and int8 where a variant of ONNX Runtime has it; the static one before the dynamic."""
    candidates = [one for one in built.variants.values() if "int8" in one.name and one.runtime == "onnxruntime"]
    chosen = {"fp32": built.variants[FP32]}
    if candidates:
        chosen["int8"] = max(candidates, key=lambda one: "static" in one.name)
    for one in chosen.values():
        shutil.copy(one.folder / "model.onnx", folder / f"{one.name}.onnx")
    (folder / "index.html").write_text("<!doctype html><title>on device</title>")
    (folder / "pixels.bin").write_bytes(built.pixels().tobytes())
    return {precision: f"{one.name}.onnx" for precision, one in chosen.items()}


def _cells(models: dict[str, str], adapter: str) -> list[dict[str, Any]]:
    cores = available_cpus()
    devices: list[tuple[str, str, int]] = [
        ("server, ONNX Runtime, 1 core", "server", 1),
        (f"server, ONNX Runtime, {cores} cores", "server", cores),
        ("browser, WebAssembly, 1 thread", "wasm", 1),
        (f"browser, WebAssembly, {cores} threads", "wasm", cores),
    ]
    if adapter:
        devices.append((f"browser, WebGPU ({adapter})", "webgpu", 1))
    return [
        {
            "device": device,
            "provider": provider,
            "threads": threads,
            "precision": precision,
            "model": model,
            "software": provider == "webgpu" and any(word in adapter.lower() for word in SOFTWARE),
        }
        for precision, model in models.items()
        for device, provider, threads in devices
    ]


def _measured(page: Page, folder: Path, cell: dict[str, Any], runs: int) -> tuple[list[float], Any]:
    if cell["provider"] == "server":
        return _timed(folder / cell["model"], cell["threads"], np.fromfile(folder / "pixels.bin", np.uint8), runs)
    page.goto("/index.html")  # the number of threads is fixed for the life of a page
    asked = {
        **cell,
        "script": SCRIPTS[cell["provider"]],
        "pixels": "pixels.bin",
        "size": SIZE,
        "runs": runs,
        "warm": 1,
        "seconds": CELL_S,
    }
    answer = page.evaluate(MEASURE, asked)
    if answer["threads"] != cell["threads"]:
        msg = f"the browser gave {answer['threads']} threads"
        raise RuntimeError(msg)
    return answer["times"], np.array(answer["scores"])


def _timed(model: Path, threads: int, flat: Any, runs: int) -> tuple[list[float], Any]:
    images = flat.reshape(-1, 1, 1, SIZE, SIZE)
    session = _session(model, threads)
    times, scores = [], []
    for at in range(-1, runs):
        started = time.perf_counter()
        answer = session.run((OUTPUT,), {INPUT: images[max(0, at) % len(images)]})[0][0]
        if at >= 0:
            times.append(1000.0 * (time.perf_counter() - started))
            scores.append(answer)
    return times, np.array(scores)


def _scores(model: Path, built: Fixtures) -> Any:
    session, pixels = _session(model, available_cpus()), built.pixels()
    return np.concatenate([session.run((OUTPUT,), {INPUT: pixels[at : at + 1]})[0] for at in range(len(pixels))])


def _session(model: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _speed(times: Sequence[float], failed: str) -> dict[str, Any]:
    if not times:
        return {"p50_ms": None, "p95_ms": None, "failed": failed}
    return {"p50_ms": round(percentile(times, 50), 1), "p95_ms": round(percentile(times, 95), 1), "failed": failed}


@contextmanager
def _opened(chromium: str, folder: Path) -> Iterator[tuple[Page, str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Isolated, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    told = subprocess.run([chromium, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 -- found on PATH
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            page = browser.new_page(base_url=f"http://127.0.0.1:{server.server_port}")
            page.set_default_timeout(1000.0 * OPEN_S)
            page.goto("/index.html")
            yield page, " ".join(told.split()[:2]) + ", headless"
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _show(console: Console, rows: Sequence[dict[str, Any]], browser: str) -> None:
    table = Table("device", "precision", "p50 ms", "p95 ms", "largest score difference", "", title=browser)
    for row in rows:
        difference = row["largest_score_difference"]
        shown = "-" if difference is None else f"{difference:.1g}"
        table.add_row(row["device"], row["precision"], str(row["p50_ms"]), str(row["p95_ms"]), shown, row["failed"])
    console.print(table)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
