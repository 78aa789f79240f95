"""No operation keeps memory from call to call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import torch

from robocache.ops import (
    ImageParameters,
    RangeParameters,
    align,
    augment,
    augment_depth,
    augment_points,
    deproject,
    resample_trajectories,
    voxelize,
    voxelize_occupancy,
)

pytestmark = pytest.mark.stress
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WARM_UP, CALLS, MOST_BYTES = 100, 10_000, 5 * 2**20

DATA = torch.rand(2, 9, 4, device=DEVICE)
TIMES = torch.arange(9.0, device=DEVICE, dtype=torch.float64)
AT = torch.arange(0.25, 8.0, 0.5, device=DEVICE, dtype=torch.float64)
POINTS, FEATURES = torch.rand(2, 50, 3, device=DEVICE), torch.rand(2, 50, 4, device=DEVICE)
DEPTH = torch.rand(2, 6, 8, device=DEVICE)
IMAGES = torch.zeros(2, 6, 8, 3, dtype=torch.uint8, device=DEVICE)
K = torch.tensor([[5.0, 0, 4], [0, 5, 3], [0, 0, 1]], device=DEVICE)

OPERATIONS: dict[str, Callable[[], Any]] = {
    "resample_trajectories": lambda: resample_trajectories(DATA, TIMES, AT),
    "align": lambda: align({"one": (DATA, TIMES), "other": (DATA, TIMES)}, AT),
    "augment": lambda: augment(IMAGES, ImageParameters.identity(2)),
    "augment_depth": lambda: augment_depth(DEPTH, RangeParameters.identity(2)),
    "augment_points": lambda: augment_points(POINTS, RangeParameters.identity(2)),
    "deproject": lambda: deproject(DEPTH, K),
    "voxelize": lambda: voxelize(POINTS, 0.25, (4, 4, 4), reduce="mean", features=FEATURES),
    "voxelize_occupancy": lambda: voxelize_occupancy(DEPTH, 0.25, (4, 4, 4), intrinsics=K),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_ten_thousand_calls_keep_nothing(name: str) -> None:
    run = OPERATIONS[name]
    for _ in range(WARM_UP):
        run()
    before = _memory()
    for _ in range(CALLS):
        run()
    grown = [after - at for after, at in zip(_memory(), before, strict=True)]
    assert max(grown) < MOST_BYTES, f"{name}: {grown} bytes (resident, of the card)"


def _memory() -> tuple[int, int]:
    """Resident bytes of this process, and bytes allocated on the card."""
    gc.collect()
    if DEVICE == "cpu":
        return psutil.Process().memory_info().rss, 0
    torch.cuda.synchronize()
    return psutil.Process().memory_info().rss, torch.cuda.memory_allocated()
