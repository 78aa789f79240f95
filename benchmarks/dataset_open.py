"""What opening a dataset of many episodes costs, and which files a few windows of it need.

    python benchmarks/dataset_open.py --episodes 10000 --shards 100

Every opening is a process of its own with the dataset's fingerprint, as training asks for it; what
Python itself and the imports take is not counted. The first one makes the indexes. Afterwards all
shards but those of three episodes are taken away before windows of these three are read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import arguments, interleave, publish
from rlds_files import write_rlds

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.window import StreamInput, Window
from robocache.datasets import EpisodeStore, WindowTable, open_dataset, write_shard

TARGET_S = 1.0
SUFFIXES = {"rlds": ".tfrecord-", "episodes": ".episodes.parquet"}


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        kind, folder, needed_only = args.inside
        print(json.dumps(opened(kind, Path(folder), bool(int(needed_only)))))
        return
    del args.inside
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"rlds": Path(scratch) / "numbers" / "1.0.0", "episodes": Path(scratch) / "own"}
        write_rlds(folders["rlds"], "numbers", args.episodes, args.shards)
        write_own(folders["episodes"], args.episodes, args.shards)
        first = {kind: in_process(kind, folder, scratch) for kind, folder in folders.items()}
        sides = {kind: partial(seconds_of, kind, folders[kind], scratch) for kind in folders}
        seconds = interleave(sides, args.rounds)
        windows = {
            kind: in_process(kind, folder, scratch, needed_only=True)
            for kind, folder in folders.items()
        }
    publish(
        args,
        {
            "measures": "seconds to open a dataset with its fingerprint, in a process of its own",
            "first_opening_s": {kind: found["seconds"] for kind, found in first.items()},
            "files": {kind: found["files"] for kind, found in first.items()},
            "three_episodes": {
                kind: {name: found[name] for name in ("files_left", "windows", "windows_s")}
                for kind, found in windows.items()
            },
            "target_s": TARGET_S,
            "target_met": {kind: max(found) < TARGET_S for kind, found in seconds.items()},
        },
        seconds=seconds,
        peers={},
    )


def write_own(folder: Path, episodes: int, shards: int) -> None:
    """Episodes of this project with the same streams as the kind "numbers"."""
    folder.mkdir()
    for shard, keys in enumerate(np.array_split(np.arange(episodes), shards)):
        path = folder / f"{shard:05d}{SUFFIXES['episodes']}"
        write_shard(path, list(_own_episodes(keys.tolist())))


def _own_episodes(numbers: list[int]) -> Iterator[Episode]:
    for number in numbers:
        random = np.random.default_rng(number)
        times = np.arange(int(random.integers(10, 20, endpoint=True))) / 10
        streams = {
            name: Stream(
                random.normal(size=(len(times), 7)).astype(np.float32),
                times,
                StreamSpec((7,), rate_hz=10.0),
            )
            for name in ("action", "observation/state")
        }
        yield Episode(f"train/{number:06d}", streams, "put the red block into the drawer")


def in_process(kind: str, folder: Path, home: str, needed_only: bool = False) -> dict[str, Any]:
    """What `opened` finds in a process of its own."""
    command = [sys.executable, __file__, "--inside", kind, str(folder), str(int(needed_only))]
    environment = {**os.environ, "ROBOCACHE_HOME": home}
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    answer: dict[str, Any] = json.loads(found)
    return answer


def seconds_of(kind: str, folder: Path, home: str) -> float:
    return float(in_process(kind, folder, home)["seconds"])


def opened(kind: str, folder: Path, needed_only: bool) -> dict[str, Any]:
    """Open a dataset; then read windows of three episodes, perhaps with only their files left."""
    start = time.perf_counter()
    dataset = open_dataset(folder)
    fingerprint = dataset.fingerprint
    spent = time.perf_counter() - start
    keys = [dataset.keys()[k] for k in np.random.default_rng(0).choice(len(dataset), 3, False)]
    files = [path for path in folder.iterdir() if SUFFIXES[kind] in path.name]
    needed = {file_of(dataset, key) for key in keys}
    for path in files if needed_only else ():
        if path not in needed:
            path.unlink()
    start = time.perf_counter()
    window = Window((StreamInput("observation/state", (-0.1, 0.0)),), "action", 10.0, 4)
    table = WindowTable((dataset[key] for key in keys), window)
    table.batch(np.arange(len(table)))
    return {
        "seconds": spent,
        "fingerprint": fingerprint,
        "files": len(files),
        "files_left": len(needed),
        "windows": len(table),
        "windows_s": round(time.perf_counter() - start, 4),
    }


def file_of(dataset: Any, key: str) -> Path:
    """The shard of an episode."""
    if isinstance(dataset, EpisodeStore):
        return dataset._place(key).shard
    place: Path = dataset.rlds_episode(key).shard.path
    return place


if __name__ == "__main__":
    main()
