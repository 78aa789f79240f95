"""The comparison of `rlds_tfds.py` where pictures stay as large as they are stored.

Beside `RTXDataLoader`, what its decoder takes alone: encoded pictures in memory, every one decoded
over the last. No loader that uses it can be faster on as many processors.
"""

from __future__ import annotations

import functools
import math
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Peer
from rlds_sides import Compared, Spent, ask_timed

from robocache.datasets.frames import decode_image, decode_in_place
from robocache.datasets.rlds import RTXDataLoader, RTXDataset

PEER = "rlds_peer.py"
FEWEST_STEPS = 2000
"""Small datasets are passed over more often, so that a round is no blink."""
WAYS = ("nested", "frames", "frames_fast", "frames_accurate", "episodes")
BEST = ("frames", "frames_accurate", "episodes")  # those whose output may be called equal


def compare(peer: Peer, folder: Path, scratch: Path, args: Namespace) -> Compared:
    """One dataset, read by `RTXDataLoader` and in every way of TFDS."""
    about = _compared(peer, folder, scratch)
    passes = max(args.passes, math.ceil(FEWEST_STEPS / about["steps"]))
    return Compared(
        count=about["steps"] * passes,
        about=about,
        here={
            "here": partial(_timed, _loader_of(folder, args.threads), passes),
            "here_one_thread": partial(_timed, _loader_of(folder, 0), passes),
            "decoding_alone": partial(_decoding, folder, passes, args.threads, about["steps"]),
        },
        peers={
            way: partial(ask_timed, peer, folder=str(folder), way=way, passes=passes)
            for way in WAYS
        },
        best=BEST,
        judged="here",
    )


def _loader_of(folder: Path, threads: int) -> RTXDataLoader:
    dataset = RTXDataset(folder, conventions="as_stored")
    return RTXDataLoader(dataset, 1, shuffle=False, threads=threads)


def _steps_of(loader: RTXDataLoader) -> Iterator[dict[str, NDArray[Any]]]:
    """Every step of one pass: name -> value."""
    for batch in loader:
        values = {name: tensor[0].numpy() for name, tensor in batch.values.items()}
        for number in range(int(batch.lengths[0])):
            yield {name: array[number] for name, array in values.items()}


def _timed(loader: RTXDataLoader, passes: int) -> Spent:
    start, cpu_start = time.perf_counter(), time.process_time()
    steps = sum(1 for _ in range(passes) for _ in _steps_of(loader))
    return Spent(time.perf_counter() - start, time.process_time() - cpu_start, steps)


def _decoding(folder: Path, passes: int, threads: int, steps: int) -> Spent:
    pictures = _encoded(folder)
    with ThreadPoolExecutor(threads) as pool:
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in pool.map(_decode, pictures * passes):
            continue
        spent = Spent(time.perf_counter() - start, time.process_time() - cpu_start, steps * passes)
    return spent


@functools.cache
def _encoded(folder: Path) -> list[list[bytes]]:
    """The pictures of every episode and camera."""
    dataset = RTXDataset(folder, conventions="as_stored")
    episodes = (dataset.reader.rlds_episode(key) for key in dataset.keys())  # noqa: SIM118
    return [list(episode.pictures(name)) for episode in episodes for name in dataset.cameras]


def _decode(pictures: list[bytes]) -> None:
    """All of the same size, as a rule."""
    pixels = decode_image(pictures[0])
    for picture in pictures[1:]:
        if not decode_in_place(picture, pixels):
            decode_image(picture)


def _compared(peer: Peer, folder: Path, scratch: Path) -> dict[str, Any]:
    """Differences of all numbers and of the pictures of the first episode, for every way.

    Raises:
        SystemExit: the output differs where it must not.
    """
    loader = _loader_of(folder, 0)
    first = int(next(iter(loader)).lengths[0])
    columns: dict[str, list[Any]] = {}
    count = 0
    for step in _steps_of(_loader_of(folder, 2)):
        for name, value in step.items():
            if name not in loader.dataset.cameras or count < first:
                columns.setdefault(name, []).append(value)
        count += 1
    wanted = {name: np.stack(values) for name, values in columns.items()}
    pictures: dict[str, Any] = {}
    for way in WAYS:
        target = scratch / f"{way}.npz"
        answer = peer.ask(
            "save", folder=str(folder), way=way, target=str(target), pictures_of=first
        )
        with np.load(target) as kept:
            found = {name: kept[name] for name in kept.files}
        target.unlink()
        if answer["steps"] != count or set(found) != set(wanted):
            different = f"{sorted(set(found) ^ set(wanted))}, {answer['steps']} and {count} steps"
            raise SystemExit(f"{folder}: {way} gives other streams or steps: {different}")
        largest, mean = 0, 0.0
        for name, values in wanted.items():
            if name in loader.dataset.cameras:
                apart = np.abs(found[name].astype(np.int16) - values)
                largest, mean = max(largest, int(apart.max())), max(mean, float(apart.mean()))
            elif found[name].dtype != values.dtype or not np.array_equal(found[name], values):
                raise SystemExit(f"{folder}: {name} of {way} is not what is read here")
        if way == "frames_accurate" and largest:
            raise SystemExit(f"{folder}: pictures of {way} differ by {largest} grey levels")
        pictures[way] = {"largest": largest, "mean": round(mean, 3)}
    numbers = sorted(set(wanted) - set(loader.dataset.cameras))
    return {"steps": count, "equal_numbers": numbers, "picture_difference": pictures}
