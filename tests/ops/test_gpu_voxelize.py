"""Voxels on a card: the values of the reference, nothing that waits, graphs, the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robocache.ops import voxelize, voxelize_occupancy
from robocache.ops.voxelize.reference import voxelize_reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
REDUCED = ("mean", "max", "sum")
REDUCTIONS = ("occupancy", "count", *REDUCED)
SIZE, DIMS, ORIGIN = (0.3, 0.2, 0.14), (3, 5, 7), (-0.1, 0.0, 0.1)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 4e-3, torch.bfloat16: 4e-2}


def cloud(reduce: str, dtype: torch.dtype, count: int, channels: int = 5) -> dict[str, Any]:
    random = torch.Generator().manual_seed(count)
    points = torch.rand(2, 3, count, 3, generator=random, dtype=torch.float64) * 1.4 - 0.2
    points[..., ::5, :] = points[..., ::5, :].mul(10).round() / 10  # many on faces of voxels
    points[:, :, 3:4, 0], points[:, :, 7:8, 1] = torch.nan, torch.inf
    points[:, :, 11:12, 2] = -1e-45
    features = None
    if reduce in REDUCED:
        features = torch.randn(2, 3, count, channels, generator=random).to("cuda", dtype)
    return {
        "points": points.to("cuda", dtype),
        "voxel_size": SIZE,
        "grid_dims": DIMS,
        "origin": ORIGIN,
        "reduce": reduce,
        "features": features,
    }


def on_the_cpu(asked: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    features = None if asked["features"] is None else asked["features"].cpu()
    return voxelize_reference(asked["points"].cpu(), features, SIZE, DIMS, ORIGIN, asked["reduce"])


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_values_of_the_reference(deterministic, dtype, reduce) -> None:
    for count in (0, 1, 13, 1009, 20_011):
        for channels in (1, 5, 17) if reduce in REDUCED else (0,):
            asked = cloud(reduce, dtype, count, channels)
            grid, dropped = on_the_cpu(asked)
            found, lost = voxelize(**asked, deterministic=deterministic, return_dropped=True)
            assert torch.equal(lost.cpu(), dropped)
            exact = reduce not in ("mean", "sum")
            bound = 0.0 if exact else TOLERANCE[dtype] * (count**0.5 if reduce == "sum" else 1)
            torch.testing.assert_close(found.cpu(), grid, rtol=bound, atol=bound)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_the_same_bits_each_time(reduce: str) -> None:
    asked = cloud(reduce, torch.float32, 20_011)
    first = voxelize(**asked, deterministic=True)
    for _ in range(9):
        assert torch.equal(voxelize(**asked, deterministic=True), first)  # type: ignore


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_nothing_waits_for_the_device(reduce: str) -> None:
    asked = cloud(reduce, torch.float32, 1009)
    out = torch.empty_like(voxelize(**asked))  # type: ignore[arg-type]
    if reduce in REDUCED:
        asked["features"].requires_grad_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        grid: Any = voxelize(**asked)
        if reduce in REDUCED:
            grid.sum().backward()
            asked["features"] = asked["features"].detach()
        voxelize(**asked, out=out)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(out, grid.detach())


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_in_a_graph(reduce: str) -> None:
    asked, other = cloud(reduce, torch.float32, 1009), cloud(reduce, torch.float32, 1009)
    other["points"] = other["points"].flip(-1).contiguous()
    out = torch.empty_like(voxelize(**asked))  # type: ignore[arg-type]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        voxelize(**asked, out=out)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _, dropped = voxelize(**asked, out=out, return_dropped=True)
    asked["points"].copy_(other["points"])
    graph.replay()
    grid, lost = on_the_cpu(other)
    torch.testing.assert_close(out.cpu(), grid, rtol=1e-4, atol=1e-4)
    assert torch.equal(dropped.cpu(), lost)


def test_depth() -> None:
    depth = torch.rand(2, 48, 64) * 2
    K = torch.tensor([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]])
    asked = (0.1, (16, 16, 20), (-0.8, -0.8, 0.0))
    wanted = voxelize_occupancy(depth, *asked, K)
    found = voxelize_occupancy(depth.cuda(), *asked, K.cuda())
    assert isinstance(found, torch.Tensor) and isinstance(wanted, torch.Tensor)
    differing = int((found.cpu() != wanted).sum())
    assert differing <= 0.001 * wanted.sum(), "points on faces may differ in their last bit"
