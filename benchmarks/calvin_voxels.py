"""CALVIN to voxels: samples per second of the pipeline, and of numpy with Open3D.

    python benchmarks/calvin_voxels.py
    python benchmarks/calvin_voxels.py --data <a CALVIN split>

A sample is the static camera's depth as occupied voxels, the robot's state and the next actions.
The same samples are made in the same order by

- `robocache`: CalvinVoxelDataLoader;
- `open3d`: np.load of every file of the window, numpy, Open3D's VoxelGrid, np.interp of the state;
- `open3d_kept`: the same with states and actions kept in memory, so that only depth is read.

The peer runs in a process and an environment of its own, made at the first run. One thread each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calvin_recording import write_split
from measure import arguments, interleave, publish, rates, ratio
from peer import Peer, make_environment

from robocache.datasets.calvin import CalvinDataset, CalvinVoxelDataLoader, VoxelBatch

HERE = Path(__file__).parent
ENVIRONMENT = HERE / "out" / "environments" / "open3d"
INSTALLS = (("open3d==0.20.0",),)
SIDES = {"open3d": "read", "open3d_kept": "kept"}
CHECKED = 8  # batches compared voxel by voxel


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--data", type=Path, help="a CALVIN split; default: one is made")
    parser.add_argument("--frames", type=int, default=450, help="of the split that is made")
    parser.add_argument("--samples", type=int, default=256, help="per round and side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--clock", choices=("perf_counter", "process_time"), default="perf_counter")
    args = parser.parse_args()
    torch.set_num_threads(1)
    python = make_environment(ENVIRONMENT, INSTALLS)
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as scratch,
        Peer(python, HERE / "calvin_peer.py", one_thread) as peer,
    ):
        folder = args.data or write_split(Path(scratch) / "training", 3, args.frames // 3)
        dataset = CalvinDataset(folder)
        measure(args, dataset, peer, Path(scratch))


def measure(args: argparse.Namespace, dataset: CalvinDataset, peer: Peer, scratch: Path) -> None:
    loader = CalvinVoxelDataLoader(dataset, batch_size=args.batch_size, horizon=args.horizon)
    versions = peer.ask("setup", **told(loader, args.horizon))
    batches = min(args.samples // args.batch_size, len(loader))
    order = loader.table.order(0, 0)[: batches * args.batch_size].tolist()
    checked = compared(loader, peer, order, scratch)
    clock: Callable[[], float] = getattr(time, args.clock)

    def ours() -> float:
        began = clock()
        for _ in islice(loader, batches):
            continue
        return clock() - began

    def theirs(numbers: str) -> Callable[[], float]:
        def run() -> float:
            answer = peer.ask("epoch", rows=order, numbers=numbers, clock=args.clock)
            return float(answer["seconds"])

        return run

    sides = {"robocache": ours, **{name: theirs(numbers) for name, numbers in SIDES.items()}}
    seconds = interleave(sides, args.rounds)
    publish(
        args,
        {
            "measures": "samples per second: depth to voxels, state, actions",
            "frames": len(loader.table),
            "samples_per_round": len(order),
            "grid": vars(loader.grid),
            **checked,
            "samples_per_s": rates(seconds, len(order)),
            "times_faster": {
                name: ratio(seconds[name], seconds["robocache"])["median"] for name in SIDES
            },
            "peer_versions": versions,
        },
        seconds=seconds,
        peers=dict.fromkeys(SIDES, "robocache"),
    )


def told(loader: CalvinVoxelDataLoader, horizon: int) -> dict[str, Any]:
    """What the peer must know: camera, grid, and the frames of each sample."""
    dataset, grid = loader.dataset, loader.grid
    (split,) = dataset.folders.values()
    camera = split.cameras["static"]
    assert camera.extrinsics is not None
    origins = loader.table.origins(np.arange(len(loader.table)))
    segments = dict(zip(dataset.keys(), split.play, strict=True))
    samples = [
        (segments[o.episode].first + o.step, segments[o.episode].first, segments[o.episode].last)
        for o in origins
    ]
    return {
        "folder": str(split.folder.absolute()),
        "digits": split.digits,
        "rate_hz": split.rate_hz,
        "horizon": horizon,
        "batch_size": loader.batch_size,
        "size": dataset[0].stream("depth_static").values.shape[1:],
        "intrinsics": camera.intrinsics.tolist(),
        "pose": camera.extrinsics.tolist(),
        "grid": {"voxel_size": grid.voxel_size, "dims": grid.dims, "origin": grid.origin},
        "samples": samples,
    }


def compared(
    loader: CalvinVoxelDataLoader, peer: Peer, order: list[int], scratch: Path
) -> dict[str, int]:
    """How many voxels differ in the first batches; numbers must be the same."""
    occupied = differing = 0
    size = loader.batch_size
    for number, batch in enumerate(islice(loader, CHECKED)):
        rows = order[number * size : (number + 1) * size]
        for numbers in SIDES.values():
            file = peer.ask("write", rows=rows, numbers=numbers, file=str(scratch / "batch.npz"))
            with np.load(file["file"]) as theirs:
                require_equal_numbers(batch, theirs)
                occupied += int(batch.occupied.sum())
                differing += int((batch.occupied[:, 0].numpy() != theirs["occupied"]).sum())
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "position": 0})
    return {"occupied_voxels_compared": occupied, "voxels_that_differ": differing}


def require_equal_numbers(batch: VoxelBatch, theirs: Any) -> None:
    np.testing.assert_array_equal(batch.action_valid.numpy(), theirs["action_valid"])
    np.testing.assert_array_equal(batch.actions.numpy(), theirs["actions"])
    np.testing.assert_array_equal(batch.state[:, 0].numpy(), theirs["state"])


if __name__ == "__main__":
    main()
