"""Every implementation of resampling against the reference: the same bits, values and gradients.

Triton's kernel runs in its interpreter, which cuts bfloat16 off where cards round it; its `slerp`
is computed in float64, so it is compared to within rounding.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

import robocache
from robocache.core.errors import ConfigError, ShapeError, TimesError
from robocache.ops import align, backends, compiled, resample_trajectories
from robocache.ops.resample import cpu, op

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
DTYPES = (*FLOATS, torch.uint8, torch.int16, torch.int64, torch.bool)
METHODS = ("previous", "nearest", "linear", "slerp")
SHAPES = (  # B, S, T, a sample
    (1, 1, 1, ()),
    (1, 1, 3, (1,)),
    (2, 2, 1, (3,)),
    (3, 7, 13, (5, 3)),
    (2, 31, 17, (4,)),
    (4, 5, 0, (2,)),
    (0, 5, 3, (2,)),
    (2, 0, 3, (2,)),
    (2, 3, 4, (0,)),
)


Shape = tuple[int, int, int, tuple[int, ...]]


def trajectories(
    dtype: torch.dtype,
    batch: int,
    samples: int,
    targets: int,
    shape: tuple[int, ...],
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Targets before, at, between and after the samples; some rows are short, one is empty."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.3, (batch, samples)), axis=1)
    at = rng.uniform(-0.5, 0.3 * samples + 0.5, (batch, targets))
    for row, number in itertools.product(range(batch), range(0, targets, 3)):
        if samples:
            at[row, number] = times[row, number % samples]
    data = torch.from_numpy(100 * rng.normal(size=(batch, samples, *shape)))
    lengths = torch.from_numpy(rng.integers(0, samples + 1, batch))
    if dtype == torch.bool:
        data = data > 0
    elif not dtype.is_floating_point:
        data = data.abs()
    return {
        "source_data": data.to(dtype),
        "source_times": torch.from_numpy(times),
        "target_times": torch.from_numpy(at),
        "lengths": lengths,
    }


def takes(dtype: torch.dtype, method: str, shape: tuple[int, ...]) -> bool:
    if method == "slerp":
        return dtype.is_floating_point and shape[-1:] == (4,)
    return method != "linear" or dtype != torch.bool


def assert_same(
    found: torch.Tensor, values: torch.Tensor, method: str, backend: str | None
) -> None:
    """The same bits, as far as the head of this file promises."""
    assert found.dtype == values.dtype and found.shape == values.shape
    if backend == "triton" and method == "slerp":
        rounding = 4 * torch.finfo(found.dtype).eps
        torch.testing.assert_close(found, values, rtol=0, atol=rounding)
    elif backend == "triton" and method == "linear" and found.dtype == torch.bfloat16:
        torch.testing.assert_close(found, values, rtol=2**-7, atol=0)
    else:
        assert torch.equal(found, values)


def compare(
    dtype: torch.dtype, method: str, max_gap_s: float | None, shapes: Iterable[Shape]
) -> None:
    for shape in shapes:
        if not takes(dtype, method, shape[3]):
            continue
        asked = trajectories(dtype, *shape)
        options = {"method": method, "max_gap_s": max_gap_s, "return_mask": True}
        values, mask = resample_trajectories(**asked, **options, backend="reference")
        for backend in (None, "torch", "triton"):
            found, valid = resample_trajectories(**asked, **options, backend=backend)
            assert torch.equal(valid, mask), (shape, backend)
            assert_same(found, values, method, backend)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("max_gap_s", [None, 0.12])
def test_the_same_bits_as_the_reference(dtype, method, max_gap_s) -> None:
    compare(dtype, method, max_gap_s, SHAPES)


@pytest.mark.full
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("max_gap_s", [None, 0.12])
def test_the_same_bits_in_every_shape(dtype, method, max_gap_s) -> None:
    samples = ((), (1,), (3,), (4,), (17,), (5, 4))
    compare(dtype, method, max_gap_s, itertools.product((1, 3), (1, 2, 7, 31), (1, 13), samples))
    compare(dtype, method, max_gap_s, [(2, 131, 67, (17, 4)), (1, 64, 3, (1031,))])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("period", [2 * math.pi, 360.0])
def test_angles_are_the_same_bits(dtype, period) -> None:
    for shape in SHAPES:
        asked = trajectories(dtype, *shape)
        values = resample_trajectories(**asked, period=period, backend="reference")
        for backend in (None, "torch", "triton"):
            found = resample_trajectories(**asked, period=period, backend=backend)
            assert_same(found, values, "linear", backend)


def test_more_targets_and_numbers_than_a_program_answers() -> None:
    for dtype, width, targets in ((torch.float32, 1030, 5), (torch.uint8, 3, 130)):
        asked = trajectories(dtype, 2, 9, targets, (width,))
        for method in ("linear", "nearest"):
            values = resample_trajectories(**asked, method=method)
            assert torch.equal(
                resample_trajectories(**asked, method=method, backend="triton"), values
            )


def test_copies_of_memory_that_begins_anywhere() -> None:
    asked = trajectories(torch.uint8, 2, 5, 7, (8,))
    data = asked["source_data"]
    for begin in range(9):
        memory = torch.zeros(data.numel() + begin, dtype=torch.uint8)
        asked["source_data"] = memory[begin:].view(data.shape).copy_(data)
        for method in ("previous", "nearest"):
            found = resample_trajectories(**asked, method=method, backend="triton")
            assert torch.equal(found, resample_trajectories(**asked, method=method))
    complexes = torch.complex(torch.randn(1, 3, 2), torch.randn(1, 3, 2))
    times = torch.arange(3.0)
    found = resample_trajectories(complexes, times, times, method="nearest", backend="triton")
    assert torch.equal(found, complexes)


def test_numba_is_what_computes_here() -> None:
    assert robocache.available_backends("resample") == ("triton", "numba", "torch", "reference")
    for dtype, method in itertools.product(DTYPES, METHODS):
        none = method == "slerp" or (method == "linear" and dtype == torch.bool)
        expected = "torch" if none else "numba"
        assert op._chosen(None, torch.zeros(1, 1, 4, dtype=dtype), method, None) == expected
    assert op._chosen(None, torch.zeros(1, 1, 4), "linear", 360.0) == "torch"


def test_not_numbers_and_infinities_stay_where_they_are() -> None:
    data = torch.tensor([[[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0]]])
    times, at = torch.arange(3.0), torch.tensor([0.0, 1.0, 2.0, 5.0, 1.5])
    for backend in robocache.available_backends("resample"):
        with np.errstate(invalid="ignore"):
            found = resample_trajectories(data, times, at, backend=backend)
        expected = [[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0], [3.0, 4.0], [np.nan, 3.0]]
        np.testing.assert_array_equal(found[0].numpy(), expected)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 50])
def test_results_past_the_cache_are_the_same(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "LARGE", 0)
    asked = trajectories(torch.float32, 4, 9, 23, (width,))
    asked["source_data"][0, 2] = np.inf
    asked["source_data"][1, 3] = np.nan
    expected = resample_trajectories(**asked, backend="reference")
    found = resample_trajectories(**asked, backend="numba")
    np.testing.assert_array_equal(found, expected)
    place = torch.zeros(4 * 23 * width + 1)[1:].view(4, 23, width)  # begins between two lines
    resample_trajectories(**asked, backend="numba", out=place)
    np.testing.assert_array_equal(place, expected)

    monkeypatch.setattr(cpu, "LONG", 0)
    for method, dtype in itertools.product(("previous", "nearest"), DTYPES):
        given = trajectories(dtype, 4, 9, 23, (width,))
        one, two = (
            resample_trajectories(**given, method=method, backend=name)
            for name in ("numba", "reference")
        )
        np.testing.assert_array_equal(one.float(), two.float())

    streams = {"one": (asked["source_data"], asked["source_times"])}
    streams["two"] = (asked["source_data"][..., :3].contiguous(), asked["source_times"])
    at = asked["target_times"]
    np.testing.assert_array_equal(
        align(streams, at, backend="numba"), align(streams, at, backend="torch")
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int) -> None:
    asked = trajectories(torch.float32, 7, 40, 300, (256,))
    one = resample_trajectories(**asked, backend="torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(resample_trajectories(**asked), one)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_gradients_of_values_and_times(method, backend) -> None:
    if method == "slerp" and backend == "numba":
        backend = None
    rng = np.random.default_rng(3)
    times = torch.from_numpy(np.cumsum(rng.uniform(0.1, 0.3, (2, 6)), axis=1))
    at = torch.from_numpy(rng.uniform(-0.2, 1.6, (2, 7)))
    data = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(2, 6, 4))), dim=-1)
    inputs = tuple(one.requires_grad_() for one in (data, times, at))

    def run(values: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return resample_trajectories(
            values, source, target, method=method, lengths=torch.tensor([6, 4]), backend=backend
        )

    assert torch.autograd.gradcheck(run, inputs, nondet_tol=0.0)


@pytest.mark.parametrize(
    ("dtype", "method", "period"),
    [
        (torch.float32, "previous", None),
        (torch.float64, "nearest", None),
        (torch.float32, "linear", None),
        (torch.bfloat16, "linear", None),
        (torch.float64, "linear", 90.0),
        (torch.float32, "slerp", None),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_reference(dtype, method, period) -> None:
    found = {}
    for backend in ("reference", "torch", "triton"):
        asked = trajectories(dtype, 3, 7, 5, (4,))
        inputs = [
            asked[name].requires_grad_() for name in ("source_data", "source_times", "target_times")
        ]
        values = resample_trajectories(**asked, method=method, period=period, backend=backend)
        into = torch.linspace(-1, 1, values.numel()).view(values.shape).to(dtype)
        found[backend] = torch.autograd.grad(values, inputs, into, allow_unused=True)
    for ours, theirs in itertools.product(found.values(), found.values()):
        for one, other in zip(ours, theirs, strict=True):
            assert one is other is None or torch.equal(one, other)


def test_copies_do_not_follow_from_times() -> None:
    asked = trajectories(torch.float32, 3, 7, 5, (4,))
    at = asked["target_times"].requires_grad_()
    values = resample_trajectories(**asked, method="previous")
    assert torch.autograd.grad(values.sum(), at, allow_unused=True) == (None,)


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_gradients_have_gradients(method) -> None:
    """Also where one tensor is two of the inputs."""
    rng = np.random.default_rng(3)
    times = torch.from_numpy(np.cumsum(rng.uniform(0.1, 0.3, (2, 6)), axis=1)).requires_grad_()
    data = torch.from_numpy(rng.normal(size=(2, 6, 4))).requires_grad_()

    def run(values: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        at = source + torch.tensor([0.03, -0.02, 0.01, 0.04, -0.03, -0.01])
        found = resample_trajectories(values**2, source, at, method=method)
        return found + resample_trajectories(values, source, source, method=method)

    assert torch.autograd.gradgradcheck(run, (data, times))


def test_gradients_of_lengths_that_nobody_looked_at() -> None:
    asked = trajectories(torch.float64, 3, 7, 5, (4,))
    data = asked.pop("source_data").requires_grad_()
    gradients = []
    for lengths in ([10**9, -5, 4], [7, 0, 4]):
        asked["lengths"] = torch.tensor(lengths)
        values = resample_trajectories(data, **asked, check_times=False)
        gradients.append(torch.autograd.grad(values.sum(), data)[0])
    assert torch.equal(*gradients)


def test_results_of_any_size_can_be_changed_in_place() -> None:
    """Large ones lie in memory that torch did not ask for."""
    data = torch.ones(1, 3, 2**20, requires_grad=True)
    values = resample_trajectories(data, torch.arange(3.0), torch.tensor([0.5, 1.5]))
    values.mul_(3)
    values[0, 0] += 1
    values.sum().backward()
    assert torch.equal(data.grad, torch.tensor([1.5, 3.0, 1.5])[:, None].expand_as(data))


def test_it_is_an_operator_of_torch() -> None:
    asked = trajectories(torch.float64, 3, 7, 5, (4,))
    counts = torch.tensor([7, 3, 0])
    for method, grads in itertools.product(METHODS, (False, True)):
        data, source, target = (
            asked[name].clone().requires_grad_(grads)
            for name in ("source_data", "source_times", "target_times")
        )
        given = (data, source, target, counts, method, 0.2, None, None, True)
        torch.library.opcheck(torch.ops.robocache.resample.default, given)
    out = torch.empty(3, 5, 4, dtype=torch.float64)
    given = tuple(one.detach() if isinstance(one, torch.Tensor) else one for one in given)
    torch.library.opcheck(torch.ops.robocache.resample_out.default, (*given, out))


def test_it_compiles_without_a_break() -> None:
    class Smooth(torch.nn.Module):
        def forward(
            self, data: torch.Tensor, times: torch.Tensor, at: torch.Tensor
        ) -> torch.Tensor:
            values, mask = resample_trajectories(2 * data, times, at, return_mask=True, fill=0.0)
            return values.sum(-1) * mask

    asked = trajectories(torch.float32, 3, 7, 5, (4,))
    inputs = [asked[name] for name in ("source_data", "source_times", "target_times")]
    compiled = torch.compile(Smooth(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*inputs), Smooth()(*inputs))
    data, times, at = (one.requires_grad_() for one in inputs)
    ours = torch.autograd.grad(compiled(data, times, at).sum(), (data, times, at))
    theirs = torch.autograd.grad(Smooth()(data, times, at).sum(), (data, times, at))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", ["triton", "numba", "torch", "reference"])
def test_out_is_written_to(backend: str) -> None:
    asked = trajectories(torch.float32, 3, 7, 5, (4,))
    expected = resample_trajectories(**asked, fill=-1.0)
    out = torch.full((3, 5, 4), 7.0)
    assert resample_trajectories(**asked, fill=-1.0, out=out, backend=backend) is out
    assert torch.equal(out, expected)


def test_what_out_cannot_be() -> None:
    asked = trajectories(torch.float32, 3, 7, 5, (4,))
    for wrong in (torch.zeros(3, 5, 3), torch.zeros(3, 5, 4, dtype=torch.float64)):
        with pytest.raises(ShapeError, match=r"out must be \(3, 5, 4\) torch.float32 on cpu, got"):
            resample_trajectories(**asked, out=wrong)
    with pytest.raises(ShapeError, match="out must be contiguous"):
        resample_trajectories(**asked, out=torch.zeros(3, 4, 5).transpose(1, 2))
    asked["source_data"].requires_grad_()
    with pytest.raises(ConfigError, match="out cannot be written to where gradients"):
        resample_trajectories(**asked, out=torch.zeros(3, 5, 4))

    asked["source_data"].requires_grad_(False)
    asked["target_times"].requires_grad_()
    with pytest.raises(ConfigError, match="out cannot be written to where gradients"):
        resample_trajectories(**asked, out=torch.zeros(3, 5, 4))


def test_out_is_not_what_is_read() -> None:
    memory = torch.zeros(2, 9, 3)
    times = torch.arange(5.0)
    for method in ("linear", "previous"):
        with pytest.raises(ConfigError, match="out shares memory with source_data"):
            resample_trajectories(memory[:1, :5], times, times, out=memory[:1, 4:], method=method)
    rows = torch.zeros(1, 5, dtype=torch.float64)
    with pytest.raises(ConfigError, match="out shares memory with target_times"):
        resample_trajectories(rows + 1, times, rows, out=rows)
    beside = resample_trajectories(memory[:1, :5], times, times[:4], out=memory[:1, 5:])
    assert torch.equal(beside, torch.zeros(1, 4, 3))


@pytest.mark.parametrize("backend", ["numba", "torch", "triton"])
def test_autograd_knows_that_out_was_written_to(backend: str) -> None:
    asked = trajectories(torch.float32, 3, 7, 5, (4,))
    out = resample_trajectories(**asked)
    loss = (torch.ones(4, requires_grad=True) * out).sum()
    resample_trajectories(**asked, out=out, backend=backend)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with torch.inference_mode():
        kept = torch.empty_like(out)
        assert torch.equal(resample_trajectories(**asked, out=kept, backend=backend), out)


def test_wrong_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = trajectories(torch.float16, 1, 3, 2, (4,))
    with pytest.raises(ConfigError, match="unknown backend of resample 'cuda'"):
        resample_trajectories(**asked, backend="cuda")
    with pytest.raises(ConfigError, match=r"no 'slerp' of torch.float16: leave backend out"):
        resample_trajectories(**asked, method="slerp", backend="numba")
    with pytest.raises(ConfigError, match="unknown operation 'fly'"):
        robocache.available_backends("fly")
    with pytest.raises(ConfigError, match=r"'linear' of torch.float16 with a period"):
        resample_trajectories(**asked, period=1.0, backend="numba")
    with pytest.raises(ConfigError, match="a period is for 'linear', not for 'nearest'"):
        resample_trajectories(**asked, period=1.0, method="nearest")
    with pytest.raises(ConfigError, match="period must be positive and finite, got -1"):
        resample_trajectories(**asked, period=-1)
    with pytest.raises(ShapeError, match=r"angles with a period are floats, got torch.int64"):
        resample_trajectories(
            asked["source_data"].long(), asked["source_times"], asked["target_times"], period=1.0
        )
    monkeypatch.setattr(backends, "interprets", lambda: False)
    assert robocache.available_backends("resample") == ("numba", "torch", "reference")
    with pytest.raises(ConfigError, match="'triton' of resample is for NVIDIA cards, the data is"):
        resample_trajectories(**asked, backend="triton")
    monkeypatch.setattr(backends, "has_triton", lambda: False)
    with pytest.raises(ConfigError, match="comes with a CUDA build of torch"):
        resample_trajectories(**asked, backend="triton")
    monkeypatch.setattr(backends, "has_numba", lambda: False)
    assert robocache.available_backends("resample") == ("torch", "reference")
    with pytest.raises(ConfigError, match=r"pip install 'robocache\[kernels\]'"):
        resample_trajectories(**asked, method="nearest", backend="numba")
    assert resample_trajectories(**asked, method="nearest").shape == (1, 2, 4)


def test_errors_name_row_and_position() -> None:
    data, at = torch.zeros(2, 3), torch.zeros(1)
    times = torch.tensor([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]])
    with pytest.raises(TimesError, match=r"row 1: .* sample 1 at 2.0 is followed by 1.0"):
        resample_trajectories(data, times, at)
    with pytest.raises(TimesError, match="row 0: target time 0 is not finite: nan"):
        resample_trajectories(data, times, at * torch.nan, lengths=torch.tensor([3, 2]))
    with pytest.raises(ShapeError, match=r"lengths must lie in 0\.\.3, got \[-1, 2\]"):
        resample_trajectories(data, times, at, lengths=torch.tensor([-1, 2]))


def test_times_are_where_the_values_are() -> None:
    data, times = torch.zeros(1, 2, 3), torch.arange(2.0)
    for clocks in ((times.to("meta"), times), (times, times.to("meta"))):
        with pytest.raises(ShapeError, match="_times are on meta, the values on cpu"):
            resample_trajectories(data, *clocks)


def test_kernels_are_not_imported_before_they_are_used() -> None:
    unused = {"numba", "robocache.ops.resample.cpu", "robocache.ops.resample.triton"}
    code = f"import sys, robocache.ops; assert not {unused} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_compiled_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = compiled.njit

    def refusing(*, cache: bool = False, **options: Any) -> Any:
        def compiling(function: Any) -> Any:
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return njit(**options)(function)

        return compiling

    monkeypatch.setattr(compiled, "njit", refusing)

    def following(number: int) -> int:
        return number + 1

    assert compiled.compiled(following)(1) == 2


@settings(max_examples=60, deadline=None)
@given(some.data())
def test_properties(data: some.DataObject) -> None:
    """At its own times the data comes back; `linear` is linear; `previous` never looks ahead."""
    seed = data.draw(some.integers(0, 2**20))
    samples = data.draw(some.integers(1, 9))
    asked = trajectories(torch.float64, 2, samples, 5, (2,), seed)
    del asked["lengths"]
    values, times, at = asked.values()
    for method, backend in itertools.product(
        ("previous", "nearest", "linear"), ("numba", "torch", "triton")
    ):
        own = resample_trajectories(values, times, times, method=method, backend=backend)
        assert torch.equal(own, values)
    other = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=values.shape))
    total = resample_trajectories(2.0 * values + other, times, at)
    apart = 2.0 * resample_trajectories(values, times, at) + resample_trajectories(other, times, at)
    torch.testing.assert_close(total, apart, rtol=0, atol=1e-10)
    later = times[:, :, None] > at.amax()
    changed = torch.where(later, values + 1.0, values)
    for backend in ("numba", "torch", "triton"):
        options = {"method": "previous", "return_mask": True, "backend": backend}
        one, mask = resample_trajectories(values, times, at, **options)
        two, _ = resample_trajectories(changed, times, at, **options)
        assert torch.equal(one[mask], two[mask])


@pytest.mark.parametrize("backend", ["triton", "numba", "torch"])
@settings(max_examples=25, deadline=None)
@given(some.data())
def test_nothing_outside_is_read_or_written_whatever_the_times(backend, data) -> None:
    """Every sample of row b is b + 1, in memory that holds other numbers around: so is every
    result, 0 for a row without samples, or NaN."""
    anything = some.floats(allow_nan=True, allow_infinity=True, width=64)
    batch, samples, targets = (data.draw(some.integers(1, most)) for most in (3, 9, 5))

    def times(count: int) -> torch.Tensor:
        many = some.lists(anything, min_size=batch * count, max_size=batch * count)
        return torch.tensor(data.draw(many), dtype=torch.float64).view(batch, count)

    method = data.draw(some.sampled_from(["previous", "nearest", "linear"]))
    lengths = data.draw(some.lists(some.integers(-2, 12), min_size=batch, max_size=batch))
    memory = torch.full((batch + 2, samples, 3), 777.0)
    rows = torch.arange(1.0, batch + 1)[:, None, None].expand(batch, samples, 3)
    into = torch.full((batch + 2, targets, 3), 555.0)
    with np.errstate(all="ignore"):
        found = resample_trajectories(
            memory[1:-1].copy_(rows),
            times(samples),
            times(targets),
            method=method,
            lengths=torch.tensor(lengths),
            max_gap_s=data.draw(some.sampled_from([None, 0.5])),
            out=into[1:-1],
            backend=backend,
            check_times=False,
        )
    for row, length in enumerate(lengths):
        expected = row + 1.0 if length > 0 else 0.0
        assert bool(((found[row] == expected) | found[row].isnan()).all())
        assert length > 0 or not found[row].isnan().any()
    assert bool((into[[0, -1]] == 555).all()) and bool((memory[[0, -1]] == 777).all())
