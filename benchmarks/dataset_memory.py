"""Resident memory of the loaders over many epochs: it must not grow.

    python benchmarks/dataset_memory.py

A small folder is made in each format, and each loader goes through it epoch after epoch in a
process of its own. What counts is the resident memory of that process and its workers at the end of
each epoch: all that is not backed by a file (libraries are, and count less the more processes of
the machine use them), what is shared counted once. Growth is the peak of the last five epochs over
the peak of five from the second on, since batches under way come and go. With workers, epochs
before that warm up until all of them have begun.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from calvin_recording import write_split
from measure import arguments, publish
from PIL import Image
from rlds_files import write_rlds
from robomimic_recording import write_demos

from robocache.core import Episode, Provenance, Stream, StreamInput, StreamSpec, Window
from robocache.datasets import Loader, WindowTable, open_dataset, write_shard
from robocache.datasets.calvin import CalvinDataset, CalvinVoxelDataLoader
from robocache.datasets.hdf5 import RoboMimicDataset, RoboMimicFusionDataLoader
from robocache.datasets.lerobot import write_lerobot
from robocache.datasets.rlds import RTXDataLoader, RTXDataset

sys.path.append(str(Path(__file__).parents[1] / "tests" / "datasets"))
import ros_bags

TARGET = 0.05
WARM_S = 5.0
EPISODES, STEPS, SIZE, RATE_HZ = 6, 50, 96, 20
BATCH = 16
Epoch = Callable[[], Iterable[object]]


@dataclass(frozen=True)
class Case:
    """One loader over one folder.

    Attributes:
        write: fills a new folder.
        start: opens it; gives the batches of one epoch after another.
    """

    write: Callable[[Path], object]
    start: Callable[[Path, int], AbstractContextManager[Epoch]]


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    began = time.perf_counter()
    measured = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.only:
            write = CASES[name].write
            folder = Path(scratch) / write.__name__
            if not folder.exists():
                write(folder)
            for workers in (0, 2):
                measured.append(in_own_process(name, folder, workers, args.epochs))
                print(as_row(measured[-1]), file=sys.stderr)
    publish(
        args,
        {
            "measures": "resident memory of process and workers, epoch after epoch, in MiB",
            "loaders": measured,
            "target": TARGET,
            "target_met": all(row["growth"] < TARGET for row in measured),
        },
        seconds={"all": [time.perf_counter() - began]},
        peers={},
    )


def as_row(row: dict[str, Any]) -> str:
    return (
        f"{row['loader']:<16} workers {row['workers']}  epoch 2 {row['mib'][1]:6.1f} MiB"
        f"  epoch {len(row['mib'])} {row['mib'][-1]:6.1f} MiB  growth {row['growth']:+.1%}"
    )


def in_own_process(name: str, folder: Path, workers: int, epochs: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=go_through, args=(sender, name, folder, workers, epochs))
    process.start()
    sender.close()
    mib = receiver.recv()
    process.join()
    growth = max(mib[-5:]) / max(mib[1:6]) - 1
    return {"loader": name, "workers": workers, "growth": round(growth, 4), "mib": mib}


def go_through(sender: Any, name: str, folder: Path, workers: int, epochs: int) -> None:
    torch.set_num_threads(1)
    mib = []
    with CASES[name].start(folder, workers) as epoch:
        warm = time.perf_counter() + (WARM_S if workers else 0)
        while time.perf_counter() < warm:
            exhaust(epoch())
        for _ in range(epochs):
            exhaust(epoch())
            mib.append(round(resident_mib(), 2))
    sender.send(mib)


def exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        continue


def resident_mib() -> float:
    """Of this process and its children; a page that n processes share counts 1/n for each."""
    gc.collect()
    this = psutil.Process()
    kib = 0
    for process in (this, *this.children(recursive=True)):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("Pss_Anon", "Pss_Shmem"):
                kib += int(value.removesuffix("kB"))
    return kib / 2**10


@contextmanager
def windows(folder: Path, workers: int) -> Iterator[Epoch]:
    """Windows with pictures, state and actions, whatever the streams are called."""
    dataset = open_dataset(folder)
    specs = {name: stream.spec for name, stream in dataset[0].streams.items()}
    camera = next(n for n, spec in specs.items() if len(spec.shape) == 3)
    vectors = [n for n, spec in specs.items() if len(spec.shape) == 1 and spec.dtype[0] == "f"]
    action = next(name for name in vectors if "action" in name)
    state = next(name for name in vectors if "action" not in name)
    rate = float(specs[action].rate_hz or RATE_HZ)
    window = Window((StreamInput(camera, (-1 / rate, 0.0)), StreamInput(state)), action, rate, 8)
    table = WindowTable((dataset[key] for key in dataset.keys()), window)  # noqa: SIM118
    with Loader(table, BATCH, seed=0, workers=workers) as loader:
        yield lambda: islice(loader, len(loader))


@contextmanager
def fusion(folder: Path, workers: int) -> Iterator[Epoch]:
    dataset = RoboMimicDataset(folder)
    with RoboMimicFusionDataLoader(dataset, batch_size=BATCH, workers=workers) as loader:
        yield lambda: (batch.points("agentview") for batch in loader)


@contextmanager
def voxels(folder: Path, workers: int) -> Iterator[Epoch]:
    dataset = CalvinDataset(folder)
    with CalvinVoxelDataLoader(dataset, colours=True, batch_size=BATCH, workers=workers) as loader:
        yield lambda: loader


@contextmanager
def whole_episodes(folder: Path, threads: int) -> Iterator[Epoch]:
    loader = RTXDataLoader(RTXDataset(folder), 2, threads=threads)
    yield lambda: loader


def episodes() -> Iterator[Episode]:
    times = np.arange(STEPS) / RATE_HZ
    for number in range(EPISODES):
        numbers = np.random.default_rng(number).normal(size=(STEPS, 9)).astype(np.float32)
        pixels = np.stack([picture(number, step) for step in range(STEPS)])
        yield Episode(
            f"made/{number}",
            {
                "observation.images.front": Stream(
                    pixels, times, StreamSpec(pixels.shape[1:], "uint8", RATE_HZ)
                ),
                "observation.state": Stream(
                    numbers[:, :5], times, StreamSpec((5,), rate_hz=RATE_HZ)
                ),
                "action": Stream(numbers[:, 5:], times, StreamSpec((4,), rate_hz=RATE_HZ)),
            },
            f"move block {number}",
            provenance=Provenance(seed=number),
        )


def picture(number: int, step: int) -> np.ndarray:
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    bright = 120 + 90 * np.sin(5 * row + step / 9) * np.cos(7 * column - number)
    return np.stack([bright, bright[::-1], 255 - bright], axis=-1).astype(np.uint8)


def write_own(folder: Path) -> None:
    folder.mkdir()
    write_shard(folder / "made.episodes.parquet", list(episodes()))


def write_demo_file(folder: Path) -> None:
    folder.mkdir()
    write_demos(folder / "demos.hdf5", EPISODES, STEPS)


def write_bags(folder: Path) -> None:
    folder.mkdir()
    for number in range(EPISODES):
        rows = []
        for step in range(STEPS):
            at = step * 10**9 // RATE_HZ
            jpeg = io.BytesIO()
            Image.fromarray(picture(number, step)).save(jpeg, "JPEG")
            rows += [
                ros_bags.Row("/camera", ros_bags.compressed(at, jpeg.getvalue()), at),
                ros_bags.Row("/joints", ros_bags.joints(at, [step, number]), at),
                ros_bags.Row("/action", ros_bags.joints(at, [number, step]), at),
            ]
        ros_bags.write_mcap(folder / f"bag_{number}.mcap", rows)


def write_tfrecords(folder: Path) -> None:
    write_rlds(folder, "fractal", EPISODES)


def write_videos(folder: Path) -> None:
    write_lerobot(episodes(), folder)


def write_frames(folder: Path) -> None:
    write_split(folder, 3, STEPS)


CASES = {
    "rlds": Case(write_tfrecords, windows),
    "lerobot": Case(write_videos, windows),
    "hdf5": Case(write_demo_file, windows),
    "calvin": Case(write_frames, windows),
    "ros": Case(write_bags, windows),
    "own episodes": Case(write_own, windows),
    "RTXDataLoader": Case(write_tfrecords, whole_episodes),
    "calvin voxels": Case(write_frames, voxels),
    "robomimic fusion": Case(write_demo_file, fusion),
}


if __name__ == "__main__":
    main()
