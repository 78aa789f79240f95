"""Interpolated values against numpy, scipy and finite differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d, make_interp_spline
from scipy.spatial.transform import Rotation, Slerp

from robocache.core.errors import ConfigError, ShapeError, TimesError
from robocache.ops import align, apply_plan, plan_resample, resample_trajectories


def random_times(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.cumsum(generator.uniform(0.01, 0.3, shape), axis=-1))


@pytest.mark.parametrize(("samples", "targets", "width"), [(1, 1, 1), (2, 3, 5), (17, 33, 7)])
def test_linear_is_numpy_interp(samples, targets, width):
    rng = np.random.default_rng(0)
    times = random_times(rng, 3, samples)
    data = torch.from_numpy(rng.normal(size=(3, samples, width)))
    at = torch.from_numpy(rng.uniform(-0.5, times.max() + 0.5, (3, targets)))
    values, mask = resample_trajectories(data, times, at, return_mask=True)
    for b in range(3):
        for d in range(width):
            expected = np.interp(at[b], times[b], data[b, :, d])
            np.testing.assert_allclose(values[b, :, d], expected, rtol=0, atol=1e-12)
    inside = (at >= times[:, :1]) & (at <= times[:, -1:])
    assert torch.equal(mask, inside)


@pytest.mark.parametrize("backend", ["reference", "numba", "torch", "triton"])
def test_methods_are_those_of_scipy(backend):
    rng = np.random.default_rng(6)
    times = random_times(rng, 23)
    data = torch.from_numpy(rng.normal(size=(1, 23, 3)))
    at = torch.from_numpy(rng.uniform(float(times[0]), float(times[-1]), 41))
    samples = times.numpy(), data[0].numpy()
    spline = make_interp_spline(*samples, k=1)
    found = resample_trajectories(data, times, at, backend=backend)
    np.testing.assert_allclose(found[0], spline(at), rtol=0, atol=1e-12)
    for method in ("previous", "nearest"):
        scipys = interp1d(*samples, kind=method, axis=0)
        found = resample_trajectories(data, times, at, method=method, backend=backend)
        np.testing.assert_array_equal(found[0], scipys(at))


@pytest.mark.parametrize("spread", [3.0, 1e-3, 1e-6])
def test_slerp_is_scipy_slerp(spread):
    rng = np.random.default_rng(1)
    times = random_times(rng, 20)
    steps = Rotation.from_rotvec(rng.normal(size=(20, 3)) * spread * 0.3)
    rotations = [steps[0]]
    for step in steps[1:]:
        rotations.append(rotations[-1] * step)
    rotations = Rotation.concatenate(rotations)
    at = np.sort(rng.uniform(float(times[0]), float(times[-1]), 50))
    flips = np.where(rng.random((20, 1)) < 0.5, -1.0, 1.0)
    quaternions = torch.from_numpy(rotations.as_quat() * flips)
    values = resample_trajectories(quaternions[None], times, torch.from_numpy(at), method="slerp")[
        0
    ]
    expected = Slerp(times.numpy(), rotations)(at)
    apart = (Rotation.from_quat(values.numpy()).inv() * expected).magnitude()
    assert apart.max() < 1e-8
    np.testing.assert_allclose(values.norm(dim=-1), 1.0, atol=1e-12)


@pytest.mark.parametrize("scalar_first", [False, True])
def test_slerp_takes_either_order_and_any_sign(scalar_first):
    rng = np.random.default_rng(4)
    times = random_times(rng, 12)
    rotations = Rotation.from_rotvec(rng.normal(size=(12, 3)))
    at = rng.uniform(float(times[0]), float(times[-1]), 40)
    expected = np.roll(Slerp(times.numpy(), rotations)(at).as_quat(), scalar_first, axis=1)
    data = torch.from_numpy(np.roll(rotations.as_quat(), scalar_first, axis=1))
    before = np.searchsorted(times.numpy(), at, side="right") - 1
    for signs in itertools.product((1.0, -1.0), repeat=2):
        flips = torch.tensor(signs * 6)[:, None]
        given = torch.from_numpy(at)
        for backend in ("reference", "triton"):
            found = resample_trajectories(
                (flips * data)[None], times, given, method="slerp", backend=backend
            )[0]
            sample = (flips * data)[before]
            assert bool(((found * sample).sum(dim=-1) > 0).all())  # the sign of the earlier sample
            upright = found * (found * torch.from_numpy(expected)).sum(-1, keepdim=True).sign()
            np.testing.assert_allclose(upright, expected, rtol=0, atol=1e-12)


def test_angles_by_hand():
    times, at = torch.tensor([0.0, 1.0]), torch.tensor([-1.0, 0.0, 0.5, 1.0])
    for start, stop, middle in (
        (350.0, 10.0, 360.0),
        (10.0, 350.0, 0.0),
        (0.0, 180.0, -90.0),
        (0.0, -180.0, -90.0),
        (5.0, 725.0, 5.0),
        (-170.0, 170.0, -180.0),
    ):
        data = torch.tensor([[start, stop]])
        found = resample_trajectories(data, times, at, period=360.0)
        assert found.tolist() == [[start, start, middle, stop]]


@pytest.mark.parametrize("period", [2 * math.pi, 360.0])
def test_angles_are_numpy_unwrap(period):
    rng = np.random.default_rng(5)
    times = random_times(rng, 2, 40)
    angles = rng.uniform(-period / 2, period / 2, (2, 40, 3))
    at = torch.from_numpy(rng.uniform(0, float(times.max()), (2, 60)))
    values = resample_trajectories(torch.from_numpy(angles), times, at, period=period)
    unwrapped = np.unwrap(angles, axis=1, period=period)
    for b, d in itertools.product(range(2), range(3)):
        expected = np.interp(at[b], times[b], unwrapped[b, :, d])
        turns = (values[b, :, d].numpy() - expected) / period
        np.testing.assert_allclose(turns, turns.round(), rtol=0, atol=1e-12)
    inputs = (torch.from_numpy(angles), times, at)
    assert torch.autograd.gradcheck(
        lambda *given: resample_trajectories(*given, period=period),
        tuple(one[:1, :5].clone().requires_grad_() for one in inputs),
        nondet_tol=0.0,
    )


def test_slerp_takes_the_short_way_and_keeps_samples_it_hits():
    half = math.sqrt(0.5)
    data = torch.tensor([[[1.0, 0, 0, 0], [-half, -half, 0, 0]]], dtype=torch.float64)
    times, at = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.5, 1.0])
    values = resample_trajectories(data, times, at, method="slerp")[0]
    eighth = math.pi / 8
    assert torch.equal(values[[0, 2]], data[0])
    np.testing.assert_allclose(values[1], [math.cos(eighth), math.sin(eighth), 0, 0], atol=1e-12)


def test_own_times_give_the_data_back_bit_for_bit():
    rng = np.random.default_rng(2)
    times = random_times(rng, 2, 31)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.uint8):
        data = (torch.rand(2, 31, 4) * 200).to(dtype)
        for method in ("previous", "nearest", "linear", "slerp"):
            if method == "slerp" and not dtype.is_floating_point:
                continue
            values, mask = resample_trajectories(
                data, times, times, method=method, max_gap_s=1e-9, return_mask=True
            )
            assert values.dtype == dtype and torch.equal(values, data) and mask.all()


def test_dtypes_round_and_half_precision_is_computed_in_float32():
    times, at = torch.tensor([0.0, 1.0]), torch.tensor([0.26])
    whole = torch.tensor([[[0, 255], [10, 0]]])
    for dtype in (torch.uint8, torch.int32, torch.int64):
        values = resample_trajectories(whole.to(dtype), times, at)
        assert values.dtype == dtype and values.tolist() == [[[3, 189]]]
    for dtype in (torch.float16, torch.bfloat16):
        data = torch.tensor([[[1000.0], [-30000.0]]]).to(dtype)
        exact = resample_trajectories(data.double(), times, at)
        assert torch.equal(resample_trajectories(data, times, at), exact.to(dtype))
    with pytest.raises(ShapeError, match=r"bool.*previous"):
        resample_trajectories(whole.bool(), times, at)
    held = resample_trajectories(whole.bool(), times, at, method="previous")
    assert held.tolist() == [[[False, True]]]


@pytest.mark.parametrize("method", ["previous", "nearest", "linear", "slerp"])
def test_gradient(method):
    rng = np.random.default_rng(3)
    times, at = random_times(rng, 2, 6), random_times(rng, 2, 7) - 0.1
    data = torch.from_numpy(rng.normal(size=(2, 6, 4)))
    if method == "slerp":
        data = torch.nn.functional.normalize(data, dim=-1)
        data[:, 3] = data[:, 2]
    data.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d: resample_trajectories(d, times, at, method=method), (data,), nondet_tol=0.0
    )


def test_lengths_hide_the_padding():
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, -7.0, math.nan]])
    data = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 10.0, math.nan, math.nan]])
    lengths = torch.tensor([4, 2])
    at = torch.tensor([0.5, 1.0, 2.5])
    values, mask = resample_trajectories(data, times, at, lengths=lengths, return_mask=True)
    assert values.tolist() == [[0.5, 1.0, 2.5], [5.0, 10.0, 10.0]]
    assert mask.tolist() == [[True] * 3, [True, True, False]]
    empty, mask = resample_trajectories(
        data, times, at, lengths=torch.tensor([0, 0]), return_mask=True
    )
    assert empty.tolist() == [[0.0] * 3] * 2 and not mask.any()


def test_fill():
    times, at = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([-1.0, 0.5, 3.0, 6.0])
    data = torch.tensor([[1.0, 2.0, 3.0]])

    def filled(values, fill):
        return resample_trajectories(values, times, at, max_gap_s=1.0, fill=fill)[0].tolist()

    assert filled(data, "hold") == [1.0, 1.5, 2.0, 3.0]
    assert filled(data, -9.0) == [-9.0, 1.5, -9.0, -9.0]
    assert np.isnan(filled(data, "nan")).tolist() == [True, False, True, True]
    assert filled(data.to(torch.uint8), 255) == [255, 2, 255, 255]
    for bad in ("nan", 256, 0.5):
        with pytest.raises(ConfigError, match="cannot hold"):
            filled(data.to(torch.uint8), bad)
    with pytest.raises(ConfigError, match="unknown fill"):
        filled(data, "last")


def test_absolute_nanoseconds_lose_nothing():
    start = 1_752_345_678_123_456_789
    times = torch.tensor([start, start + 1000, start + 3000])
    data = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    at = torch.tensor([start + 1, start + 1500, start + 2999])
    values = resample_trajectories(data, times, at)
    np.testing.assert_allclose(values[0], [0.001, 1.5, 2.999], rtol=1e-12)
    with pytest.raises(TimesError, match="same kind"):
        resample_trajectories(data, times, at.double())


def test_absolute_seconds_keep_their_differences_for_float32_data():
    start = 1.7e9
    times = torch.tensor([start, start + 0.001], dtype=torch.float64)
    data = torch.tensor([[0.0, 1.0]])
    value = resample_trajectories(data, times, times[:1] + 0.0005)
    assert abs(float(value) - 0.5) < 1e-3


def test_empty_sizes():
    times = torch.zeros(0, dtype=torch.float64)
    values, mask = resample_trajectories(
        torch.zeros(2, 0, 3), times, torch.tensor([1.0, 2.0]), return_mask=True
    )
    assert torch.equal(values, torch.zeros(2, 2, 3)) and not mask.any()
    assert resample_trajectories(torch.zeros(2, 4, 3), torch.arange(4.0), times).shape == (2, 0, 3)
    nobody = resample_trajectories(torch.zeros(0, 4, 3), torch.arange(4.0), torch.arange(5.0))
    assert nobody.shape == (0, 5, 3)


def test_images_keep_their_axes():
    frames = torch.randint(0, 255, (1, 4, 6, 8, 3), dtype=torch.uint8)
    values = resample_trajectories(
        frames, torch.arange(4.0), torch.tensor([2.4]), method="previous"
    )
    assert torch.equal(values[0, 0], frames[0, 2])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 2.0, 1.0], "sample 1 at 2.0 is followed by 1.0"),
        ([0.0, 1.0, 1.0], "increase strictly"),
        ([0.0, math.nan, 1.0], "source time 1 is not finite"),
        ([math.inf, 1.0, 2.0], "source time 0 is not finite"),
    ],
)
def test_bad_times_are_refused(times, message):
    with pytest.raises(TimesError, match=message):
        resample_trajectories(torch.zeros(1, 3), torch.tensor(times), torch.zeros(1))


@pytest.mark.parametrize("backend", ["reference", "torch", "numba", "triton"])
def test_nanoseconds_are_exact_at_the_limit_and_in_the_middle(backend):
    """Of 10 Hz, whose times are no whole numbers of binary seconds."""
    since_1970 = 1_700_000_000_000_000_000
    times = since_1970 + 100_000_000 * torch.arange(60)
    data = torch.arange(60.0)[None, :, None]
    asked = {"return_mask": True, "backend": backend}

    def run(at, method, max_gap_s):
        return resample_trajectories(data, times, at, method=method, max_gap_s=max_gap_s, **asked)

    between = times[:-1] + 70_000_000
    assert run(between, "linear", 0.1)[1].all() and not run(between, "linear", 0.0999)[1].any()
    assert run(between, "previous", 0.07)[1].all()
    assert not run(between + 1, "previous", 0.07)[1].any()
    values, valid = run(times[:-1] + 50_000_000, "nearest", 0.05)
    assert valid.all() and torch.equal(values[0, :, 0], torch.arange(59.0))


def test_ages_of_nanoseconds_are_seconds():
    data, nanoseconds = torch.zeros(1, 3, 1), torch.tensor([0, 10**9, 2 * 10**9])
    streams = {"a": (data, nanoseconds + 2**60), "b": (data, nanoseconds + 2**60)}
    at = torch.tensor([5 * 10**8, 175 * 10**7]) + 2**60
    for options in ({}, {"return_dict": True}):
        _, ages = align(streams, at, "previous", return_age=True, **options)
        assert ages.tolist() == [[[0.5, 0.5], [0.75, 0.75]]]


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_whole_numbers_without_a_sign(dtype):
    """uint16 is what depth cameras give."""
    most = torch.iinfo(dtype).max if dtype != torch.uint64 else 2**53
    data = torch.tensor([[[7], [most]], [[most], [0]]], dtype=dtype)
    at = torch.tensor([-1.0, 0.0, 0.25, 1.0])
    for method in ("previous", "linear"):
        for backend in ("reference", "torch", None):
            asked = {"method": method, "fill": most, "lengths": torch.tensor([2, 0])}
            values = resample_trajectories(data, torch.arange(2.0), at, backend=backend, **asked)
            middle = 7 if method == "previous" else round(7 + (most - 7) / 4)
            assert values[0, :, 0].tolist() == [most, 7, middle, most]
            out = torch.zeros(2, 4, 1, dtype=dtype)
            resample_trajectories(data, torch.arange(2.0), at, backend=backend, out=out, **asked)
            assert out.tolist() == values.tolist() and values[1].unique().tolist() == [most]


def test_fills_are_what_was_asked_for():
    times, at = torch.arange(2.0), torch.tensor([5.0])
    whole = torch.zeros(1, 2, dtype=torch.int64)
    for fill in (2**53 + 1, 2**63 - 1, -(2**63), np.int64(2**53 + 1)):
        assert resample_trajectories(whole, times, at, fill=fill).item() == fill
    half = torch.zeros(1, 2, dtype=torch.float16)
    assert resample_trajectories(half, times, at, fill=-math.inf).item() == -math.inf
    for data, fill in (
        (half, 1e6),
        (whole, 2**63),
        (whole, math.inf),
        (whole, "nan"),
        (half, None),
    ):
        with pytest.raises(ConfigError, match=r"(hold the fill|fill must be)"):
            resample_trajectories(data, times, at, fill=fill)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"source_data": np.zeros((1, 2))}, ShapeError, "source_data must be a torch.Tensor"),
        ({"source_times": [0.0, 1.0]}, ShapeError, r"source_times must be .*, got list \[0.0, 1.0"),
        ({"target_times": 0.5}, ShapeError, "target_times must be a torch.Tensor, got float 0.5"),
        ({"lengths": [2]}, ShapeError, r"lengths must be a torch.Tensor, got list \[2\]"),
        ({"lengths": torch.tensor([True])}, ShapeError, r"integers, got \(1,\) torch.bool"),
        ({"out": [0.0]}, ShapeError, "out must be a torch.Tensor"),
        ({"max_gap_s": -1.0}, ConfigError, "max_gap_s must be None or seconds of at least 0"),
        ({"max_gap_s": math.nan}, ConfigError, "max_gap_s must be .*, got nan"),
        ({"period": "360"}, ConfigError, "period must be positive and finite, got '360'"),
        ({"method": None}, ConfigError, "unknown alignment method 'None'"),
        ({"source_data": torch.zeros(1, 2).to(torch.float8_e5m2)}, ShapeError, "float8_e5m2"),
    ],
)
def test_mistakes_are_named(changed, kind, message):
    asked = {"source_data": torch.zeros(1, 2), "source_times": torch.arange(2.0)}
    asked |= {"target_times": torch.zeros(1), **changed}
    with pytest.raises(kind, match=message):
        resample_trajectories(**asked)


def test_bad_shapes_are_refused():
    data, times, at = torch.zeros(2, 3, 4), torch.arange(3.0), torch.zeros(5)
    with pytest.raises(ShapeError, match=r"source_data must be \(B, S"):
        resample_trajectories(torch.zeros(3), times, at)
    with pytest.raises(ShapeError, match=r"source_times must be \(2, 3\)"):
        resample_trajectories(data, torch.arange(4.0), at)
    with pytest.raises(ShapeError, match="target_times"):
        resample_trajectories(data, times, torch.zeros(3, 5))
    with pytest.raises(ShapeError, match="quaternions"):
        resample_trajectories(data[..., :3], times, at, method="slerp")
    with pytest.raises(ShapeError, match=r"0\.\.3"):
        resample_trajectories(data, times, at, lengths=torch.tensor([4, 1]))
    plan = plan_resample(times.double(), at.double(), method="previous")
    with pytest.raises(ShapeError, match="scalar"):
        apply_plan(torch.tensor(1.0), plan, method="previous")
