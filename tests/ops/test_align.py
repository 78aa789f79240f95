"""Several streams on one clock: by their policies, side by side, fused and one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import robocache
from robocache.core import AlignmentPolicy
from robocache.core.errors import ConfigError, ShapeError, TimesError
from robocache.ops import align, fused_multimodal_alignment, resample_trajectories

SHAPES = {"vision": (40, (33,)), "arm": (90, (7,)), "force": (7, ()), "pose": (11, (2, 3))}
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
METHODS = ("linear", "previous", "nearest")


def streams(dtype: torch.dtype, batch: int = 3) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(0)
    made = {}
    for name, (samples, shape) in SHAPES.items():
        times = np.cumsum(rng.uniform(0.2, 1.0, (batch, samples)) * 9 / samples, axis=1)
        values = torch.from_numpy(rng.normal(size=(batch, samples, *shape))).to(dtype)
        made[name] = values, torch.from_numpy(times)
    return made


def targets(batch: int = 3, count: int = 17) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(-1, 11, (batch, count)))


def policies(shift: int) -> dict[str, AlignmentPolicy]:
    return {
        name: AlignmentPolicy(METHODS[(number + shift) % 3], (None, 0.4)[number % 2])
        for number, name in enumerate(SHAPES)
    }


def test_by_hand() -> None:
    fast = torch.arange(0, 1.001, 0.1, dtype=torch.float64)
    slow = torch.tensor([0.0, 0.45], dtype=torch.float64)
    at = torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64)
    values, mask, age = align(
        {"arm": (2 * fast[None, :, None], fast), "camera": (torch.tensor([[7.0, 9.0]]), slow)},
        at,
        {"arm": AlignmentPolicy("linear", 0.2), "camera": AlignmentPolicy("previous", 0.28)},
        return_dict=True,
        return_mask=True,
        return_age=True,
        fill=0.0,
    )
    torch.testing.assert_close(values["arm"], 2 * at[None, :, None])
    assert values["camera"].tolist() == [[7, 7, 0]]
    assert mask.tolist() == [[[True, True], [True, True], [True, False]]]
    torch.testing.assert_close(age[0, :, 1], torch.tensor([0.0, 0.25, 0.3], dtype=torch.float64))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("fill", ["hold", -3.0])
def test_fused_equals_one_by_one_to_the_bit(dtype, shift, fill) -> None:
    given, at, asked = streams(dtype), targets(), policies(shift)
    lengths = {"arm": torch.tensor([90, 4, 0]), "force": torch.tensor([7, 7, 1])}
    options = {"lengths": lengths, "fill": fill, "return_mask": True, "return_age": True}
    found, mask, age = align(given, at, asked, **options)
    assert found.shape == (3, 17, 33 + 7 + 1 + 6) and found.dtype == dtype
    first = 0
    for number, (name, (values, times)) in enumerate(given.items()):
        one, valid = resample_trajectories(
            values,
            times,
            at,
            method=asked[name].method,
            max_gap_s=asked[name].max_gap_s,
            lengths=lengths.get(name),
            fill=fill,
            return_mask=True,
            backend="reference",
        )
        one = one.flatten(2) if one.ndim > 2 else one[..., None]
        assert torch.equal(found[..., first : first + one.shape[2]], one), name
        assert torch.equal(mask[..., number], valid)
        first += one.shape[2]
    for backend in ("torch", "numba", "triton"):
        again, valid, old = align(given, at, asked, **options, backend=backend)
        assert torch.equal(valid, mask) and torch.equal(old, age)
        if backend == "triton" and dtype == torch.bfloat16:  # its interpreter cuts off
            torch.testing.assert_close(again, found, rtol=2**-7, atol=0)
        else:
            assert torch.equal(again, found)
    as_dict, valid, old = align(given, at, asked, **options, return_dict=True)
    flat = [one.flatten(2) if one.ndim > 2 else one[..., None] for one in as_dict.values()]
    assert torch.equal(torch.cat(flat, dim=2), found)
    assert torch.equal(valid, mask) and torch.equal(old, age)


def test_ages_are_those_of_the_samples_used() -> None:
    given, at = streams(torch.float64), targets()
    for method in METHODS:
        _, age = align(given, at, method, return_age=True)
        for number, (name, (_, times)) in enumerate(given.items()):
            stamps = times[..., None].expand(-1, -1, 1)
            used = resample_trajectories(
                stamps, times, at, method="previous" if method == "linear" else method
            )[..., 0]
            expected = at - used
            if method == "previous":
                expected = expected.masked_fill(at < times[:, :1], torch.inf)
            torch.testing.assert_close(age[..., number], expected, rtol=0, atol=1e-12, msg=name)


def test_the_public_function() -> None:
    given, at = streams(torch.float32), targets()
    chosen = {name: given[name] for name in ("vision", "arm", "force")}
    whole = fused_multimodal_alignment(*itertools.chain(*chosen.values()), at)
    assert torch.equal(whole, align(chosen, at))
    two = robocache.fused_multimodal_alignment(*given["vision"], *given["arm"], None, None, at)
    assert torch.equal(two, whole[..., :40])
    with pytest.raises(ConfigError, match="belong together"):
        fused_multimodal_alignment(*given["vision"], *given["arm"], given["force"][0], None, at)


def test_pictures_keep_dtype_and_shape() -> None:
    frames = torch.randint(0, 255, (2, 5, 6, 8, 3), dtype=torch.uint8)
    arm = torch.randn(2, 9, 7)
    given = {"camera": (frames, torch.arange(5.0)), "arm": (arm, torch.arange(9.0) / 2)}
    at = torch.tensor([1.2, 3.9])
    found = align(given, at, "previous", return_dict=True)
    assert torch.equal(found["camera"], frames[:, [1, 3]]) and found["arm"].shape == (2, 2, 7)
    with pytest.raises(ShapeError, match=r"stream camera: .*return_dict=True"):
        align(given, at, "previous")


def test_gradients() -> None:
    given = streams(torch.float64)
    inputs = [one.requires_grad_() for name in ("force", "pose") for one in given[name]]
    at = targets(count=3).requires_grad_()

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        force, force_times, pose, pose_times, target = tensors
        return align({"force": (force, force_times), "pose": (pose, pose_times)}, target)

    assert torch.autograd.gradcheck(run, (*inputs, at))


def test_gradients_have_gradients() -> None:
    """Also where one tensor is two of the streams."""
    data = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 1.1, 1.9, 3.2], dtype=torch.float64)
    at = torch.tensor([0.4, 1.3, 2.7], dtype=torch.float64, requires_grad=True)

    def run(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return align(
            {"a": (values, times), "b": (values, 2 * times), "c": (values**2, times)}, target
        )

    assert torch.autograd.gradgradcheck(run, (data, at))


def test_gradients_are_those_of_the_reference() -> None:
    lengths = {"arm": torch.tensor([90, 4, 0])}
    found = {}
    for backend in ("one by one", "torch", "numba", "triton"):
        given, at = streams(torch.float32), targets().requires_grad_()
        inputs = [at, *(one.requires_grad_() for pair in given.values() for one in pair)]
        if backend == "one by one":
            each = align(given, at, policies(0), lengths=lengths, return_dict=True, fill=0.0)
            values = torch.cat([one.reshape(3, 17, -1) for one in each.values()], dim=2)
        else:
            values = align(given, at, policies(0), lengths=lengths, fill=0.0, backend=backend)
        into = torch.linspace(-1, 1, values.numel()).view(values.shape)
        found[backend] = torch.autograd.grad(values, inputs, into, allow_unused=True)
    for backend in ("torch", "numba", "triton"):
        for one, other in zip(found[backend], found["one by one"], strict=True):
            # Sums over the streams, of the target's gradient, are taken in another order.
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    times = given["arm"][1]
    only = align({"arm": given["arm"]}, at, return_mask=True, return_age=True)
    assert [one.requires_grad for one in only] == [True, False, False]
    assert torch.autograd.grad(only[0].sum(), times)[0].shape == times.shape


def test_angles_take_the_shorter_arc_in_their_stream_alone() -> None:
    times, at = torch.tensor([0.0, 1.0]), torch.tensor([0.25])
    values = torch.tensor([[[350.0], [10.0]]])
    given = {"wrist": (values, times), "metres": (values, times)}
    for backend in ("torch", "triton"):
        found = align(given, at, periods={"wrist": 360.0}, backend=backend)
        assert found.tolist() == [[[355.0, 265.0]]]
        each = align(given, at, periods={"wrist": 360.0}, return_dict=True, backend=backend)
        assert each["wrist"].item() == 355 and each["metres"].item() == 265
    with pytest.raises(ConfigError, match="did you mean 'wrist'"):
        align(given, at, periods={"wrists": 360.0})
    with pytest.raises(ConfigError, match="not for 'previous'"):
        align(given, at, "previous", periods={"wrist": 360.0})
    with pytest.raises(ConfigError, match="with a period, asked for by stream 'wrist'"):
        align(given, at, periods={"wrist": 360.0}, backend="numba")


def test_rotations_beside_positions() -> None:
    given, at = streams(torch.float32), targets()
    given["pose"] = (
        torch.nn.functional.normalize(torch.randn(3, 11, 2, 4), dim=-1),
        given["pose"][1],
    )
    asked = policies(0) | {"pose": AlignmentPolicy("slerp")}
    expected = align(given, at, asked, return_mask=True, return_age=True)
    found = align(given, at, asked, return_mask=True, return_age=True, backend="triton")
    assert torch.equal(found[0][..., :-8], expected[0][..., :-8])
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=5e-7)
    assert torch.equal(found[1], expected[1]) and torch.equal(found[2], expected[2])


def test_more_streams_than_one_launch_takes() -> None:
    times, at = torch.arange(5.0), torch.tensor([0.5, 3.25])
    given = {f"s{n}": (torch.randn(1, 5, 1 + n % 3), times) for n in range(19)}
    expected = align(given, at, return_mask=True, return_age=True)
    found = align(given, at, return_mask=True, return_age=True, backend="triton")
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_it_is_an_operator_of_torch() -> None:
    for method, grads in itertools.product(("linear", "nearest"), (False, True)):
        given = [(v[:, :4].clone(), t[:, :4].clone()) for v, t in streams(torch.float64).values()]
        data, source = (list(one) for one in zip(*given[1:3], strict=True))
        at = targets(count=3)
        for one in (*data, *source, at):
            one.requires_grad_(grads)
        counts = [torch.tensor([4, 2, 0]), torch.tensor([4, 4, 4])]
        options = ([method] * 2, [0.3, torch.inf], [0.0] * 2, ["arm", "force"], None, True)
        asked = (data, source, [at, at], counts, *options)
        torch.library.opcheck(torch.ops.robocache.align.default, asked)
    asked = ([one.detach() for one in data], [one.detach() for one in source], *asked[2:])
    asked = (*asked[:2], [at.detach()] * 2, *asked[3:], torch.empty(3, 3, 8, dtype=torch.float64))
    torch.library.opcheck(torch.ops.robocache.align_out.default, asked)


def test_it_compiles_without_a_break() -> None:
    class Fuse(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(47, 2)

        def forward(
            self, given: dict[str, tuple[torch.Tensor, torch.Tensor]], at: torch.Tensor
        ) -> torch.Tensor:
            values, mask = align(given, at, policies(0), fill=0.0, return_mask=True)
            return self.head(values) * mask.any(dim=2, keepdim=True)

    given, at, plain = streams(torch.float32), targets(), Fuse()
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(given, at), plain(given, at))
    gradients = []
    for run in (compiled, plain):
        given = streams(torch.float32)
        moments = given["vision"][1].requires_grad_()
        gradients.append(torch.autograd.grad(run(given, at).sum(), moments)[0])
    assert torch.equal(*gradients)


def test_out() -> None:
    given, at = streams(torch.float32), targets()
    expected = align(given, at, fill=0.5)
    out = torch.empty(3, 17, 47)
    for backend in ("numba", "torch", "triton"):
        out.fill_(9)
        assert align(given, at, fill=0.5, out=out, backend=backend) is out
        assert torch.equal(out, expected)
    with pytest.raises(ShapeError, match=r"out must be contiguous \(3, 17, 47\)"):
        align(given, at, out=torch.empty(3, 17, 46))
    with pytest.raises(ConfigError, match="leave return_dict out"):
        align(given, at, out=out, return_dict=True)

    with pytest.raises(ConfigError, match="out shares memory with values of 'arm'"):
        align({"arm": (out, at.expand(3, -1))}, at, out=out)
    loss = (torch.ones(47, requires_grad=True) * out).sum()
    align(given, at, out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_lengths_that_nobody_looked_at_read_nothing_outside() -> None:
    given, at = streams(torch.float32), targets()
    wrong = {"arm": torch.tensor([10**9, -5, 4])}
    right = {"arm": torch.tensor([90, 0, 4])}
    for backend in ("numba", "torch", "triton"):
        found = align(given, at, lengths=wrong, check_times=False, backend=backend)
        assert torch.equal(found, align(given, at, lengths=right))
    with pytest.raises(ShapeError, match=r"stream arm: lengths must lie in 0\.\.90"):
        align(given, at, lengths=wrong)

    (arm, times), gradients = given["arm"], []
    for lengths in (wrong, right):
        values = arm.clone().requires_grad_()
        found = align({"arm": (values, times)}, at, lengths=lengths, check_times=False)
        gradients.append(torch.autograd.grad(found.sum(), values)[0])
    assert torch.equal(*gradients)


def test_empty_sizes() -> None:
    nothing = torch.zeros(2, 0, 3), torch.zeros(2, 0)
    some = torch.ones(2, 1, 2), torch.zeros(1)
    at = torch.tensor([0.0, 1.0])
    for backend in ("numba", "torch", "triton"):
        values, mask, age = align(
            {"a": nothing, "b": some}, at, return_mask=True, return_age=True, backend=backend
        )
        assert values.tolist() == [[[0, 0, 0, 1, 1]] * 2] * 2
        assert mask[0].tolist() == [[False, True], [False, False]]
        assert age[0].tolist() == [[np.inf, 0.0], [np.inf, 1.0]]
        assert align({"b": some}, torch.zeros(0), backend=backend).shape == (2, 0, 2)
        none = {"b": (torch.ones(0, 1, 2), torch.zeros(1))}
        assert align(none, at, backend=backend).shape == (0, 2, 2)


def test_refusals_name_the_stream() -> None:
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    arm = torch.zeros(1, 2, 3), times
    hold = AlignmentPolicy()
    with pytest.raises(ConfigError, match="'arm' has no alignment policy"):
        align({"arm": arm}, times, {})
    with pytest.raises(ConfigError, match="did you mean 'arm'"):
        align({"arm": arm}, times, {"arm": hold, "arms": hold})
    with pytest.raises(ConfigError, match="did you mean 'arm'"):
        align({"arm": arm}, times, lengths={"arms": torch.tensor([1])})
    with pytest.raises(ConfigError, match="unknown alignment method"):
        align({"arm": arm}, times, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be an AlignmentPolicy, got str 'linear'"):
        align({"arm": (torch.zeros(1, 3), torch.arange(3.0))}, torch.zeros(1), {"arm": "linear"})
    with pytest.raises(ConfigError, match=r"stream 'arm' must be \(values, times\)"):
        align({"arm": torch.zeros(1, 3)}, torch.zeros(1))
    with pytest.raises(ConfigError, match="at least one stream"):
        align({}, times)
    with pytest.raises(TimesError, match="stream arm: row 0: source times must increase"):
        align({"arm": (arm[0], times.flip(0))}, times)
    with pytest.raises(ShapeError, match=r"stream arm: times must be \(1, 3\)"):
        align({"arm": (torch.zeros(1, 3, 1), times)}, times)
    with pytest.raises(ShapeError, match="stream b: "):
        align({"a": arm, "b": (torch.zeros(2, 2, 3), times)}, times)
    with pytest.raises(ShapeError, match="stream b: on meta, other streams on cpu"):
        align({"a": arm, "b": (arm[0].to("meta"), times.to("meta"))}, times)
    with pytest.raises(ConfigError, match="stream 'arm': leave backend out"):
        align({"arm": (torch.ones(1, 2, 4), times)}, times, "slerp", backend="numba")
