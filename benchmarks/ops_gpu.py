"""Operations on a graphics card, beside a copy of as many bytes and PyTorch, eager and compiled.

    python benchmarks/ops_gpu.py

Runs the tests of the kernels on the card first and reports nothing when one fails. Inputs and
outputs take turns in more memory than the card's cache holds. `graph` is one call of many that were
captured in a CUDA graph, `eager` one from Python; both write into memory that is given. `copy`
moves the bytes that the operation must at least move: every sample that is needed once, every
result once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from card import Call, captured, require_green, timed
from measure import arguments, interleave, publish, ratio
from torch import Tensor

from robocache.ops import (
    ImageParameters,
    augment,
    available_backends,
    fused_multimodal_alignment,
    resample_trajectories,
    voxelize,
)
from robocache.ops.augment.tables import tables_for

ROTATED_BYTES = 2**29
MOST_SETS = 64


class Case(NamedTuple):
    """Letters as in `robocache.ops`.

    Attributes:
        bytes: that must be moved.
        ours: a call with memory of its own; made once for each set of buffers.
        peer: the same in PyTorch, to be compiled.
        alike: compares what both gave.
    """

    bytes: int
    ours: Callable[[], Call]
    peer: Callable[[], Call]
    alike: Callable[[Any, Any], bool]


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--cases", nargs="*", help="only those whose names contain one of these")
    args = parser.parse_args()
    require_green()
    seconds: dict[str, list[float]] = {}
    table: dict[str, Any] = {}
    for name, make in CASES.items():
        if args.cases and not any(text in name for text in args.cases):
            continue
        case = make()
        sides = sides_of(name, case)
        found = interleave(sides, args.rounds)
        graph = found["graph"]
        copy_s = sorted(found["copy"])[len(found["copy"]) // 2]
        table[name] = {
            "bytes": case.bytes,
            "copy_gb_per_s": round(case.bytes / copy_s / 1e9, 1),
            "microseconds": {n: round(1e6 * sorted(s)[len(s) // 2], 2) for n, s in found.items()},
            "share_of_copy": ratio(found["copy"], graph),
            "times_as_fast_as": {n: ratio(s, graph)["median"] for n, s in found.items()},
        }
        print(name, table[name]["microseconds"], file=sys.stderr, flush=True)
        seconds |= {f"{name}/{side}": values for side, values in found.items()}
        torch.cuda.empty_cache()
    publish(
        args,
        {
            "measures": "seconds of one call",
            "device": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "backends": {op: available_backends(op) for op in ("resample", "align", "voxelize")},
            "cases": table,
        },
        seconds=seconds,
        peers={f"{name}/graph": f"{name}/compiled" for name in table},
    )


def sides_of(name: str, case: Case) -> dict[str, Callable[[], float]]:
    """Seconds of one call, of ours and of the peers."""
    sets = min(MOST_SETS, max(2, math.ceil(ROTATED_BYTES / max(1, case.bytes))))
    ours = [case.ours() for _ in range(sets)]
    peer = case.peer()
    if not case.alike(ours[0](), peer()):
        raise SystemExit(f"{name}: ours and PyTorch's results differ")
    half = max(1, case.bytes // 2)
    copies = [
        (
            torch.empty(half, dtype=torch.uint8, device="cuda"),
            torch.zeros(half, dtype=torch.uint8, device="cuda"),
        )
        for _ in range(sets)
    ]
    compiled = torch.compile(peer)
    compiled()
    graph = captured(ours)
    return {
        "graph": timed([graph.replay], sets),
        "eager": timed(ours),
        "compiled": timed([compiled]),
        "torch": timed([peer]),
        "copy": timed([captured([_copy(*pair) for pair in copies]).replay], sets),
    }


def _copy(into: Tensor, given: Tensor) -> Call:
    return lambda: into.copy_(given)


def clock(batch: int, samples: int, targets: int) -> tuple[Tensor, Tensor]:
    """Uneven times (B, S), and target times (B, T) within them."""
    times = torch.rand(batch, samples, dtype=torch.float64, device="cuda").add_(0.5).cumsum(1)
    share = torch.rand(batch, targets, dtype=torch.float64, device="cuda").sort(1).values
    return times, times[:, :1] + share * (times[:, -1:] - times[:, :1])


def touched(times: Tensor, at: Tensor) -> int:
    """Different samples that any target needs."""
    right = torch.searchsorted(times, at).clamp(1, times.shape[1] - 1)
    rows = torch.cat([right - 1, right], dim=1).sort(1).values
    return int((rows.diff(dim=1) != 0).sum()) + len(rows)


def gathered(data: Tensor, times: Tensor, at: Tensor) -> Tensor:
    """What users write: searchsorted, gather, lerp."""
    right = torch.searchsorted(times, at).clamp(1, times.shape[1] - 1)
    left = right - 1
    before, after = times.gather(1, left), times.gather(1, right)
    weight = ((at - before) / (after - before))[..., None].to(data.dtype)
    wide = (-1, -1, data.shape[2])
    low = data.gather(1, left[..., None].expand(wide))
    return low + weight * (data.gather(1, right[..., None].expand(wide)) - low)


def near(tolerance: float) -> Callable[[Any, Any], bool]:
    return lambda one, two: bool((one.double() - two.double()).abs().max() <= tolerance)


def resampling(B: int, S: int, T: int, D: int, dtype: torch.dtype = torch.float32) -> Case:
    times, at = clock(B, S, T)
    given = torch.rand(B, S, D, device="cuda").to(dtype)

    def ours() -> Call:
        data, out = given.clone(), torch.empty(B, T, D, dtype=dtype, device="cuda")
        return lambda: resample_trajectories(data, times, at, out=out)

    moved = (touched(times, at) + B * T) * D * given.element_size()
    bound = 1e-5 if dtype == torch.float32 else 2e-2
    return Case(moved, ours, lambda: lambda: gathered(given, times, at), near(bound))


def pictures(B: int = 64, S: int = 100, T: int = 50) -> Case:
    times, at = clock(B, S, T)
    shape = (224, 224, 3)
    given = torch.randint(0, 255, (B, S, *shape), dtype=torch.uint8, device="cuda")
    index = (torch.searchsorted(times, at, right=True) - 1).clamp(min=0)
    flat = (index + S * torch.arange(B, device="cuda")[:, None]).flatten()

    def ours() -> Call:
        out = torch.empty(B, T, *shape, dtype=torch.uint8, device="cuda")
        return lambda: resample_trajectories(given, times, at, method="previous", out=out)

    def peer() -> Call:
        return lambda: given.flatten(0, 1).index_select(0, flat).view(B, T, *shape)

    read = sum(len(row.unique()) for row in index.cpu())
    return Case((read + B * T) * math.prod(shape), ours, peer, torch.equal)


def fusing(B: int, streams: Sequence[tuple[int, int]], T: int) -> Case:
    clocks = [clock(B, samples, T) for samples, _ in streams]
    at = torch.stack([target for _, target in clocks]).amin(0)
    data = [torch.rand(B, samples, width, device="cuda") for samples, width in streams]
    total = sum(width for _, width in streams)

    def ours() -> Call:
        own = [one.clone() for one in data]
        out = torch.empty(B, T, total, device="cuda")
        (v, p, f), (tv, tp, tf) = own, (times for times, _ in clocks)
        return lambda: fused_multimodal_alignment(v, tv, p, tp, f, tf, at, out=out)

    def peer() -> Call:
        times = [one for one, _ in clocks]
        return lambda: torch.cat(
            [
                gathered(d, t, at.clamp(t[:, :1], t[:, -1:]))
                for d, t in zip(data, times, strict=True)
            ],
            dim=2,
        )

    moved = sum(
        touched(times, at) * width * 4
        for (times, _), (_, width) in zip(clocks, streams, strict=True)
    )
    return Case(moved + B * T * total * 4, ours, peer, near(1e-5))


def voxels(clouds: int, count: int, side: int, reduce: Any, channels: int = 0) -> Case:
    points = torch.rand(clouds, count, 3, device="cuda")
    features = torch.rand(clouds, count, channels, device="cuda") if channels else None
    size, dims = 1 / side, (side,) * 3
    kind = {"occupancy": torch.bool, "count": torch.int32}.get(reduce, torch.float32)
    shape = (clouds, *((channels,) if channels else ()), *dims)

    def ours() -> Call:
        mine, out = points.clone(), torch.empty(shape, dtype=kind, device="cuda")
        return lambda: voxelize(mine, size, dims, reduce=reduce, features=features, out=out)

    def peer() -> Call:
        def scatter() -> Tensor:
            cell = (points / size).floor().long().clamp(0, side - 1)
            index = (cell[..., 0] * side + cell[..., 1]) * side + cell[..., 2]
            if reduce == "occupancy":
                flat = torch.zeros(clouds, side**3, dtype=torch.bool, device="cuda")
                return flat.scatter_(1, index, True).view(shape)
            if reduce == "count":
                flat = torch.zeros(clouds, side**3, dtype=torch.int32, device="cuda")
                ones = torch.ones_like(index, dtype=torch.int32)
                return flat.scatter_add_(1, index, ones).view(shape)
            assert features is not None
            grid = torch.zeros(clouds, channels, side**3, device="cuda")
            wide = index[:, None].expand(-1, channels, -1)
            values = features.transpose(1, 2)
            return grid.scatter_reduce_(2, wide, values, "amax", include_self=False).view(shape)

        return scatter

    written = math.prod(shape) * torch.empty((), dtype=kind).element_size()
    moved = clouds * count * (12 + 4 * channels) + written
    return Case(moved, ours, peer, lambda a, b: float((a != b).float().mean()) < 1e-4)


def augmenting(count: int = 64, side: int = 224) -> Case:
    given = torch.randint(0, 255, (count, side, side, 3), dtype=torch.uint8, device="cuda")
    factor = torch.linspace(0.7, 1.3, count)
    parameters = replace(
        ImageParameters.identity(count), brightness=factor, contrast=factor.flip(0)
    )
    tables = tables_for(parameters, side, side, "cuda")
    b, c = (one.cuda()[:, None, None, None] for one in (factor, factor.flip(0)))

    def ours() -> Call:
        images, out = given.clone(), torch.empty(given.shape, device="cuda")
        return lambda: augment(images, tables, dtype=torch.float32, out=out)

    def peer() -> Call:
        return lambda: ((given.float() / 255 * b - 0.5) * c + 0.5).clamp(0, 1)

    return Case(given.numel() * 5, ours, peer, near(1e-4))


CASES: dict[str, Callable[[], Case]] = {
    "resample float32 64x100->50 D8": lambda: resampling(64, 100, 50, 8),
    "resample float32 256x500->50 D32": lambda: resampling(256, 500, 50, 32),
    "resample float32 64x500->256 D256": lambda: resampling(64, 500, 256, 256),
    "resample float32 64x100->50 D1024": lambda: resampling(64, 100, 50, 1024),
    "resample bfloat16 64x500->256 D256": lambda: resampling(64, 500, 256, 256, torch.bfloat16),
    "resample bfloat16 32x500->250 D256": lambda: resampling(32, 500, 250, 256, torch.bfloat16),
    "pictures uint8 64x100->50": pictures,
    "fuse 4x(30,100,200)->50 D512+64+12": lambda: fusing(4, [(30, 512), (100, 64), (200, 12)], 50),
    "fuse 256x(100,200,300)->128 D512+128+64": lambda: fusing(
        256, [(100, 512), (200, 128), (300, 64)], 128
    ),
    "fuse 64x(60,200,400)->50 D2048+14+6": lambda: fusing(
        64, [(60, 2048), (200, 14), (400, 6)], 50
    ),
    "occupancy 64x20000->64^3": lambda: voxels(64, 20_000, 64, "occupancy"),
    "occupancy 500000->128^3": lambda: voxels(1, 500_000, 128, "occupancy"),
    "count 64x20000->64^3": lambda: voxels(64, 20_000, 64, "count"),
    "max 1000000->200^3 C16": lambda: voxels(1, 1_000_000, 200, "max", 16),
    "augment 64x224x224 uint8->float32": augmenting,
}

if __name__ == "__main__":
    main()
