"""Every implementation of voxels against the reference, at the edges of what they are given."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

import robocache
from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import backends, voxelize
from robocache.ops.voxelize import op
from robocache.ops.voxelize.reference import voxelize_reference

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
PLAIN, REDUCED = ("occupancy", "count"), ("mean", "max", "sum")
REDUCTIONS = (*PLAIN, *REDUCED)
BACKENDS = ("numba", "torch", "triton")
ORIGIN = (-0.5, 0.25, 1e-3)
LEADS = ((), (1,), (2, 3), (0,), (2, 0))
COUNTS = (0, 1, 13, 601)
GRIDS = ((1, 1, 1), (3, 5, 7), (1, 17, 2))
GARBAGE = (torch.nan, torch.inf, -torch.inf, 1e38, -1e38, 3e9, -1e-45, 1e-45)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*encountered in.*:RuntimeWarning:triton"  # numpy's, in the interpreter
)


def cloud(
    reduce: str,
    dtype: torch.dtype,
    lead: tuple[int, ...],
    count: int,
    dims: tuple[int, int, int],
    channels: int = 3,
    feature_dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """Points inside, outside, on faces of voxels, and no numbers at all; features likewise."""
    random = torch.Generator().manual_seed(count + channels)
    size = torch.tensor([0.7, 0.9, 1.1]) / torch.tensor(dims)
    steps = torch.rand(*lead, count, 3, generator=random) * (torch.tensor(dims) + 2) - 1
    steps[..., ::3, :] = steps[..., ::3, :].round()
    points = torch.tensor(ORIGIN) + steps * size
    for number, value in enumerate(GARBAGE):
        points[..., 5 + 4 * number : 6 + 4 * number, number % 3] = value
    features = None
    if reduce in REDUCED:
        features = torch.randn(*lead, count, channels, generator=random)
        features[..., 4:5, :1], features[..., 7:8, :1] = torch.nan, -torch.inf
        features = features.to(feature_dtype or dtype)
    return {
        "points": points.to(dtype),
        "voxel_size": size.tolist(),
        "grid_dims": dims,
        "origin": ORIGIN,
        "reduce": reduce,
        "features": features,
    }


def expected(asked: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    names = ("points", "features", "voxel_size", "grid_dims", "origin", "reduce")
    return voxelize_reference(*(asked[name] for name in names))


def require_equal(asked: dict[str, Any], backend: str | None) -> None:
    grid, dropped = expected(asked)
    found, lost = voxelize(**asked, backend=backend, return_dropped=True)
    assert found.dtype == grid.dtype and found.shape == grid.shape
    assert torch.equal(lost, dropped) and lost.dtype == torch.int64
    if backend == "triton" and asked["reduce"] in ("mean", "sum"):
        torch.testing.assert_close(found, grid, equal_nan=True)
    else:
        torch.testing.assert_close(found, grid, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("backend", [None, "torch"])
def test_the_same_bits_as_the_reference(backend, dtype, reduce) -> None:
    for lead, count, dims in itertools.product(LEADS, COUNTS, GRIDS):
        require_equal(cloud(reduce, dtype, lead, count, dims), backend)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_triton_in_its_interpreter(dtype, reduce) -> None:
    require_equal(cloud(reduce, dtype, (2,), 53, (3, 5, 7)), "triton")


@pytest.mark.parametrize(("lead", "count"), [((), 0), ((), 1), ((0,), 5), ((2, 0), 3), ((2, 3), 7)])
@pytest.mark.parametrize("reduce", ["count", "mean"])
def test_triton_at_odd_shapes(lead, count, reduce) -> None:
    require_equal(cloud(reduce, torch.float32, lead, count, (1, 3, 2)), "triton")


@pytest.mark.parametrize("channels", [0, 1, 5, 17])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_features(backend, channels) -> None:
    for reduce in REDUCED:
        require_equal(cloud(reduce, torch.float32, (2,), 53, (3, 5, 7), channels), backend)


@pytest.mark.full
@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("feature_dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_everything_with_everything(backend, dtype, feature_dtype, reduce) -> None:
    counts = (0, 1, 13, 151 if backend == "triton" else 601)
    for lead, count, dims in itertools.product(((), (2, 3), (0,)), counts, GRIDS[:2]):
        for channels in (1, 17) if reduce in REDUCED else (0,):
            require_equal(cloud(reduce, dtype, lead, count, dims, channels, feature_dtype), backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_as_numpy_counts(backend: str) -> None:
    """histogramdd has a closed last bin; ours is half-open."""
    random = np.random.default_rng(0)
    points = random.uniform(-0.2, 1.2, (211, 3))
    dims, size = (3, 5, 7), (0.3, 0.2, 0.14)
    edges = [step * np.arange(dim + 1) for step, dim in zip(size, dims, strict=True)]
    wanted, _ = np.histogramdd(points, edges)

    def counts() -> np.ndarray:
        asked = (torch.from_numpy(points), size, dims)
        return voxelize(*asked, reduce="count", backend=backend).numpy()  # type: ignore

    np.testing.assert_array_equal(counts(), wanted)
    points[:2] = [[0.6, 0.4, edges[2][-1]], [edges[0][-1], edges[1][-1], 0.42]]
    closed, _ = np.histogramdd(points, edges)
    at_the_end, _ = np.histogramdd(points[:2], edges)
    assert at_the_end.sum() == 2
    np.testing.assert_array_equal(counts(), closed - at_the_end)


@settings(max_examples=25, deadline=None)
@given(data=some.data())
def test_properties(data: some.DataObject) -> None:
    """Occupied is where points are counted; no point is lost; their order is of no account."""
    backend = data.draw(some.sampled_from([None, None, None, "torch", "triton"]))
    seed, count = data.draw(some.integers(0, 2**20)), data.draw(some.integers(0, 40))
    dims = data.draw(some.tuples(*[some.integers(1, 4)] * 3))
    random = torch.Generator().manual_seed(seed)
    points = torch.rand(2, count, 3, generator=random) * 5 - 0.5
    features = torch.randn(2, count, 2, generator=random, dtype=torch.float64)
    order = torch.randperm(count, generator=random)

    def grid(reduce: Any, moved: bool = False) -> Any:
        points_, features_ = points, features if reduce in REDUCED else None
        if moved:
            points_ = points[:, order]
            features_ = None if features_ is None else features_[:, order]
        return voxelize(points_, 1.0, dims, reduce=reduce, features=features_, backend=backend)

    counts = grid("count")
    _, dropped = voxelize(points, 1.0, dims, return_dropped=True, backend=backend)
    inside = ((points >= 0) & (points < torch.tensor(dims))).all(dim=-1)
    assert torch.equal(grid("occupancy"), counts > 0)
    assert torch.equal(counts.sum(dim=(1, 2, 3)), inside.sum(dim=1))
    assert torch.equal(dropped, count - inside.sum(dim=1))
    for reduce in ("occupancy", "count", "max"):
        assert torch.equal(grid(reduce, moved=True), grid(reduce))
    torch.testing.assert_close(grid("sum", moved=True), grid("sum"))
    torch.testing.assert_close(grid("mean") * counts[:, None], grid("sum"))


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_beside_the_points_is_read_or_beside_the_grid_written(backend, reduce) -> None:
    garbage = torch.tensor(list(itertools.product(GARBAGE, repeat=2)))
    points = torch.stack([*garbage.T, torch.full((len(garbage),), 0.5)], dim=-1)[None]
    points[0, 3:5] = 0.5
    within = torch.full((3, len(garbage), 3), 0.5)  # what is beside would be counted
    within[1] = points
    features = torch.ones(3, len(garbage), 1) if reduce in REDUCED else None
    shape = (3, *([1] if reduce in REDUCED else []), 2, 2, 2)
    dtype = {"occupancy": torch.bool, "count": torch.int32}.get(reduce, torch.float32)
    grids = torch.ones(shape, dtype=dtype)
    part = slice(1, 2)
    given = None if features is None else features[part]
    _, dropped = voxelize(
        within[part],
        1.0,
        (2, 2, 2),
        reduce=reduce,
        features=given,
        out=grids[part],
        return_dropped=True,
        backend=backend,
    )
    outside = ~((points >= 0) & (points < 2)).all(dim=-1)
    assert dropped.tolist() == outside.sum(dim=1).tolist()
    assert grids[0].all() and grids[2].all() and grids[0].sum() == 8
    kept = int((~outside).sum())
    assert int(grids[1].sum()) == (kept if reduce in ("count", "sum") else 1)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_out_keeps_nothing_of_what_was_in_it(backend, reduce) -> None:
    asked = cloud(reduce, torch.float32, (2,), 13, (3, 5, 7))
    grid, dropped = expected(asked)
    out = torch.full_like(grid, True if reduce == "occupancy" else 77)
    for _ in range(2):
        found, lost = voxelize(**asked, out=out, backend=backend, return_dropped=True)
        assert found is out and torch.equal(lost, dropped)
        torch.testing.assert_close(out, grid, equal_nan=True)


def test_what_out_cannot_be() -> None:
    asked = cloud("mean", torch.float32, (2,), 13, (3, 5, 7))
    for wrong in (torch.zeros(2, 3, 5, 7), torch.zeros(2, 3, 3, 5, 7, dtype=torch.float64)):
        with pytest.raises(
            ShapeError, match=r"out must be \(2, 3, 3, 5, 7\) torch.float32 on cpu, got"
        ):
            voxelize(**asked, out=wrong)
    with pytest.raises(ShapeError, match="out must be contiguous"):
        voxelize(**asked, out=torch.zeros(2, 3, 3, 7, 5).mT)
    asked["features"].requires_grad_()
    with pytest.raises(ConfigError, match="out cannot be written to where gradients"):
        voxelize(**asked, out=torch.zeros(2, 3, 3, 5, 7))


def test_grids_change_in_place_as_autograd_allows() -> None:
    asked = cloud("count", torch.float32, (2,), 13, (3, 5, 7))
    memory = torch.zeros(2, 13, 3, dtype=torch.float64)
    options = {"reduce": "sum", "features": memory[..., :1], "out": memory.view(2, 1, 1, 13, 3)}
    with pytest.raises(ConfigError, match="out shares memory with features"):
        voxelize(memory + 1, 1.0, (1, 13, 3), **options)
    values = torch.rand(2, 3, 5, 7)
    loss = (torch.ones(7, requires_grad=True) * values).sum()
    asked |= {"reduce": "sum", "features": torch.ones(2, 13, 1)}
    voxelize(**asked, out=values[:, None])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    features = torch.ones(1, 3, 2, requires_grad=True)
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-9.0, 0.0, 0.0]]])
    sums = voxelize(points, 1.0, (64, 128, 128), reduce="sum", features=features)
    sums.mul_(3)
    sums.sum().backward()
    assert features.grad.tolist() == [[[3.0, 3.0], [3.0, 3.0], [0.0, 0.0]]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_is_looked_at_before_any_is_taken(backend: str) -> None:
    points = torch.zeros(2, 1, 3)
    with pytest.raises(ConfigError, match=r"8000000000000000000 bytes .*free memory of cpu"):
        voxelize(points, 1.0, (10**6, 10**6, 10**6), reduce="count", backend=backend)
    with pytest.raises(ConfigError, match=r"would take 64 bytes .*above 63 \(max_bytes"):
        voxelize(points, 1.0, (2, 2, 2), reduce="count", max_bytes=63, backend=backend)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_threads_change_nothing(threads: int, reduce: Any) -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(7, 20_000, 3, generator=random)
    features = torch.rand(7, 20_000, 2, generator=random) if reduce in REDUCED else None
    asked = (points, 0.05, (20, 20, 20), (0, 0, 0), reduce, features)
    one = voxelize(*asked, backend="torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(voxelize(*asked), one)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("reduce", REDUCED)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_gradients_of_the_reference(dtype, reduce) -> None:
    for lead, count, dims in itertools.product(((), (2, 3)), (1, 601), GRIDS):
        asked = cloud(reduce, torch.float32, lead, count, dims, feature_dtype=dtype)
        if reduce == "max":  # equal maxima are in the next test
            values = torch.arange(asked["features"].numel()) % 241
            asked["features"] = values.reshape(asked["features"].shape).to(dtype)
            asked["points"] = asked["points"][..., :80, :]
            asked["features"] = asked["features"][..., :80, :]
        given = [asked["features"].clone().requires_grad_() for _ in range(2)]
        grid, _ = expected({**asked, "features": given[0]})
        gradient = torch.randn_like(grid)
        grid.backward(gradient)
        voxelize(**{**asked, "features": given[1]}).backward(gradient)  # type: ignore
        assert given[0].grad is not None and given[1].grad is not None
        assert torch.equal(given[0].grad, given[1].grad), (lead, count, dims)


def test_equal_maxima_share_their_gradient() -> None:
    points = torch.tensor([[0.5, 0.5, 0.5]] * 4 + [[1.5, 0.5, 0.5]])
    features = torch.tensor([[2.0], [1.0], [2.0], [0.0], [5.0]], requires_grad=True)
    grid = voxelize(points, 1.0, (2, 1, 1), reduce="max", features=features)
    assert isinstance(grid, torch.Tensor)
    (gradient,) = torch.autograd.grad(grid, features, torch.tensor([-3.0, 7.0]).view(1, 2, 1, 1))
    assert gradient.flatten().tolist() == [-1.5, 0.0, -1.5, 0.0, 7.0]


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_it_is_an_operator_of_torch(reduce: str) -> None:
    points = torch.rand(2, 37, 3)
    features = torch.randn(2, 37, 3, requires_grad=True) if reduce in REDUCED else None
    rest = ([0.3] * 3, [2, 3, 4], [0.0] * 3, reduce, False, None, None)
    torch.library.opcheck(torch.ops.robocache.voxelize.default, (points, features, *rest))


def test_writing_to_out_is_an_operator_of_torch() -> None:
    features, out = torch.randn(2, 37, 3).bfloat16(), torch.zeros(2, 3, 2, 3, 4).bfloat16()
    rest = ([0.3] * 3, [2, 3, 4], [0.0] * 3, "mean", False, None, None, out)
    given = (torch.rand(2, 37, 3), features, *rest)
    torch.library.opcheck(torch.ops.robocache.voxelize_out.default, given)


def test_it_compiles_without_a_break() -> None:
    def run(points: torch.Tensor, features: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        grid, dropped = voxelize(
            2 * points, 0.3, (2, 3, 4), reduce="mean", features=2 * features, return_dropped=True
        )
        counts: Any = voxelize(points, 0.3, (2, 3, 4), reduce="count", out=out)
        return grid.sum() + dropped.sum() + (counts * grid[:, 0]).sum()

    points, out = torch.rand(2, 37, 3), torch.ones(2, 2, 3, 4, dtype=torch.int32)
    features = torch.randn(2, 37, 3, requires_grad=True)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    found, wanted = compiled(points, features, out), run(points, features, out)
    assert torch.equal(found, wanted)
    gradients = [torch.autograd.grad(one, features)[0] for one in (found, wanted)]
    assert torch.equal(*gradients) and gradients[0].any()


def test_what_computes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert robocache.available_backends("voxelize")[-2:] == ("numba", "torch")
    assert {op._chosen(None, cpu, reduce, False) for reduce in REDUCTIONS} == {"numba"}
    monkeypatch.setattr(backends, "has_numba", lambda: False)
    assert op._chosen(None, cpu, "mean", False) == "torch"
    with pytest.raises(ConfigError, match=r"pip install 'robocache\[kernels\]'"):
        voxelize(torch.zeros(1, 3), 1.0, (1, 1, 1), backend="numba")


def test_what_computes_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda")
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    for reduce, deterministic in itertools.product(REDUCTIONS, (False, True)):
        ordered = deterministic and reduce in ("mean", "sum")
        wanted = "torch" if ordered else "triton"
        assert op._chosen(None, card, reduce, deterministic) == wanted


def test_wrong_backends() -> None:
    points = torch.zeros(1, 3)
    with pytest.raises(ConfigError, match="unknown backend of voxelize 'cuda'"):
        voxelize(points, 1.0, (1, 1, 1), backend="cuda")
    with pytest.raises(ConfigError, match="triton' of voxelize has no deterministic sum"):
        voxelize(
            points, 1.0, (1, 1, 1), (0, 0, 0), "sum", torch.zeros(1, 1), True, backend="triton"
        )
