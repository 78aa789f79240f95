"""RLDS files read by this project and by tensorflow_datasets: steps per second at equal output.

    python benchmarks/rlds_tfds.py --rounds 5
    python benchmarks/rlds_tfds.py --size 224 --rounds 3

Each side passes over the same files and gives every number and every decoded picture of every step
as arrays. TensorFlow runs in an environment and a process of its own, started once; its ways to
read are described in `rlds_peer.py`. Here `RTXDataLoader` reads ahead with as many threads as there
are processors. Both are opened before the rounds and verify the checksums of the records. Output is
compared before anything is timed: numbers must be equal, and pictures too where TensorFlow uses the
accurate transform (by default it uses a faster one, which differs by some grey levels). Processor
time is told as well: where pictures are large, their decoding is most of it on both sides, and
bounds the difference (`decoding_alone`, see `rlds_native.py`).

With `--size` both sides give batches as a training takes them, pictures resized with the same
filter (`rlds_resized.py`, `rlds_resized_peer.py`): `Loader` from the files and from a cache made
before, TFDS as its users do it, in every epoch anew.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import rlds_native
import rlds_resized
from measure import arguments, interleave, publish, rates, ratio
from peer import Peer, make_environment
from rlds_files import write_rlds
from rlds_sides import Compared, Measure

from robocache.datasets.rlds import RTXDataset

HERE = Path(__file__).parent
INSTALLS = [["tensorflow-cpu==2.21.0", "tensorflow-datasets==4.9.10"]]
EPISODES = {"fractal": 24, "droid": 12, "bridge": 12}
TARGETS = {"best_practice": 2.0, "nested": 3.0}


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--kinds", nargs="+", default=list(EPISODES), choices=list(EPISODES))
    parser.add_argument("--size", type=int, help="side of the square pictures are resized to")
    parser.add_argument("--passes", type=int, default=2, help="per round, at least")
    parser.add_argument("--batch-size", type=int, default=32, help="with --size")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="(or processes) that read ahead here"
    )
    parser.add_argument("--folders", nargs="*", default=[], type=Path, help="RLDS folders to add")
    parser.add_argument(
        "--environment", type=Path, default=HERE / "out" / "environments" / "tfds", help="of TFDS"
    )
    args = parser.parse_args()
    python = make_environment(args.environment, INSTALLS)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    script = rlds_native.PEER if args.size is None else rlds_resized.PEER
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["ROBOCACHE_HOME"] = str(scratch / "home")
        peer = stack.enter_context(Peer(python, HERE / script, quiet))
        folders = {
            kind: write_rlds(scratch / kind / "1.0.0", kind, EPISODES[kind]) for kind in args.kinds
        }
        folders |= {folder.name: RTXDataset(folder).reader.path for folder in args.folders}
        compare: Callable[..., Compared] = rlds_native.compare
        if args.size is not None:
            compare = partial(rlds_resized.compare, stack=stack)
        datasets = {name: compare(peer, folder, scratch, args) for name, folder in folders.items()}
        cpu_s: dict[str, list[float]] = {}
        sides = {
            f"{name}/{side}": partial(
                seconds_of, measure, compared.count, cpu_s.setdefault(f"{name}/{side}", [])
            )
            for name, compared in datasets.items()
            for side, measure in (*compared.here.items(), *compared.peers.items())
        }
        seconds = interleave(sides, args.rounds)
        versions = peer.ask("versions")
    figures = {name: judged(name, found, seconds, cpu_s) for name, found in datasets.items()}
    args.folders = [folder.name for folder in args.folders]
    del args.environment
    publish(
        args,
        {
            "measures": "RLDS steps per second, numbers and decoded pictures as arrays",
            "peer": versions,
            "equal_output": {name: found.about for name, found in datasets.items()},
            "datasets": figures,
            "targets": TARGETS,
        },
        seconds=seconds,
        peers={
            f"{name}/{side}": f"{name}/{figures[name]['best_practice']}"
            for name, found in datasets.items()
            for side in found.here
        },
    )


def judged(
    name: str,
    compared: Compared,
    seconds: Mapping[str, list[float]],
    cpu_s: Mapping[str, list[float]],
) -> dict[str, Any]:
    """Rates of all sides on one dataset, and how much faster this project is.

    Seconds of processors begin with the round that warms up.
    """
    own = {way: seconds[f"{name}/{way}"] for way in (*compared.here, *compared.peers)}
    steps_per_s = rates(own, compared.count)
    best = max(compared.best, key=lambda way: steps_per_s[way])
    against = {"best_practice": best, **{way: way for way in compared.peers}}
    over = {
        side: {name: ratio(own[way], own[side]) for name, way in against.items()}
        for side in compared.here
    }
    return {
        "steps_per_round": compared.count,
        "steps_per_s": steps_per_s,
        "cpu_ms_per_step": {
            way: round(1000 * statistics.median(cpu_s[f"{name}/{way}"][1:]) / compared.count, 3)
            for way in own
        },
        "best_practice": best,
        "times_as_fast_as": over,
        "targets_met": {
            target: over[compared.judged][target]["median"] >= wanted
            for target, wanted in TARGETS.items()
        },
    }


def seconds_of(measure: Measure, count: int, cpu_s: list[float]) -> float:
    """Seconds of one round of a side; its processor time is added to `cpu_s`."""
    spent = measure()
    if spent.steps != count:
        raise SystemExit(f"{spent.steps} steps were read, expected {count}: {measure}")
    cpu_s.append(spent.cpu_seconds)
    return spent.seconds


if __name__ == "__main__":
    main()
