"""The kernels on a graphics card, against the reference on the CPU; run with make gpu."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch

import robocache
from robocache.core import AlignmentPolicy
from robocache.ops import align, resample_trajectories

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
DTYPES = (*FLOATS, torch.uint8, torch.int64, torch.bool)
SHAPES = (
    (1, 1, 1, (1,)),
    (3, 7, 13, (3,)),
    (5, 61, 130, (4,)),
    (2, 9, 5, (1031,)),
    (2, 8, 64, (64,)),
)


def trajectories(
    dtype: torch.dtype, batch: int, samples: int, targets: int, shape: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.3, (batch, samples)), axis=1)
    at = rng.uniform(-0.5, 0.3 * samples + 0.5, (batch, targets))
    at[:, 0] = times[:, 0]
    data = torch.from_numpy(100 * rng.normal(size=(batch, samples, *shape)))
    data = data > 0 if dtype == torch.bool else data if dtype.is_floating_point else data.abs()
    return {
        "source_data": data.to(dtype),
        "source_times": torch.from_numpy(times),
        "target_times": torch.from_numpy(at),
        "lengths": torch.from_numpy(rng.integers(0, samples + 1, batch)),
    }


def on_card(asked: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one.cuda() for name, one in asked.items()}


def features(batch: int = 4) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(1)
    sizes = {"vision": (30, 512), "arm": (90, 7), "wrist": (50, 4), "force": (70, 6)}
    return {
        name: (
            torch.from_numpy(rng.normal(size=(batch, samples, width))).float(),
            torch.from_numpy(np.cumsum(rng.uniform(0.01, 9 / samples, (batch, samples)), axis=1)),
        )
        for name, (samples, width) in sizes.items()
    }


POLICIES = {
    "vision": AlignmentPolicy("previous", 0.4),
    "arm": AlignmentPolicy("linear", 0.2),
    "wrist": AlignmentPolicy("slerp"),
    "force": AlignmentPolicy("nearest"),
}


def test_triton_is_what_computes_here() -> None:
    assert robocache.available_backends("resample")[0] == "triton"
    assert robocache.available_backends("align")[0] == "triton"


@pytest.mark.parametrize(
    ("dtype", "method"),
    [
        *itertools.product(DTYPES, ("previous", "nearest")),
        *itertools.product((*FLOATS, torch.uint8, torch.int64), ("linear",)),
        *itertools.product(FLOATS, ("slerp",)),
    ],
    ids=str,
)
def test_values_are_the_references(dtype: torch.dtype, method: str) -> None:
    for shape in SHAPES:
        if method == "slerp" and shape[3][-1] % 4:
            continue
        sample = (shape[3][0] // 4, 4) if method == "slerp" else shape[3]
        asked = trajectories(dtype, *shape[:3], sample)
        options = {"method": method, "max_gap_s": 0.2, "return_mask": True}
        expected, mask = resample_trajectories(**asked, **options, backend="reference")
        for backend in ("triton", "torch"):
            found, valid = resample_trajectories(**on_card(asked), **options, backend=backend)
            assert torch.equal(valid.cpu(), mask)
            if method == "slerp":
                rounding = 4 * torch.finfo(dtype).eps
                torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=rounding)
            else:
                assert torch.equal(found.cpu(), expected), (shape, backend)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_angles(dtype: torch.dtype) -> None:
    asked = trajectories(dtype, 3, 7, 13, (3,))
    expected = resample_trajectories(**asked, period=90.0, backend="reference")
    assert torch.equal(resample_trajectories(**on_card(asked), period=90.0).cpu(), expected)


def test_gradients() -> None:
    names = ("source_data", "source_times", "target_times")
    found = []
    for move in (dict, on_card):
        asked = move(trajectories(torch.float64, 3, 7, 13, (3,)))
        inputs = [asked[name].requires_grad_() for name in names]
        values = resample_trajectories(**asked)
        found.append(torch.autograd.grad(values.square().sum(), inputs))
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=1e-10, atol=1e-8)


def test_align() -> None:
    at = torch.linspace(0, 9, 50, dtype=torch.float64)
    options = {"return_mask": True, "return_age": True, "fill": 0.0}
    expected = align(features(), at, POLICIES, **options, backend="torch")
    given = {name: (values.cuda(), times.cuda()) for name, (values, times) in features().items()}
    found = align(given, at.cuda(), POLICIES, **options)
    torch.testing.assert_close(found[0].cpu(), expected[0], rtol=0, atol=5e-7)
    assert torch.equal(found[1].cpu(), expected[1]) and torch.equal(found[2].cpu(), expected[2])


def calls() -> list[tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]]:
    """What writes into a tensor, and that tensor."""
    asked = on_card(trajectories(torch.float32, 3, 7, 13, (64,)))
    given = {name: (values.cuda(), times.cuda()) for name, (values, times) in features().items()}
    at = torch.linspace(0, 9, 50, dtype=torch.float64, device="cuda")
    return [
        (lambda out: resample_trajectories(**asked, out=out), torch.empty(3, 13, 64).cuda()),
        (
            lambda out: resample_trajectories(**asked, method="nearest", fill=0.0, out=out),
            torch.empty(3, 13, 64).cuda(),
        ),
        (lambda out: align(given, at, POLICIES, fill=0.0, out=out), torch.empty(4, 50, 529).cuda()),
    ]


def test_nothing_waits_for_the_card() -> None:
    for call, out in calls():
        call(out)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            call(out)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_calls_are_captured_in_a_graph() -> None:
    for call, out in calls():
        expected = call(out).clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call(out)
        out.fill_(7)
        graph.replay()
        assert torch.equal(out, expected)


def test_it_compiles_without_a_break() -> None:
    class Fuse(torch.nn.Module):
        def forward(
            self, given: dict[str, tuple[torch.Tensor, torch.Tensor]], at: torch.Tensor
        ) -> torch.Tensor:
            values, mask = align(given, at, POLICIES, fill=0.0, return_mask=True)
            return values.square().sum(-1) * mask.any(dim=2)

    given = {name: (values.cuda(), times.cuda()) for name, (values, times) in features().items()}
    at = torch.linspace(0, 9, 50, dtype=torch.float64, device="cuda")
    compiled = torch.compile(Fuse(), fullgraph=True)
    torch.testing.assert_close(compiled(given, at), Fuse()(given, at))
