"""HDF5 demonstrations: samples per second of the fusion loader, of robomimic, and of plain h5py.

    python benchmarks/robomimic_fusion.py
    python benchmarks/robomimic_fusion.py --compression gzip --samples 64

A sample is the pictures and depth of two cameras and the robot's state up to now, and the next
actions. The same samples are made in the same order by

- `robocache`: RoboMimicFusionDataLoader;
- `h5py`: slices of the open file for each sample, np.interp of the state at the times observed;
- `robomimic`: its SequenceDataset and torch's DataLoader, in a process and an environment of its
  own, made at the first run. It reads the pictures of the whole sequence, also those ahead.

One thread each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from measure import arguments, interleave, publish, rates, ratio
from numpy.typing import NDArray
from peer import Peer, make_environment
from robomimic_recording import CAMERAS, VECTORS, write_demos

from robocache.datasets.hdf5 import RoboMimicDataset, RoboMimicFusionDataLoader

HERE = Path(__file__).parent
ENVIRONMENT = HERE / "out" / "environments" / "robomimic"
INSTALLS = (
    (f"torch=={version('torch').split('+')[0]}", "numpy", "h5py", "tqdm", "termcolor", "psutil"),
    ("--no-deps", "robomimic==0.3.0"),
)
IMAGES = [f"{camera}_image" for camera in CAMERAS]
DEPTHS = [f"{camera}_depth" for camera in CAMERAS]
STEPS = 2  # observations up to now
CHECKED = 2  # batches compared number by number


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--demos", type=int, default=50)
    parser.add_argument("--steps", type=int, default=150, help="of a demonstration")
    parser.add_argument("--compression", choices=("gzip",), help="default: none")
    parser.add_argument("--samples", type=int, default=512, help="per round and side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--clock", choices=("perf_counter", "process_time"), default="perf_counter")
    args = parser.parse_args()
    torch.set_num_threads(1)
    python = make_environment(ENVIRONMENT, INSTALLS)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Peer(python, HERE / "robomimic_peer.py", {"OMP_NUM_THREADS": "1"}) as peer,
    ):
        path = write_demos(Path(scratch) / "demos.hdf5", args.demos, args.steps, args.compression)
        measure(args, path, peer, Path(scratch))


def measure(args: argparse.Namespace, path: Path, peer: Peer, scratch: Path) -> None:
    names = {"images": IMAGES, "depths": DEPTHS, "vectors": list(VECTORS)}
    versions = peer.ask("setup", path=str(path), steps=STEPS, horizon=args.horizon, **names)
    loader = RoboMimicFusionDataLoader(
        RoboMimicDataset(path),
        cameras=CAMERAS,
        proprioception=[f"obs/{name}" for name in VECTORS],
        observation_steps=STEPS,
        horizon=args.horizon,
        batch_size=args.batch_size,
    )
    batches = min(args.samples // args.batch_size, len(loader))
    order = loader.table.order(0, 0)[: batches * args.batch_size]
    clock: Callable[[], float] = getattr(time, args.clock)
    with h5py.File(path) as file:
        plain = Sliced(file, args.horizon)
        compare(loader, plain, peer, order, scratch)

        def ours() -> float:
            began = clock()
            for _ in islice(loader, batches):
                continue
            return clock() - began

        def sliced() -> float:
            began = clock()
            for rows in np.split(order, batches):
                plain.batch(rows)
            return clock() - began

        def theirs() -> float:
            rows = order.tolist()
            asked = peer.ask("epoch", rows=rows, batch_size=args.batch_size, clock=args.clock)
            return float(asked["seconds"])

        sides = {"robocache": ours, "h5py": sliced, "robomimic": theirs}
        seconds = interleave(sides, args.rounds)
    publish(
        args,
        {
            "measures": "samples per second: pictures, depth, state, actions",
            "steps_of_all_demonstrations": len(loader.table),
            "observation_steps": STEPS,
            "samples_per_round": len(order),
            "file_bytes": path.stat().st_size,
            "samples_per_s": rates(seconds, len(order)),
            "times_faster": {
                name: ratio(seconds[name], seconds["robocache"])["median"]
                for name in ("h5py", "robomimic")
            },
            "peer_versions": versions,
        },
        seconds=seconds,
        peers={"h5py": "robocache", "robomimic": "robocache"},
    )


class Sliced:
    """Samples cut out of an open file one by one, numbers kept in memory."""

    def __init__(self, file: h5py.File, horizon: int) -> None:
        self._file, self._horizon = file, horizon
        self._demos = sorted(file["data"], key=lambda name: int(name.removeprefix("demo_")))
        lengths = [len(file["data"][name]["actions"]) for name in self._demos]
        self._starts = np.cumsum([0, *lengths])
        self._numbers = [
            (
                file["data"][name]["actions"][:],
                np.concatenate([file["data"][name]["obs"][v][:] for v in VECTORS], axis=1),
            )
            for name in self._demos
        ]

    def batch(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        samples = [self._sample(int(row)) for row in rows]
        return {
            name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
            for name in samples[0]
        }

    def _sample(self, row: int) -> dict[str, NDArray[Any]]:
        demo = int(np.searchsorted(self._starts, row, side="right")) - 1
        step = row - int(self._starts[demo])
        first = max(step - STEPS + 1, 0)
        missing = STEPS - (step + 1 - first)
        obs = self._file["data"][self._demos[demo]]["obs"]
        seen = {}
        for name in (*IMAGES, *DEPTHS):
            frames = obs[name][first : step + 1]
            seen[name] = np.concatenate([np.zeros_like(frames[:1]).repeat(missing, 0), frames])
        actions, states = self._numbers[demo]
        times = np.arange(len(states)) / 20
        now = np.arange(first, step + 1) / 20
        state = np.stack([np.interp(now, times, column) for column in states.T], axis=1)
        seen["state"] = np.pad(state, ((missing, 0), (0, 0))).astype(np.float32)
        ahead = actions[step : step + self._horizon]
        seen["actions"] = np.zeros((self._horizon, actions.shape[1]), np.float32)
        seen["actions"][: len(ahead)] = ahead
        return seen


def compare(
    loader: RoboMimicFusionDataLoader,
    plain: Sliced,
    peer: Peer,
    order: NDArray[np.int64],
    scratch: Path,
) -> None:
    """Raise AssertionError unless all give the same; robomimic repeats where we give zeros."""
    size = loader.batch_size
    for number, batch in enumerate(islice(loader, CHECKED)):
        rows = order[number * size : (number + 1) * size]
        ours = {
            **{f"{camera}_image": value for camera, value in batch.pictures.items()},
            **{f"{camera}_depth": value[..., None] for camera, value in batch.depth.items()},
            "state": batch.proprioception,
            "actions": batch.actions,
        }
        sliced = plain.batch(rows)
        for name, value in ours.items():
            np.testing.assert_array_equal(value.numpy(), sliced[name].numpy(), name)
        peer.ask("write", rows=rows.tolist(), file=str(scratch / "batch.npz"))
        seen = batch.valid[f"obs/{IMAGES[0]}"].numpy()
        with np.load(scratch / "batch.npz") as theirs:
            for name in (*IMAGES, *DEPTHS):
                np.testing.assert_array_equal(ours[name].numpy()[seen], theirs[name][seen], name)
            state = np.concatenate([theirs[name] for name in VECTORS], axis=-1)
            np.testing.assert_array_equal(ours["state"].numpy()[seen], state[seen].astype("f4"))
            ahead = batch.action_valid.numpy()
            actions = theirs["actions"].astype("f4")[ahead]
            np.testing.assert_array_equal(batch.actions.numpy()[ahead], actions)
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 0})


if __name__ == "__main__":
    main()
