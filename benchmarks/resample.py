"""Trajectories brought to other times: one thread, against what users write themselves.

    python benchmarks/resample.py

Peers in the same process: `numpy.interp` in a loop over rows and columns, `scipy.interpolate.
interp1d` over rows, torch's searchsorted with `gather`, and with `index_select`. `memcpy` copies as
many bytes as the operation must at least move: every sample that it reads once, every value that it
writes once. Values of all sides are compared before anything is timed. Ours also writes into memory
that is given (`out`), as a loop would reuse it.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import arguments, interleave, publish, ratio
from scipy.interpolate import interp1d
from torch import Tensor

from robocache.ops import available_backends, resample_trajectories


class Case(NamedTuple):
    """Letters: B rows, S samples, T targets, D values a sample."""

    dtype: str
    B: int
    S: int
    T: int
    D: int
    method: str = "linear"

    @property
    def name(self) -> str:
        return f"{self.method} {self.dtype} {self.B}x{self.S}->{self.T} D{self.D}"


CASES = (
    Case("float32", 64, 100, 50, 8),
    Case("float32", 256, 500, 50, 32),
    Case("float32", 64, 500, 256, 64),
    Case("float32", 64, 500, 256, 256),
    Case("float32", 64, 100, 50, 1024),
    Case("float16", 64, 500, 256, 256),
    Case("bfloat16", 64, 500, 256, 256),
    Case("uint8", 4, 100, 50, 224 * 224 * 3, "nearest"),
    Case("uint8", 4, 100, 50, 224 * 224 * 3),
)
FEWEST_SECONDS = 0.02
"""A round calls each side until so long has passed."""


def main() -> None:
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))))
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    table: dict[str, Any] = {}
    for case in (CASES[number] for number in args.cases):
        sides, moved = sides_of(case)
        apart = compared(case, sides)
        timed = {name: repeated(run) for name, run in sides.items()}
        found = interleave(timed, args.rounds)
        ours = found["ours"]
        table[case.name] = {
            "bytes": moved,
            "largest_difference": apart,
            "times_as_fast_as": {n: ratio(s, ours)["median"] for n, s in found.items()},
            "with_out": {n: ratio(s, found["ours out"])["median"] for n, s in found.items()},
        }
        seconds |= {f"{case.name}/{name}": values for name, values in found.items()}
    publish(
        args,
        {
            "measures": "seconds of one call, one thread",
            "backends": available_backends("resample"),
            "cases": table,
        },
        seconds=seconds,
        peers={
            f"{case}/{ours}": f"{case}/gather"
            for case in table
            for ours in ("ours", "ours out")
            if f"{case}/gather" in seconds
        },
    )


def sides_of(case: Case) -> tuple[dict[str, Callable[[], Any]], int]:
    """What is timed, and how many bytes it must move."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.005, 0.015, (case.B, case.S)), axis=1)
    at = np.sort(rng.uniform(times[:, :1], times[:, -1:], (case.B, case.T)), axis=1)
    dtype = getattr(torch, case.dtype)
    data = (100 * torch.rand(case.B, case.S, case.D)).to(dtype)
    source, target = torch.from_numpy(times), torch.from_numpy(at)
    out = torch.empty(case.B, case.T, case.D, dtype=dtype)
    method: Any = case.method
    touched = samples_read(source, target, method) * case.D * data.element_size()
    moved = touched + out.numel() * out.element_size()
    half = torch.empty(moved // 2, dtype=torch.uint8), torch.zeros(moved // 2, dtype=torch.uint8)
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: resample_trajectories(data, source, target, method=method),
        "ours out": lambda: resample_trajectories(data, source, target, method=method, out=out),
        "index_select": lambda: index_select(data, source, target, method),
        "memcpy": lambda: half[0].copy_(half[1]),
    }
    if case.D < 10_000:
        sides["gather"] = lambda: gather(data, source, target)
    if case.dtype == "float32" and case.D <= 256:
        array = data.numpy()
        sides["interp1d"] = lambda: scipy_interp1d(array, times, at)
        if case.D <= 64:
            sides["interp"] = lambda: numpy_interp(array, times, at)
    return sides, moved


def samples_read(source: Tensor, target: Tensor, method: str) -> int:
    """Different samples that any target needs, over all rows."""
    right = torch.searchsorted(source, target).clamp(1, source.shape[1] - 1)
    if method == "nearest":
        left_is_nearer = target - source.gather(1, right - 1) <= source.gather(1, right) - target
        chosen = torch.where(left_is_nearer, right - 1, right)
        return sum(len(torch.unique(row)) for row in chosen)
    both = torch.cat([right - 1, right], dim=1)
    return sum(len(torch.unique(row)) for row in both)


def gather(data: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What is copied from forum to forum."""
    right = torch.searchsorted(source, target).clamp(1, source.shape[1] - 1)
    left = right - 1
    before, after = source.gather(1, left), source.gather(1, right)
    weight = ((target - before) / (after - before))[..., None].to(data.dtype)
    wide = (-1, -1, data.shape[2])
    low = data.gather(1, left[..., None].expand(wide))
    high = data.gather(1, right[..., None].expand(wide))
    return low + weight * (high - low)


def index_select(data: Tensor, source: Tensor, target: Tensor, method: str) -> Tensor:
    """The same with whole rows selected, which is faster; integers are blended in float32."""
    right = torch.searchsorted(source, target).clamp(1, source.shape[1] - 1)
    left = right - 1
    before, after = source.gather(1, left), source.gather(1, right)
    first = torch.arange(len(data))[:, None] * data.shape[1]
    flat = data.flatten(0, 1)

    def rows(index: Tensor) -> Tensor:
        return flat.index_select(0, (first + index).flatten()).view(*index.shape, -1)

    if method == "nearest":
        return rows(torch.where(target - before <= after - target, left, right))
    weight = ((target - before) / (after - before))[..., None]
    if data.dtype.is_floating_point:
        return torch.lerp(rows(left), rows(right), weight.to(data.dtype))
    return (
        torch.lerp(rows(left).float(), rows(right).float(), weight.float()).round().to(data.dtype)
    )


def scipy_interp1d(data: Any, times: Any, at: Any) -> Any:
    rows = zip(times, data, at, strict=True)
    return np.stack([interp1d(t, x, axis=0, assume_sorted=True)(q) for t, x, q in rows])


def numpy_interp(data: Any, times: Any, at: Any) -> Any:
    out = np.empty((*at.shape, data.shape[2]), data.dtype)
    for b, (t, q) in enumerate(zip(times, at, strict=True)):
        for d in range(data.shape[2]):
            out[b, :, d] = np.interp(q, t, data[b, :, d])
    return out


def compared(case: Case, sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Largest difference of each peer from ours; ends the script where it is no rounding."""
    ours = sides["ours"]().double()
    bound = {"float32": 1e-3, "float16": 0.5, "bfloat16": 2.0, "uint8": 1.0}[case.dtype]
    apart = {}
    for name in sides.keys() - {"ours", "memcpy"}:
        found = torch.as_tensor(sides[name]()).double()
        apart[name] = float((found - ours).abs().max())
        if not apart[name] <= bound:
            raise SystemExit(f"{case.name}: {name} is {apart[name]} away from ours")
    return apart


def repeated(run: Callable[[], Any]) -> Callable[[], float]:
    """Seconds of one call, of as many as fill a round."""

    def timed() -> float:
        count, start = 0, time.perf_counter()
        while not count or time.perf_counter() - start < FEWEST_SECONDS:
            run()
            count += 1
        return (time.perf_counter() - start) / count

    return timed


if __name__ == "__main__":
    main()
