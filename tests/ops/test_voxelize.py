"""Points to voxels: by hand, against a loop in numpy, and at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import voxelize

FEATURES = ("mean", "max", "sum")


def test_by_hand() -> None:
    points = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9], [1.0, 0.0, 0.0], [0.0, 1.5, 3.9]])
    counts, dropped = voxelize(points, 1.0, (2, 2, 4), reduce="count", return_dropped=True)
    assert counts.dtype == torch.int32 and counts.shape == (2, 2, 4)
    assert counts[0, 0, 0] == 2 and counts[1, 0, 0] == 1 and counts[0, 1, 3] == 1
    assert counts.sum() == 4 and dropped == 0
    occupied = voxelize(points, 1.0, (2, 2, 4))
    assert occupied.dtype == torch.bool and occupied.equal(counts > 0)
    features = torch.tensor([[1.0, -5.0], [3.0, -7.0], [10.0, 0.0], [20.0, 2.0]])
    expected = {"mean": [2.0, -6.0], "max": [3.0, -5.0], "sum": [4.0, -12.0]}
    for reduce, values in expected.items():
        grid = voxelize(points, 1.0, (2, 2, 4), reduce=reduce, features=features)  # type: ignore
        assert grid.shape == (2, 2, 2, 4)
        assert grid[:, 0, 0, 0].tolist() == values
        assert grid[:, 1, 1, 1].tolist() == [0.0, 0.0], "an empty voxel holds zero"


def test_origin_is_the_outer_corner_and_voxels_are_half_open() -> None:
    inside = torch.tensor([[-1.0, 2.0, 0.0], [-0.5000001, 2.4999998, 0.25]])
    on_the_far_side = torch.tensor([[0.0, 2.0, 0.0], [-1.0, 3.0, 0.0], [-1.0, 2.0, 1.0]])
    just_before = torch.tensor([[-1.0000001, 2.0, 0.0], [-1.0, 2.0, -1e-30]])
    grid, dropped = voxelize(
        torch.cat([inside, on_the_far_side, just_before]),
        0.5,
        (2, 2, 2),
        origin=(-1, 2, 0),
        reduce="count",
        return_dropped=True,
    )
    assert grid[0, 0, 0] == 2 and grid.sum() == 2
    assert dropped == 5


def test_what_is_not_finite_is_dropped_and_counted() -> None:
    points = torch.full((3, 4, 3), 0.5)
    points[0, 0, 0] = torch.nan
    points[0, 1, 1] = torch.inf
    points[1, 2, 2] = -torch.inf
    points[2, 3, 0] = 1e38
    for features in (None, torch.ones(3, 4, 1)):
        reduce: Any = "count" if features is None else "sum"
        grid, dropped = voxelize(
            points, 1.0, (1, 1, 1), reduce=reduce, features=features, return_dropped=True
        )
        assert dropped.tolist() == [2, 1, 1]
        assert grid.flatten().tolist() == [2, 3, 3]


def _loop(
    points: np.ndarray, size: Any, dims: Any, origin: Any, reduce: str, features: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """The definition, one point after another, each operation in the dtype of the points."""
    kind = points.dtype.type
    held: dict[tuple[int, ...], list[int]] = {}
    for number, point in enumerate(points):
        cell = [
            np.floor((p - kind(o)) / kind(s)) for p, o, s in zip(point, origin, size, strict=True)
        ]
        if all(0 <= c < d for c, d in zip(cell, dims, strict=True)):
            held.setdefault(tuple(int(c) for c in cell), []).append(number)
    dropped = len(points) - sum(map(len, held.values()))
    if features is None:
        grid = np.zeros(dims, np.int32)
        for cell, numbers in held.items():
            grid[cell] = len(numbers)
        return (grid > 0 if reduce == "occupancy" else grid), dropped
    out = np.zeros((features.shape[1], *dims), features.dtype)
    for cell, numbers in held.items():
        total = np.zeros(features.shape[1], features.dtype)
        for number in numbers:
            total = total + features[number]
        if reduce == "mean":
            total = total / features.dtype.type(len(numbers))
        if reduce == "max":
            total = features[numbers].max(axis=0)
        out[(slice(None), *cell)] = total
    return out, dropped


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    dims=st.tuples(*[st.integers(1, 5)] * 3),
    reduce=st.sampled_from(["occupancy", "count", "mean", "max", "sum"]),
    double=st.booleans(),
)
def test_as_a_loop_over_points(
    seed: int, count: int, dims: tuple[int, int, int], reduce: Any, double: bool
) -> None:
    random = np.random.default_rng(seed)
    kind: Any = np.float64 if double else np.float32
    size, origin = random.uniform(0.05, 0.7, 3), random.normal(size=3)
    steps = random.integers(-1, 6, (2, count, 3))  # many points fall on the faces of voxels
    points = (origin + steps * size + random.choice([0.0, 0.1], (2, count, 3))).astype(kind)
    features = random.normal(size=(2, count, 2)).astype(kind) if reduce in FEATURES else None
    grid, dropped = voxelize(
        torch.from_numpy(points),
        size.tolist(),
        dims,
        origin.tolist(),
        reduce,
        None if features is None else torch.from_numpy(features),
        return_dropped=True,
    )
    for cloud in range(2):
        held = None if features is None else features[cloud]
        expected, lost = _loop(points[cloud], size, dims, origin, reduce, held)
        np.testing.assert_array_equal(grid[cloud].numpy(), expected)
        assert dropped[cloud] == lost


def test_float32_decides_in_float32() -> None:
    """0.7 / 0.1 is 7 in float32 and a little less in float64 of the same point."""
    point = torch.tensor([[0.7, 0.0, 0.0]])
    assert voxelize(point, 0.1, (10, 1, 1)).flatten().nonzero().tolist() == [[7]]
    assert voxelize(point.double(), 0.1, (10, 1, 1)).flatten().nonzero().tolist() == [[6]]
    half = voxelize(point.bfloat16(), 0.1, (10, 1, 1))
    assert half.equal(voxelize(point.bfloat16().float(), 0.1, (10, 1, 1)))


def test_more_voxels_than_float32_can_number() -> None:
    dims = (257, 257, 257)  # above 2 ** 24
    cell = torch.tensor([[256, 256, 255], [256, 256, 256], [256, 255, 256], [0, 0, 1]])
    grid = voxelize(cell[None] + 0.5, 1.0, dims)
    assert isinstance(grid, torch.Tensor)
    assert grid[0].nonzero().tolist() == sorted(cell.tolist())


def test_leading_axes() -> None:
    points = torch.rand(2, 3, 20, 3)
    features = torch.rand(2, 3, 20, 4)
    grid, dropped = voxelize(
        points, 0.3, (3, 3, 2), reduce="mean", features=features, return_dropped=True
    )
    assert grid.shape == (2, 3, 4, 3, 3, 2) and dropped.shape == (2, 3)
    alone = voxelize(points[1, 2], 0.3, (3, 3, 2), reduce="mean", features=features[1, 2])
    assert grid[1, 2].equal(alone)
    assert voxelize(torch.zeros(0, 5, 3), 1.0, (2, 2, 2)).shape == (0, 2, 2, 2)
    assert not voxelize(torch.zeros(4, 0, 3), 1.0, (2, 2, 2)).any()


@pytest.mark.parametrize("reduce", FEATURES)
def test_gradients_reach_the_features(reduce: Any) -> None:
    points = torch.rand(2, 30, 3, dtype=torch.float64) * 1.2
    features = torch.rand(2, 30, 2, dtype=torch.float64, requires_grad=True)

    def grid(values: torch.Tensor) -> Any:
        return voxelize(points, 0.5, (2, 2, 2), reduce=reduce, features=values)

    assert torch.autograd.gradcheck(grid, features)
    (gradient,) = torch.autograd.grad(grid(features).sum(), features)
    outside = (points >= 1.0).any(dim=-1)
    assert outside.any() and not gradient[outside].any()


def test_the_same_bits_each_time() -> None:
    points, features = torch.rand(3, 5000, 3), torch.randn(3, 5000, 2) * 1e4
    for reduce in FEATURES:
        grids = [
            voxelize(points, 0.2, (5, 5, 5), reduce=reduce, features=features) for _ in range(3)
        ]
        assert grids[0].equal(grids[1]) and grids[0].equal(grids[2])


def test_a_grid_too_large_is_refused_before_it_is_made() -> None:
    points = torch.zeros(4, 1, 3)
    with pytest.raises(ConfigError, match=r"would take 4000000 bytes .*above 3999999 \(max_bytes"):
        voxelize(points, 1.0, (100, 100, 100), max_bytes=3_999_999)
    assert voxelize(points, 1.0, (100, 100, 100), max_bytes=4_000_000).numel() == 4_000_000
    features = torch.zeros(4, 1, 6)
    with pytest.raises(ConfigError, match="would take 96000000 bytes"):
        voxelize(points, 1.0, (100, 100, 100), reduce="sum", features=features, max_bytes=1000)
    with pytest.raises(ConfigError, match="free memory of cpu"):
        voxelize(points, 1e-6, (1_000_000, 1_000_000, 1_000_000))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"voxel_size": 0.0}, "voxel_size must be"),
        ({"voxel_size": float("nan")}, "voxel_size must be"),
        ({"voxel_size": (0.1, 0.1)}, "voxel_size must be"),
        ({"voxel_size": "fine"}, "voxel_size must be one or three lengths above 0, got 'fine'"),
        ({"voxel_size": None}, "voxel_size must be"),
        ({"grid_dims": 2}, "grid_dims must be three whole numbers above 0, got 2"),
        ({"grid_dims": (2, 2, float("nan"))}, "grid_dims must be three"),
        ({"grid_dims": (2, 2, 2**70)}, "grid_dims must be three"),
        ({"origin": 0.0}, "origin must be three finite coordinates, got 0.0"),
        ({"reduce": None}, "unknown reduction 'None'"),
        ({"grid_dims": (2, 2)}, "grid_dims must be three"),
        ({"grid_dims": (2, 0, 2)}, "grid_dims must be three"),
        ({"grid_dims": (2, 2.5, 2)}, "grid_dims must be three"),
        ({"origin": (0.0, float("inf"), 0.0)}, "origin must be three"),
        ({"reduce": "avg"}, "unknown reduction 'avg'"),
        ({"reduce": "mean"}, "'mean' needs features"),
        ({"features": torch.ones(2, 5, 1)}, "'occupancy' takes no features"),
    ],
)
def test_a_setting_that_makes_no_grid(changed: dict[str, Any], message: str) -> None:
    settings = {"voxel_size": 0.1, "grid_dims": (2, 2, 2), **changed}
    with pytest.raises(ConfigError, match=message):
        voxelize(torch.zeros(2, 5, 3), **settings)


def test_numbers_of_any_kind_make_a_grid() -> None:
    points = torch.rand(2, 5, 3) * 4
    expected = voxelize(points, 1.0, (2, 2, 2), (0.0, 1.0, 0.0))
    for size in (1, np.float32(1), np.int64(1), torch.tensor(1.0), np.ones(3)):
        dims, origin = torch.tensor([2, 2, 2]), np.array([0, 1, 0], np.float32)
        assert torch.equal(voxelize(points, size, dims, origin), expected)


def test_shapes_that_do_not_belong_together() -> None:
    with pytest.raises(ShapeError, match=r"points must be a torch\.Tensor, got ndarray"):
        voxelize(np.zeros((5, 3)), 1.0, (1, 1, 1))
    with pytest.raises(ShapeError, match=r"points must be \(\.\.\., N, 3\) floating, got \(5, 2\)"):
        voxelize(torch.zeros(5, 2), 1.0, (1, 1, 1))
    with pytest.raises(ShapeError, match="int64"):
        voxelize(torch.zeros(5, 3).long(), 1.0, (1, 1, 1))
    with pytest.raises(ShapeError, match=r"features must be \(2, 5, 'C'\)"):
        voxelize(torch.zeros(2, 5, 3), 1.0, (1, 1, 1), reduce="sum", features=torch.zeros(2, 4, 1))
