"""Points in voxels: one thread, against what users write themselves, and Open3D.

    python benchmarks/voxelize.py

Peers in the same process: `index_put_`, `scatter_add_` and `bincount` of torch on one index over
all clouds, numpy in a loop over clouds, `np.histogramdd`. Open3D runs in a process and an
environment of its own, made at the first run (`--no-open3d` leaves it out); where it cannot be
imported the result says why. Its VoxelGrid is a list, which is made a dense grid in the time that
counts.

`memcpy` copies as many bytes as must at least move: points read once, grids written once. Grids of
all sides are compared before anything is timed, and must be equal; means may differ by rounding.
Ours also writes into memory that is given (`out`), as a loop would reuse it. With a graphics card
the same cases run there, too, beside torch.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import arguments, interleave, publish, ratio
from peer import Peer, make_environment
from resample import repeated
from torch import Tensor

from robocache.ops import available_backends, voxelize

HERE = Path(__file__).parent
ENVIRONMENT = HERE / "out" / "environments" / "open3d"
INSTALLS = (("open3d==0.20.0",),)
SIDES_BY_REDUCE = {
    "occupancy": ("index_put", "numpy"),
    "count": ("scatter_add", "bincount", "numpy", "histogramdd"),
    "mean": ("scatter_add",),
}


class Case(NamedTuple):
    reduce: Any
    clouds: int
    points: int
    dim: int
    channels: int = 0

    @property
    def name(self) -> str:
        features = f" C{self.channels}" if self.channels else ""
        return f"{self.reduce} {self.clouds}x{self.points} -> {self.dim}^3{features}"

    @property
    def cells(self) -> int:
        return self.dim**3


CASES = (
    Case("occupancy", 64, 20_000, 64),
    Case("occupancy", 64, 20_000, 128),
    Case("count", 64, 20_000, 64),
    Case("count", 64, 20_000, 128),
    Case("mean", 8, 20_000, 32, 16),
)


def main() -> None:
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))))
    parser.add_argument("--no-open3d", action="store_true", help="leave Open3D out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    seconds: dict[str, list[float]] = {}
    table: dict[str, Any] = {}
    with open3d(args) as (peer, absent):
        for device in devices:
            for case in (CASES[number] for number in args.cases):
                name = case.name if device == "cpu" else f"{case.name} {device}"
                sides, moved = sides_of(case, device)
                if peer is not None and device == "cpu" and case.reduce == "occupancy":
                    sides["open3d"] = by_open3d(case, peer)
                apart = compared(name, case, sides)
                found = interleave({side: timed(run) for side, run in sides.items()}, args.rounds)
                table[name] = {
                    "device": device if device == "cpu" else torch.cuda.get_device_name(),
                    "bytes": moved,
                    "largest_difference": apart,
                    "times_as_fast_as": faster(found, "ours"),
                    "with_out": faster(found, "ours out"),
                }
                seconds |= {f"{name}/{side}": spent for side, spent in found.items()}
    publish(
        args,
        {
            "measures": "seconds of one call, one thread",
            "backends": available_backends("voxelize"),
            "absent": absent,
            "cases": table,
        },
        seconds=seconds,
        peers={
            f"{name}/{ours}": f"{name}/{peer_of(name)}"
            for name in table
            for ours in ("ours", "ours out")
        },
    )


def faster(found: dict[str, list[float]], side: str) -> dict[str, float]:
    return {name: ratio(spent, found[side])["median"] for name, spent in found.items()}


def peer_of(name: str) -> str:
    return SIDES_BY_REDUCE[name.split()[0]][0]


class Timed(NamedTuple):
    """A side that tells the seconds of its calls itself, and what it made."""

    seconds: Callable[[], float]
    grid: Callable[[], Any]


Side = Callable[[], Any] | Timed


def timed(side: Side) -> Callable[[], float]:
    return side.seconds if isinstance(side, Timed) else repeated(side)


def sides_of(case: Case, device: str) -> tuple[dict[str, Side], int]:
    """What is timed, and how many bytes it must move."""
    points, features = material(case, device)
    size, dims = 1 / case.dim, (case.dim,) * 3
    asked: Any = {"reduce": case.reduce, "features": features}
    out: Any = torch.empty_like(voxelize(points, size, dims, **asked))  # type: ignore[arg-type]
    moved = points.nbytes + out.nbytes + (0 if features is None else features.nbytes)
    half = torch.zeros(2, moved // 2, dtype=torch.uint8, device=device)
    array = points.numpy() if device == "cpu" else None
    every: dict[str, Side] = {
        "ours": lambda: voxelize(points, size, dims, **asked),
        "ours out": lambda: voxelize(points, size, dims, out=out, **asked),
        "index_put": lambda: index_put(case, points),
        "scatter_add": lambda: scatter_add(case, points, features),
        "bincount": lambda: torch.bincount(numbered(case, points), minlength=rows(case))[:-1],
        "numpy": lambda: numpy_loop(case, array),
        "histogramdd": lambda: histogramdd(case, array),
        "memcpy": lambda: half[0].copy_(half[1]),
    }
    names = ["ours", "ours out", *SIDES_BY_REDUCE[case.reduce], "memcpy"]
    if device == "cpu":
        return {name: every[name] for name in names}, moved
    names = [name for name in names if name not in ("numpy", "histogramdd")]
    return {name: waited_for(every[name]) for name in names}, moved


def material(case: Case, device: str) -> tuple[Tensor, Tensor | None]:
    """Points of which about one in seven is outside, and their features.

    Edges of voxels are powers of two: divisions are exact, so that all sides agree on voxels.
    """
    random = torch.Generator().manual_seed(0)
    points = torch.rand(case.clouds, case.points, 3, generator=random) * 1.05 - 0.025
    if not case.channels:
        return points.to(device), None
    features = torch.randn(case.clouds, case.points, case.channels, generator=random)
    return points.to(device), features.to(device)


def waited_for(run: Any) -> Callable[[], Any]:
    def waiting() -> Any:
        made = run()
        torch.cuda.synchronize()
        return made

    return waiting


def rows(case: Case) -> int:
    """Voxels of all clouds, and one more for what is outside."""
    return case.clouds * case.cells + 1


def numbered(case: Case, points: Tensor) -> Tensor:
    """(clouds * N,) numbers of voxels over all clouds."""
    cell = (points * case.dim).floor()
    inside = ((cell >= 0) & (cell < case.dim)).all(dim=-1)
    x, y, z = cell.long().unbind(-1)
    first = torch.arange(case.clouds, device=points.device)[:, None] * case.cells
    voxel = first + (x * case.dim + y) * case.dim + z
    return torch.where(inside, voxel, rows(case) - 1).flatten()


def index_put(case: Case, points: Tensor) -> Tensor:
    grid = torch.zeros(rows(case), dtype=torch.bool, device=points.device)
    grid[numbered(case, points)] = True
    return grid[:-1]


def scatter_add(case: Case, points: Tensor, features: Tensor | None) -> Tensor:
    voxel = numbered(case, points)
    ones = torch.ones_like(voxel, dtype=torch.int32)
    counts = torch.zeros(rows(case), dtype=torch.int32, device=points.device)
    counts.scatter_add_(0, voxel, ones)
    if features is None:
        return counts[:-1]
    sums = features.new_zeros(rows(case), case.channels)
    sums.index_add_(0, voxel, features.flatten(0, 1))
    means = (sums / counts.clamp(min=1)[:, None])[:-1]
    return means.view(case.clouds, case.cells, case.channels).mT.contiguous()


def numpy_loop(case: Case, clouds: Any) -> Any:
    kind = bool if case.reduce == "occupancy" else np.int32
    grid = np.zeros((case.clouds, case.cells), kind)
    for points, one in zip(clouds, grid, strict=True):
        cell = np.floor(points * np.float32(case.dim)).astype(np.int32)
        x, y, z = cell[((cell >= 0) & (cell < case.dim)).all(axis=1)].T
        voxel = (x * case.dim + y) * case.dim + z
        if case.reduce == "occupancy":
            one[voxel] = True
        else:
            one[:] = np.bincount(voxel, minlength=case.cells)
    return grid


def histogramdd(case: Case, clouds: Any) -> Any:
    edges = [np.arange(case.dim + 1) / case.dim] * 3
    return np.stack([np.histogramdd(points, edges)[0] for points in clouds])


@contextmanager
def open3d(args: argparse.Namespace) -> Iterator[tuple[Peer | None, dict[str, str]]]:
    """Open3D, or why there is none."""
    if args.no_open3d:
        yield None, {"open3d": "left out (--no-open3d)"}
        return
    try:
        python = make_environment(ENVIRONMENT, INSTALLS)
    except CalledProcessError as error:
        yield None, {"open3d": f"not installed: {error}"}
        return
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with Peer(python, HERE / "voxelize_peer.py", one_thread) as peer:
        reason = peer.ask("missing")["reason"]
        yield (peer, {}) if reason is None else (None, {"open3d": reason})


def by_open3d(case: Case, peer: Peer) -> Timed:
    points, _ = material(case, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.npy"
        np.save(file, points.numpy())
        peer.ask("setup", file=str(file), dim=case.dim)

    def seconds() -> float:
        return float(peer.ask("occupancy")["seconds"])

    def grid() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "grid.npy"
            peer.ask("write", file=str(file))
            return np.load(file)

    return Timed(seconds, grid)


def compared(name: str, case: Case, sides: dict[str, Side]) -> dict[str, float]:
    """Largest difference of each side from ours; ends the script where it is no rounding."""
    bound = 1e-4 if case.reduce == "mean" else 0.0

    def made(side: Side) -> Tensor:
        values = side.grid() if isinstance(side, Timed) else side()
        return torch.as_tensor(values).cpu().double().flatten()

    ours = made(sides["ours"])
    apart = {}
    for side in sides.keys() - {"ours", "memcpy"}:
        apart[side] = float((made(sides[side]) - ours).abs().max())
        if not apart[side] <= bound:
            raise SystemExit(f"{name}: {side} is {apart[side]} away from ours")
    return apart


if __name__ == "__main__":
    main()
