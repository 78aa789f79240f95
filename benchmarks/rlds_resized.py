"""The comparison of `rlds_tfds.py` where pictures are brought to the size of a training.

A step is what a policy learns from: every camera, the numbers of the observation, the marks and one
action. Here `Loader` reads them as windows of one moment, from the RLDS files and from a cache.
"""

from __future__ import annotations

import multiprocessing
import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from peer import Peer
from rlds_sides import Compared, Spent, ask_timed

from robocache.core import StreamInput, Window
from robocache.datasets import Loader, WindowTable
from robocache.datasets.cache import build_cache, open_cache
from robocache.datasets.rlds import RLDSDataset

PEER = "rlds_resized_peer.py"
WAYS = (
    "nested",
    "frames",
    "frames_fast",
    "frames_accurate",
    "frames_reduced",
    "frames_lanczos",
    "episodes",
)
REDUCED, OTHER_FILTER = "frames_reduced", "frames_lanczos"
COMPARED_STEPS = 64
"""Whose pictures are compared."""
ROUNDED_LEVELS = 2.0
"""How far a pixel may be from TensorFlow's where both decode alike."""
MEAN_LEVELS = 3.0
"""How far pictures may be apart on average to be called the same, a cache's as JPEG too."""
PAUSE_S = 0.5
"""Before a round: what the side before had under way ends."""


def compare(peer: Peer, folder: Path, scratch: Path, args: Namespace, stack: ExitStack) -> Compared:
    """One dataset, read by `Loader` and in every way of TFDS."""
    torch.set_num_threads(1)
    dataset = RLDSDataset(folder)
    window = window_of(dataset, args.size)
    began = time.perf_counter()
    cache = build_cache(dataset, window, workers=args.threads)
    cached_s = time.perf_counter() - began
    tables = {
        "files": WindowTable(dataset, window),
        "cache": WindowTable(open_cache(cache).episodes, window),
    }
    tables["cache_shuffled"] = tables["cache"]
    names = {
        "cameras": [view.stream for view in window.inputs if view.size],
        "numbers": [view.stream for view in window.inputs if not view.size] + [window.action],
    }
    asked = {"folder": str(folder), "size": args.size, **names}
    ways = ways_of(dataset, names["cameras"], args.size)
    best, apart = _compared(peer, tables, asked, scratch, ways)
    loaders = {
        side: stack.enter_context(
            Loader(table, args.batch_size, 0, workers=args.threads, shuffle="shuffled" in side)
        )
        for side, table in tables.items()
    }
    batches = len(tables["files"]) * args.passes // args.batch_size
    return Compared(
        count=batches * args.batch_size,
        about={
            "steps": len(tables["files"]),
            **names,
            "picture_difference": apart,
            "seconds_to_make_the_cache": round(cached_s, 1),
        },
        here={
            side: partial(_timed, loader, loader.state_dict(), batches)
            for side, loader in loaders.items()
        },
        peers={
            way: partial(_ask, peer, way=way, batches=batches, batch=args.batch_size, **asked)
            for way in ways
        },
        best=best,
        judged="cache",
    )


def window_of(dataset: RLDSDataset, size: int) -> Window:
    """Every camera, the numbers of the observation, the marks, and the action of this moment."""
    streams = dataset[0].streams
    seen = [name for name in streams if name.startswith(("observation/", "is_"))]
    action = min(name for name in streams if name in ("action", "action/world_vector"))
    cameras = {name for name in streams if len(streams[name].spec.shape) == 3}
    inputs = (StreamInput(name, size=(size, size) if name in cameras else None) for name in seen)
    return Window(tuple(inputs), action, dataset.clock.rate_hz, 1)


def ways_of(dataset: RLDSDataset, cameras: list[str], size: int) -> list[str]:
    """All ways, or those that decode the whole picture where a half is smaller than `size`."""
    streams = dataset[0].streams
    sides = [side for name in cameras for side in streams[name].spec.shape[:2]]
    return [way for way in WAYS if way != REDUCED or min(sides) // 2 >= size]


def _timed(loader: Loader, state: dict[str, Any], batches: int) -> Spent:
    time.sleep(PAUSE_S)
    loader.load_state_dict(state)
    start, cpu_start = time.perf_counter(), _cpu_s()
    steps = sum(len(next(loader).index) for _ in range(batches))
    spent = Spent(time.perf_counter() - start, _cpu_s() - cpu_start, steps)
    loader.load_state_dict(state)  # calls off what is read ahead
    return spent


def _cpu_s() -> float:
    """Processor time of this process and of all workers."""
    workers = [process.pid for process in multiprocessing.active_children()]
    used = [psutil.Process(pid).cpu_times() for pid in (None, *workers)]
    return float(sum(times.user + times.system for times in used))


def _ask(peer: Peer, **asked: Any) -> Spent:
    time.sleep(PAUSE_S)
    return ask_timed(peer, **asked)


def _compared(
    peer: Peer,
    tables: dict[str, WindowTable],
    asked: dict[str, Any],
    scratch: Path,
    ways: list[str],
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The ways whose output may be called equal, and how far pictures of each are from ours.

    Raises:
        SystemExit: the output differs where it must not.
    """
    ours = {side: _read(tables[side], asked) for side in ("files", "cache")}
    count = len(tables["files"])
    best: list[str] = []
    apart = {"cache": _apart(ours["files"], ours["cache"], asked)}
    for way in ways:
        target = scratch / f"{way}.npz"
        answer = peer.ask("save", way=way, target=str(target), pictures_of=COMPARED_STEPS, **asked)
        with np.load(target) as kept:
            theirs = {name: kept[name] for name in kept.files}
        target.unlink()
        if answer["steps"] != count:
            raise SystemExit(f"{way} gives {answer['steps']} steps, expected {count}")
        for side, mine in ours.items():
            for name in asked["numbers"]:
                if not np.array_equal(theirs[name].astype(mine[name].dtype), mine[name]):
                    raise SystemExit(f"{asked['folder']}: {name} of {way} is not that of {side}")
        apart[way] = _apart(ours["files"], theirs, asked)
        if way not in ("nested", OTHER_FILTER) and apart[way]["mean"] <= MEAN_LEVELS:
            best.append(way)
    if apart["frames_accurate"]["largest"] > ROUNDED_LEVELS or apart["cache"]["mean"] > MEAN_LEVELS:
        raise SystemExit(f"{asked['folder']}: pictures differ too much: {apart}")
    return tuple(best), apart


def _read(table: WindowTable, asked: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Numbers of all steps and pictures of the first ones, in the order of the files."""
    first = table.batch(np.arange(min(COMPARED_STEPS, len(table))))
    found = {name: first.values[name][:, 0].numpy() for name in asked["cameras"]}
    rows, columns = torch.arange(len(table)), table.aligned.inputs
    *inputs, action = asked["numbers"]
    found |= {name: columns[name].read(rows)[:, 0].numpy() for name in inputs}
    found[action] = table.aligned.actions.read(rows).float()[:, 0].numpy()
    return found


def _apart(
    one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]], asked: dict[str, Any]
) -> dict[str, float]:
    """Largest and mean difference of pictures, in grey levels."""
    apart = [
        np.abs(one[name].astype(np.int16) - other[name].astype(np.int16))
        for name in asked["cameras"]
    ]
    return {
        "largest": float(max(values.max() for values in apart)),
        "mean": round(float(max(values.mean() for values in apart)), 3),
    }
