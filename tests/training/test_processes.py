"""Two real processes under torchrun train what one does, and a killed one costs an epoch, not the training."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chexpert.data.manifest import Manifest
from chexpert.data.shards import Shards
from chexpert.networks.settings import NetworkSettings
from chexpert.pipeline.catalogue import STEPS
from chexpert.pipeline.invocation import main
from chexpert.training.augmentation import augment
from chexpert.training.errors import TooManyProcesses
from chexpert.training.fit import TRAINING, fit
from chexpert.training.processes import place, share, summed, synced_norms, wait
from chexpert.training.settings import Augmentation, recipe

Dataset = tuple[Manifest, Shards]

EPOCHS = 4
# One rounding of 32 bits grows to 3 % of the tune loss in 6 epochs, in one process too: 64 tell rounding from mistakes.
TRAINED = {"network": "small-cnn", "precision": "64-true"}

# Four starts of torch and MLflow, 55 s of computing: half of that on two idle cores, several times that on busy ones.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def inputs(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The data as the step takes them: by address."""
    manifest, shards = dataset
    uri = tmp_path_factory.mktemp("inputs") / "manifest.parquet"
    manifest.write(str(uri))
    return {"manifest": str(uri), "shards": shards.uri, **TRAINED, "epochs": str(EPOCHS)}


def _kill_tree(pid: int) -> None:
    """The worker is in a session of its own; it must not outlive its launcher."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for found in (pid, *map(int, children)):
        os.kill(found, signal.SIGKILL)


class Group:
    """Two torchruns of one process each on loopback, as two pods of the Job."""

    def __init__(self, folder: Path, inputs: dict[str, str]) -> None:
        self.folder = folder
        self._arguments = [f"--parameter={key}={value}" for key, value in inputs.items()]
        self._running: list[subprocess.Popen[bytes]] = []
        self.first: list[int] = []
        self.left: list[Path] = []

    def start(self) -> None:
        """Start both; the first one's address is where they meet."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        places = {"CHEXPERT_OBJECTS": str(self.folder / "o"), "CHEXPERT_TRACKING": f"sqlite:///{self.folder}/t.db"}
        for rank in (0, 1):
            command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
            command += ["--master-addr=127.0.0.1", f"--master-port={port}", f"--node-rank={rank}", "--max-restarts=0"]
            command += ["-m", "--", "chexpert", "step", "train-distributed", "--run=r1", *self._arguments]
            with (self.folder / f"log-{rank}").open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        command,
                        env={**os.environ, **places, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
                        stdout=log,
                        stderr=log,
                    )
                )

    def kill(self, rank: int) -> None:
        """As a node that is gone: launcher and worker at once."""
        _kill_tree(self._running[rank].pid)

    def ended(self, within_s: float) -> list[int]:
        """Exit codes of both, once they have ended."""
        deadline = time.monotonic() + within_s
        codes = [process.wait(max(0.1, deadline - time.monotonic())) for process in self._running]
        self._running.clear()
        return codes

    def close(self) -> None:
        """Leave nothing running."""
        for process in self._running:
            if process.poll() is None:
                _kill_tree(process.pid)
            process.wait()

    def checkpoints(self) -> list[Path]:
        """Those of the last whole epoch."""
        return list((self.folder / "o").rglob("last.ckpt"))

    def result(self) -> dict[str, Any]:
        """The object that the first process wrote, with the curves."""
        facts: dict[str, Any] = json.loads((self.folder / "o" / "trained" / "r1.json").read_text())
        facts["curves"] = json.loads((Path(facts["uri"]) / TRAINING).read_text())["curves"]
        return facts

    def logs(self) -> str:
        """What both said at the end."""
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("log-*")))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, str]) -> Iterator[Group]:
    """A group of which one was killed after the first epoch, and which was then started again."""
    made = Group(tmp_path_factory.mktemp("group"), inputs)
    try:
        made.start()
        deadline = time.monotonic() + 120
        while not made.checkpoints() and time.monotonic() < deadline:
            time.sleep(0.01)
        made.kill(1)
        made.first = made.ended(60)
        made.left = made.checkpoints()
        made.start()
        assert made.ended(180) == [0, 0], made.logs()
        yield made
    finally:
        made.close()


def test_the_death_of_one_process_ends_the_other(group: Group) -> None:
    """The survivor ends with an error instead of waiting for ever, and the checkpoint of the last epoch stays."""
    assert group.first[0] > 0, group.logs()
    assert group.first[1] == -signal.SIGKILL
    assert len(group.left) == 1


def test_two_processes_train_what_one_does(group: Group, dataset: Dataset, tmp_path: Path) -> None:
    """Loss of each epoch is that of one process, though one was killed: images, draws and batch norms are shared."""
    settings = replace(recipe(TRAINED["network"]), epochs=EPOCHS, precision=TRAINED["precision"])
    alone = fit(*dataset, settings, NetworkSettings(image_size=32), output_uri=str(tmp_path))
    curves = group.result()["curves"]
    for name in ("train_loss", "tune_loss"):
        expected = [getattr(epoch, name) for epoch in alone.curves]
        np.testing.assert_allclose([epoch[name] for epoch in curves], expected, rtol=2e-6)
    assert curves[-1]["train_loss"] < curves[0]["train_loss"]


def test_a_resumed_run_says_from_where(group: Group) -> None:
    """One line in the log of each process, with the epochs that need not be done again."""
    for path in group.folder.glob("log-*"):
        assert f"a killed run is resumed after epoch 1 of {EPOCHS}" in path.read_text()


def test_the_first_process_alone_writes(group: Group) -> None:
    """One model, its tracked run, nothing unfinished."""
    models = [path for path in (group.folder / "o" / "models").iterdir() if path.name != "unfinished"]
    assert [str(path) for path in models] == [group.result()["uri"]]
    assert group.result()["run_id"]
    assert group.checkpoints() == []


def test_a_result_that_is_there_is_kept(inputs: dict[str, str], tmp_path: Path) -> None:
    """A pod that is started once too often does nothing, and waits for nobody."""
    path = tmp_path / "trained" / "r1.json"
    path.parent.mkdir()
    path.write_text("{}")
    arguments = [f"--parameter={key}={value}" for key, value in inputs.items()]
    code = main(["train-distributed", "--run=r1", *arguments], {"CHEXPERT_OBJECTS": str(tmp_path)}, STEPS)
    assert (code, path.read_text()) == (0, "{}")


def test_shares_are_neighbours_of_nearly_equal_size() -> None:
    """As numpy's array_split, in order and without a gap."""
    for count in (0, 1, 7, 12):
        for parts in (1, 2, 5):
            shares = [share(count, (number, parts)) for number in range(parts)]
            found = [list(range(count))[own] for own in shares]
            assert found == [list(part) for part in np.array_split(np.arange(count), parts)]


def test_an_image_gets_its_draw_whoever_augments_it() -> None:
    """Halves of a batch, each augmented alone, are the batch augmented whole."""
    images = torch.rand((5, 1, 16, 16), generator=torch.Generator().manual_seed(1))

    def augmented(own: slice) -> torch.Tensor:
        return augment(images[own], Augmentation(), torch.Generator().manual_seed(2), among=(own, 5))

    whole = augment(images, Augmentation(), torch.Generator().manual_seed(2))
    torch.testing.assert_close(torch.cat([augmented(share(5, (0, 2))), augmented(share(5, (1, 2)))]), whole)


def test_alone_nothing_is_changed() -> None:
    """Without torchrun there is one process, sums are what they were, and batch norms are torch's own."""
    network = nn.Sequential(nn.BatchNorm2d(2))
    with synced_norms(network):
        assert "forward" not in network[0].__dict__
    assert place() == (0, 1)
    assert float(summed(torch.tensor(3.0))) == 3.0
    wait()


def test_more_processes_than_images_of_a_step_are_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without an image would hold up the others."""
    monkeypatch.setenv("WORLD_SIZE", "17")
    with pytest.raises(TooManyProcesses, match="16 images of a step are too few for 17 processes"):
        fit(*dataset, recipe("small-cnn"), NetworkSettings(image_size=32), output_uri=str(tmp_path))
