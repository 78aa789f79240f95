"""Random training samples from LeRobot video: this loader beside lerobot's own, at equal output.

    python benchmarks/lerobot_loader.py
    python benchmarks/lerobot_loader.py --size 224 --batches 24 --rounds 3

A v3.0 folder with two AV1 cameras (480 x 640, 30 Hz, as lerobot encodes them) is written once.
A sample is one picture per camera, the state and 16 actions; a batch holds the same samples on
every side, and pictures end as float32 (3, H, W) in 0..1, as lerobot hands them out. lerobot runs
in its environment (made as `scripts/check_lerobot_official.py` makes it), with every decoder of
its own that works there. With `--size 224` pictures are resized, and a cache at that size joins.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot_environment import environment, variables
from lerobot_material import CAMERAS, FPS, write_filmed
from measure import arguments, interleave, publish, rates, ratio
from peer import Peer

from robocache.core import StreamInput, Window
from robocache.datasets import Batch, Loader, WindowSampler, WindowTable
from robocache.datasets.cache import build_cache, open_cache
from robocache.datasets.lerobot import LeRobotDataset

ENVIRONMENT = Path(__file__).resolve().parent / "out" / "environments" / "lerobot"
HORIZON = 16
BACKENDS = ("torchcodec", "pyav")
GREY_LEVELS = 2.0
"""How far a picture may be from lerobot's: two builds of FFmpeg may round a colour differently."""
CACHE_LEVELS = 3.0
"""How far a cached picture may be on average: it was kept as JPEG."""
TARGETS = {"loader": 1.0, "cache": 15.0}


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="of lerobot")
    parser.add_argument("--size", type=int, help="side of the square pictures are resized to")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100, help="of the shortest episode")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=12, help="per round and side")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two sides")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of this process")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    python = environment(args.environment)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["ROBOCACHE_HOME"] = str(scratch / "home")
        dataset = write_filmed(scratch / "filmed", args.episodes, args.frames)
        tables, cached_s = tables_of(dataset, args)
        sides = {
            name: stack.enter_context(
                Loader(table, args.batch_size, 0, workers=args.workers, on_device=as_lerobot)
            )
            for name, table in tables.items()
        }
        peers, about = start_peers(args, python, dataset, scratch, stack)
        differences = {
            f"{name} from {peer}": largest_difference(loader, peers[peer], scratch / "batch.npz")
            for name, loader in sides.items()
            for peer in peers
        }
        sampler = WindowSampler(tables["loader"], args.batch_size, seed=0)
        rounds = Rounds(sampler, args.batches, args.pause)
        turns = {name: rounds.here(name, loader) for name, loader in sides.items()}
        turns |= {name: rounds.there(name, peer) for name, peer in peers.items()}
        seconds = interleave(turns, args.rounds)
    del args.environment
    pictures = args.batches * sampler.batch_size * len(CAMERAS)
    fastest = min(peers, key=lambda name: sum(seconds[name]))
    over = {name: {peer: ratio(seconds[peer], seconds[name]) for peer in peers} for name in sides}
    publish(
        args,
        {
            "measures": "pictures per second in random training samples of LeRobot v3.0 video",
            "peer": about,
            "samples": len(sampler.table),
            "pictures_per_round": pictures,
            "seconds_to_make_the_cache": cached_s,
            "differences_in_grey_levels": differences,
            "pictures_per_s": rates(seconds, pictures),
            "times_as_fast_as": over,
            "fastest_peer": fastest,
            "targets": {name: TARGETS[name] for name in sides},
            "targets_met": {name: over[name][fastest]["median"] >= TARGETS[name] for name in sides},
        },
        seconds=seconds,
        peers=dict.fromkeys(sides, fastest),
    )


def tables_of(dataset: LeRobotDataset, args: Any) -> tuple[dict[str, WindowTable], float | None]:
    """What is loaded from: the videos, and with a size a cache, and how long that took to make."""
    window = window_of(args.size)
    tables = {"loader": WindowTable(dataset, window)}
    if args.size is None:
        return tables, None
    began = time.perf_counter()
    folder = build_cache(dataset, window, workers=args.workers)
    seconds = round(time.perf_counter() - began, 1)
    tables["cache"] = WindowTable(open_cache(folder).episodes, window)
    return tables, seconds


def window_of(size: int | None) -> Window:
    """One picture per camera, the state, and 16 actions."""
    wanted = None if size is None else (size, size)
    cameras = (StreamInput(name, size=wanted) for name in CAMERAS)
    return Window((*cameras, StreamInput("observation.state")), "action", FPS, HORIZON)


def as_lerobot(batch: Batch) -> Batch:
    """Pictures as float32 (B, 1, 3, H, W) in 0..1."""
    for name in CAMERAS:
        pictures = batch.values[name].permute(0, 1, 4, 2, 3).contiguous()  # while they are bytes
        # numpy asks the system for large pages, which torch does not.
        out = torch.from_numpy(np.empty(tuple(pictures.shape), np.float32))
        batch.values[name] = out.copy_(pictures).div_(255.0)  # type: ignore[index]
    return batch


def start_peers(
    args: Any, python: Path, dataset: LeRobotDataset, scratch: Path, stack: ExitStack
) -> tuple[dict[str, Peer], dict[str, Any]]:
    """A process for each decoder of lerobot that works, and versions, and why others do not."""
    script = Path(__file__).with_name("lerobot_peer.py")
    asked = {
        "folder": str(dataset.path),
        "size": [args.size, args.size] if args.size else None,
        "horizon": HORIZON,
        "rate_hz": FPS,
        "workers": args.workers,
    }
    peers: dict[str, Peer] = {}
    about: dict[str, Any] = {}
    for backend in BACKENDS:
        peer = stack.enter_context(Peer(python, script, variables(args.environment, scratch)))
        why_not = peer.ask("load", backend=backend)["why_not"]
        if why_not is not None:
            about[backend] = f"does not work: {why_not}"
            continue
        peers[f"lerobot {backend}"] = peer
        about[backend] = peer.ask("open", **asked)
    return peers, about


def largest_difference(loader: Loader, peer: Peer, file: Path) -> dict[str, float]:
    """How far one batch of a loader is from the same samples of lerobot.

    Raises:
        SystemExit: further than it may be.
    """
    batch = next(loader)
    peer.ask("keep", batch=batch.index.tolist(), target=str(file))
    with np.load(file) as kept:
        other = {name: torch.from_numpy(kept[name]) for name in kept.files}
    found: dict[str, float] = {}
    for name in CAMERAS:
        off = (batch.values[name][:, 0] - other[name]).abs() * 255.0
        found[f"{name}, largest"] = round(float(off.max()), 3)
        found[f"{name}, mean"] = round(float(off.mean()), 3)
    padded = other["action_is_pad"]
    exact = (
        torch.equal(batch.values["observation.state"][:, 0], other["observation.state"])
        and torch.equal(batch.action_valid, ~padded)
        and torch.equal(batch.actions[~padded], other["action"][~padded])
    )
    lossy = "jpeg" in loader.windows.aligned.loss  # type: ignore[attr-defined]
    if not exact or not within(found, lossy):
        raise SystemExit(f"other output than lerobot's: numbers equal {exact}, pictures {found}")
    return found


def within(found: Mapping[str, float], lossy: bool) -> bool:
    """Whether pictures are as near as they have to be."""
    kind, most = (", mean", CACHE_LEVELS) if lossy else (", largest", GREY_LEVELS)
    return all(value <= most for name, value in found.items() if name.endswith(kind))


class Rounds:
    """The same samples for every side, other ones in each round."""

    def __init__(self, sampler: WindowSampler, batches: int, pause_s: float) -> None:
        self._sampler, self._batches, self._pause_s = sampler, batches, pause_s
        self._drawn: list[tuple[dict[str, Any], list[list[int]]]] = []
        self._turns: dict[str, int] = {}

    def here(self, name: str, loader: Loader) -> Callable[[], float]:
        def run() -> float:
            state, batches = self._next(name)
            loader.load_state_dict(state)
            began = time.perf_counter()
            for rows in batches:
                assert next(loader).index.tolist() == rows
            seconds = time.perf_counter() - began
            loader.load_state_dict(state)  # calls off what is read ahead
            return seconds

        return run

    def there(self, name: str, peer: Peer) -> Callable[[], float]:
        def run() -> float:
            _, batches = self._next(name)
            return float(peer.ask("run", batches=batches)["seconds"])

        return run

    def _next(self, name: str) -> tuple[dict[str, Any], list[list[int]]]:
        """State of the sampler before this side's next round, and the batches of that."""
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        if turn == len(self._drawn):
            state = self._sampler.state_dict()
            rows = [self._sampler.next_rows().tolist() for _ in range(self._batches)]
            self._drawn.append((state, rows))
        time.sleep(self._pause_s)  # what the side before still had under way ends
        return self._drawn[turn]


if __name__ == "__main__":
    main()
