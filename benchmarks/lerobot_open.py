"""What opening a LeRobot folder of many episodes costs, with the fingerprint training asks for.

    python benchmarks/lerobot_open.py --episodes 10000

v2.1 has a Parquet file for each episode, v3.0 one for a thousand. Every opening is a process of its
own; what Python itself and the imports take is not counted. The first one makes the indexes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from lerobot_material import write_large_v2, write_large_v3
from measure import arguments, interleave, publish

from robocache.datasets import open_dataset

TARGET_S = 1.0


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(opened(args.inside)))
        return
    del args.inside
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"v2.1": Path(scratch) / "v21", "v3.0": Path(scratch) / "v30"}
        write_large_v2(folders["v2.1"], args.episodes)
        write_large_v3(folders["v3.0"], args.episodes)
        time.sleep(2.5)  # digests of files that changed a moment ago are not kept
        sides = {name: partial(in_process, path, scratch) for name, path in folders.items()}
        first = {name: side() for name, side in sides.items()}
        seconds = interleave(
            {name: lambda side=side: sum(side().values()) for name, side in sides.items()},
            args.rounds,
        )
        parts = {name: side() for name, side in sides.items()}
    publish(
        args,
        {
            "measures": "seconds to open a folder with its fingerprint, in a process of its own",
            "first_opening_s": first,
            "later_opening_s": parts,
            "target_s": TARGET_S,
            "target_met": {name: max(found) < TARGET_S for name, found in seconds.items()},
        },
        seconds=seconds,
        peers={},
    )


def in_process(folder: Path, home: str) -> dict[str, float]:
    """What `opened` measures in a process of its own."""
    command = [sys.executable, __file__, "--inside", str(folder)]
    environment = {**os.environ, "ROBOCACHE_HOME": home}
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    answer: dict[str, float] = json.loads(found)
    return answer


def opened(folder: Path) -> dict[str, float]:
    """Seconds to open a folder, for its fingerprint, and to read one episode."""
    marks = [time.perf_counter()]
    dataset = open_dataset(folder)
    marks.append(time.perf_counter())
    assert dataset.fingerprint
    marks.append(time.perf_counter())
    assert len(dataset[len(dataset) // 2].streams) == 2
    marks.append(time.perf_counter())
    names = ("open", "fingerprint", "one episode")
    return {n: round(b - a, 4) for n, a, b in zip(names, marks, marks[1:], strict=False)}


if __name__ == "__main__":
    main()
