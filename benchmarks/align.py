"""Vision, proprioception and force brought to one clock: one thread, against what users write.

    python benchmarks/align.py

Peers in the same process resample each stream (searchsorted with `gather`, or with `index_select`)
and concatenate. Rows have all their samples. `memcpy` copies as many bytes as must at least move.
Values of all sides are compared before anything is timed.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import arguments, interleave, publish, ratio
from resample import gather, index_select, repeated, samples_read

from robocache.ops import available_backends, fused_multimodal_alignment

BATCH, TARGETS, SECONDS = 64, 50, 2.0
OTHERS = {"proprio": (200, 14), "force": (400, 6)}
VISION_SAMPLES, VISION_WIDTHS = 60, (512, 2048)


def main() -> None:
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--widths", type=int, nargs="*", default=list(VISION_WIDTHS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    table: dict[str, Any] = {}
    for width in args.widths:
        name = f"fused float32 {BATCH} rows -> {TARGETS} D{width}+14+6"
        sides, moved = sides_of({"vision": (VISION_SAMPLES, width), **OTHERS})
        values = {side: sides[side]() for side in sides if side != "memcpy"}
        apart = {side: float((v - values["ours"]).abs().max()) for side, v in values.items()}
        if max(apart.values()) > 1e-5:
            raise SystemExit(f"{name}: values differ: {apart}")
        found = interleave({side: repeated(run) for side, run in sides.items()}, args.rounds)
        table[name] = {
            "bytes": moved,
            "largest_difference": apart,
            "times_as_fast_as": {n: ratio(s, found["ours"])["median"] for n, s in found.items()},
            "with_out": {n: ratio(s, found["ours out"])["median"] for n, s in found.items()},
        }
        seconds |= {f"{name}/{side}": spent for side, spent in found.items()}
    publish(
        args,
        {
            "measures": "seconds of one call, one thread",
            "backends": available_backends("align"),
            "cases": table,
        },
        seconds=seconds,
        peers={f"{case}/{o}": f"{case}/gather" for case in table for o in ("ours", "ours out")},
    )


def sides_of(shapes: dict[str, tuple[int, int]]) -> tuple[dict[str, Callable[[], Any]], int]:
    """What is timed, and how many bytes it must move."""
    rng = np.random.default_rng(0)
    streams, moved = [], 0
    at = torch.from_numpy(np.sort(rng.uniform(0.1, SECONDS - 0.1, (BATCH, TARGETS)), axis=1))
    for samples, width in shapes.values():
        steps = rng.uniform(0.5, 1.5, (BATCH, samples))
        steps[:, 0] = 0.0
        times = np.cumsum(steps, axis=1)
        times = torch.from_numpy(SECONDS * times / times[:, -1:])
        streams.append((torch.randn(BATCH, samples, width), times))
        moved += 4 * width * (samples_read(times, at, "linear") + BATCH * TARGETS)
    out = torch.empty(BATCH, TARGETS, sum(width for _, width in shapes.values()))
    flat = [one for pair in streams for one in pair]
    half = torch.empty(moved // 2, dtype=torch.uint8), torch.zeros(moved // 2, dtype=torch.uint8)
    return {
        "ours": lambda: fused_multimodal_alignment(*flat, at),
        "ours out": lambda: fused_multimodal_alignment(*flat, at, out=out),
        "index_select": lambda: torch.cat(
            [index_select(data, times, at, "linear") for data, times in streams], dim=2
        ),
        "gather": lambda: torch.cat([gather(data, times, at) for data, times in streams], dim=2),
        "memcpy": lambda: half[0].copy_(half[1]),
    }, moved


if __name__ == "__main__":
    main()
