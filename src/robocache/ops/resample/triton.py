"""Resampling on NVIDIA cards: one kernel for any number of streams, every value written once.

A program answers a block of targets of one row, for a block of the numbers of a sample. The
arithmetic is that of the reference, operation by operation and without fused multiply-adds; only
`slerp`, which is computed in float64, differs in the last bits.
Letters: B rows, S samples, T targets, D numbers a sample, N streams, C numbers of all streams.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from robocache.core.stream import Method
from robocache.ops.resample.reference import NEARLY_PARALLEL

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
TILE = 2048
"""Numbers a program writes, at most."""
STREAMS = 16
"""Of one launch; their arguments must fit in 4 kB."""
COPIES: tuple[Method, ...] = ("previous", "nearest")
KINDS, WHOLE = ("fp64", "fp32", "fp16", "bf16"), ("u8", "i8", "i16", "i32", "i64")
"""`FLOATS` and `INTEGERS` as Triton calls them."""
_PARALLEL = tl.constexpr(NEARLY_PARALLEL)


def can_resample(dtype: torch.dtype, method: Method) -> bool:
    """Whether there is a kernel for this."""
    if method == "slerp":
        return dtype in FLOATS
    return method != "linear" or dtype in (*FLOATS, *INTEGERS)


class Lane(NamedTuple):
    """One stream of a launch.

    Attributes:
        data: (B, S, D) contiguous.
        source, target: (B, S) and (B, T) float64 seconds, contiguous.
        counts: (B,) int64 in 0..S.
        method, max_gap_s, period: as in `resample_trajectories`.
    """

    data: Tensor
    source: Tensor
    target: Tensor
    counts: Tensor
    method: Method
    max_gap_s: float | None
    period: float | None


def resample_triton(
    data: Tensor,
    source: Tensor,
    target: Tensor,
    counts: Tensor,
    method: Method,
    max_gap_s: float | None,
    period: float | None,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `resample_batched`, for `can_resample`; into contiguous `out` (B, T, ...) where given."""
    batch, samples, *shape = data.shape
    targets, width = target.shape[1], math.prod(shape)
    values = data.new_empty(batch, targets, *shape) if out is None else out
    valid = torch.empty(batch, targets, 1, dtype=torch.bool, device=data.device)
    given, into = data.detach().contiguous(), values.detach()
    if method in COPIES:
        size = math.gcd(width * data.element_size(), given.data_ptr(), into.data_ptr(), 8)
        given, into = given.flatten().view(WORDS[size]), into.flatten().view(WORDS[size])
        width = width * data.element_size() // size
    lane = Lane(
        given.reshape(batch, samples, width), source, target, counts, method, max_gap_s, period
    )
    write_lanes([lane], into.reshape(batch, targets, width), valid, None)
    return values, valid[..., 0]


def write_lanes(lanes: Sequence[Lane], out: Tensor, valid: Tensor, ages: Tensor | None) -> None:
    """Write the streams side by side into (B, T, C), (B, T, N) and (B, T, N), all contiguous.

    Nothing waits for the device, and the launches depend on shapes and dtypes alone, so that they
    can be captured in a CUDA graph.
    """
    batch, targets = valid.shape[:2]
    if batch * targets == 0:
        return
    first = 0
    for begin in range(0, len(lanes), STREAMS):
        some = [_contiguous(lane) for lane in lanes[begin : begin + STREAMS]]
        widths = tuple(lane.data.shape[2] for lane in some)
        firsts = tuple(first + sum(widths[:n]) for n in range(len(some)))
        first += sum(widths)
        blocks = [block_sizes(targets, lane.data.shape[2], lane.method) for lane in some]
        ends, end = [], 0
        for width, (t_block, d_block) in zip(widths, blocks, strict=True):
            end += batch * triton.cdiv(targets, t_block) * max(1, triton.cdiv(width, d_block))
            ends.append(end)
        with _on(out.device):
            resample_kernel[(end,)](
                tuple(lane.data for lane in some),
                tuple(lane.source for lane in some),
                tuple(lane.target for lane in some),
                tuple(lane.counts for lane in some),
                out,
                valid,
                valid if ages is None else ages,
                targets,
                out.shape[2],
                valid.shape[2],
                begin,
                tuple(lane.data.shape[1] for lane in some),
                widths,
                firsts,
                tuple(ends),
                tuple(
                    _bits(math.inf if lane.max_gap_s is None else lane.max_gap_s) for lane in some
                ),
                tuple(_bits(lane.period or 0.0) for lane in some),
                METHODS=tuple(lane.method for lane in some),
                PERIODIC=tuple(lane.period is not None for lane in some),
                T_BLOCKS=tuple(t_block for t_block, _ in blocks),
                D_BLOCKS=tuple(d_block for _, d_block in blocks),
                AGES=ages is not None,
                enable_fp_fusion=False,
            )


def block_sizes(targets: int, width: int, method: Method) -> tuple[int, int]:
    """Targets and numbers of a sample that one program answers."""
    tile = TILE // 4 if method == "slerp" else TILE
    d_block = min(triton.next_power_of_2(max(width, 4)), tile // 2)
    return min(triton.next_power_of_2(targets), tile // d_block, 64), d_block


def _contiguous(lane: Lane) -> Lane:
    return lane._replace(
        source=lane.source.detach().contiguous(),
        target=lane.target.detach().contiguous(),
        counts=lane.counts.contiguous(),
    )


def _bits(number: float) -> int:
    """A float64 as an integer: Triton rounds numbers in tuples to float32."""
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _on(device: torch.device) -> Any:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@triton.jit
def resample_kernel(
    data,
    source,
    target,
    counts,
    out,
    valid,
    ages,
    targets,
    columns,
    streams,
    begin,
    samples,
    widths,
    firsts,
    ends,
    gaps,
    periods,
    METHODS: tl.constexpr,
    PERIODIC: tl.constexpr,
    T_BLOCKS: tl.constexpr,
    D_BLOCKS: tl.constexpr,
    AGES: tl.constexpr,
):
    """Stream n, begin + n of all, has the programs up to ends[n]."""
    program = tl.program_id(0)
    past = 0
    for n in tl.static_range(len(data)):
        if (program >= past) & (program < ends[n]):
            width = widths[n]
            across = tl.maximum(1, tl.cdiv(width, D_BLOCKS[n]))
            along = tl.cdiv(targets, T_BLOCKS[n])
            mine = program - past
            column, block = mine % across, mine // across
            row = (block // along).to(tl.int64)
            t = (block % along) * T_BLOCKS[n] + tl.arange(0, T_BLOCKS[n])
            d = column * D_BLOCKS[n] + tl.arange(0, D_BLOCKS[n])
            count = tl.load(counts[n] + row)
            at = tl.load(target[n] + row * targets + t, t < targets, other=0.0)
            left, right, weight, known, age = _plan(
                source[n] + row * samples[n], count, at, _float(gaps[n]), METHODS[n]
            )
            answer = row * targets + t
            mark = (t < targets) & (column == 0)
            tl.store(valid + answer * streams + begin + n, known, mark)
            if AGES:
                tl.store(ages + answer * streams + begin + n, age, mark)
            inside = (t < targets)[:, None] & (d < width)[None, :]
            rows = data[n] + row * samples[n] * width
            values = tl.load(
                rows + left[:, None] * width + d[None, :], inside & (count > 0), other=0
            )
            if METHODS[n] == "linear" or METHODS[n] == "slerp":
                other = tl.load(
                    rows + right[:, None] * width + d[None, :], inside & (count > 0), other=0
                )
                blended = _blend(
                    values, other, weight[:, None], _float(periods[n]), METHODS[n], PERIODIC[n]
                )
                values = tl.where((left == right)[:, None], values, blended)
            tl.store(out + answer[:, None] * columns + firsts[n] + d[None, :], values, inside)
        past = ends[n]


def variant(
    dtypes: Sequence[str],
    methods: Sequence[Method],
    periodic: Sequence[bool],
    *,
    ages: bool = False,
    ones: bool = False,
) -> tuple[Any, dict[str, Any], dict[Any, Any]]:
    """Kernel, signature and constants that such streams are compiled to; `ones`: sizes are 1."""
    n, size = len(dtypes), "constexpr" if ones else "i32"
    signature: dict[str, Any] = dict.fromkeys(resample_kernel.arg_names, "constexpr")
    signature |= dict.fromkeys(("targets", "columns", "streams"), size)
    signature |= dict.fromkeys(("samples", "widths", "ends"), (size,) * n)
    signature |= {"data": tuple(f"*{name}" for name in dtypes), "out": f"*{dtypes[0]}"}
    signature |= {"source": ("*fp64",) * n, "target": ("*fp64",) * n, "counts": ("*i64",) * n}
    signature |= {"valid": "*u1", "ages": "*fp64" if ages else "*u1", "begin": "i32"}
    signature |= {"firsts": ("i32",) * n, "gaps": ("i64",) * n, "periods": ("i64",) * n}
    blocks = [block_sizes(50, 64, method) for method in methods]
    constants: dict[Any, Any] = {
        "METHODS": tuple(methods),
        "PERIODIC": tuple(periodic),
        "T_BLOCKS": tuple(t for t, _ in blocks),
        "D_BLOCKS": tuple(d for _, d in blocks),
        "AGES": ages,
    }
    if ones:
        constants |= dict.fromkeys(("targets", "columns", "streams"), 1)
        for name in ("samples", "widths", "ends"):
            constants |= {(resample_kernel.arg_names.index(name), k): 1 for k in range(n)}
    return resample_kernel, signature, constants


@triton.jit
def _float(bits):
    return tl.cast(tl.cast(bits, tl.int64), tl.float64, bitcast=True)


@triton.jit
def _plan(source, count, at, gap, METHOD: tl.constexpr):
    """See `plan_batched`; indices lie in 0..count - 1, and are 0 where `count` is, whatever the
    times."""
    low = tl.zeros(at.shape, tl.int64)
    high = low + count
    remaining = count
    while remaining > 0:
        middle = (low + high) // 2
        passed = (low < high) & (tl.load(source + middle, low < high, other=0.0) <= at)
        low = tl.where(passed, middle + 1, low)
        high = tl.where(passed, high, middle)
        remaining = remaining // 2
    has_left = low > 0
    before = tl.maximum(low - 1, 0)
    left_time = tl.load(source + before, has_left, other=0.0)
    after = tl.where(has_left & (left_time == at), before, low)
    has_right = after < count
    right_time = tl.load(source + after, has_right, other=0.0)
    weight = tl.zeros(at.shape, tl.float64)
    if METHOD == "previous" or METHOD == "nearest":
        exists, left, time = has_left, before, left_time
        if METHOD == "nearest":
            nearer = has_right & ((low == 0) | (right_time - at < at - left_time))
            exists = has_left | has_right
            left, time = tl.where(nearer, after, before), tl.where(nearer, right_time, left_time)
        age = tl.where(exists, at - time, float("inf"))
        valid, right = exists & (tl.abs(age) <= gap), left
    else:
        left = before
        time = tl.where(has_left, left_time, right_time)
        apart = right_time - time
        valid = has_left & has_right & (apart <= gap)
        right = tl.where(valid, after, left)
        moving = valid & (apart > 0)
        weight = tl.where(moving, (at - time) / tl.where(moving, apart, 1.0), 0.0)
        age = tl.where(has_left | has_right, at - time, float("inf"))
    return left, right, weight, valid, age


@triton.jit
def _blend(left, right, weight, period, METHOD: tl.constexpr, PERIODIC: tl.constexpr):
    """In the dtype that the reference computes in."""
    if left.dtype.is_int() or left.dtype == tl.float64 or METHOD == "slerp":
        a, b = left.to(tl.float64), right.to(tl.float64)
    else:
        a, b = left.to(tl.float32), right.to(tl.float32)
        weight = weight.to(tl.float32)
    if METHOD == "slerp":
        blended = _slerp(a, b, weight)
    else:
        difference = b - a
        if PERIODIC:
            turns = tl.floor(difference * (1.0 / period).to(a.dtype) + 0.5)
            difference = difference - period.to(a.dtype) * turns
        blended = a + weight * difference
        if left.dtype.is_int():
            below = tl.floor(blended)
            over = blended - below
            odd = below - 2.0 * tl.floor(0.5 * below) > 0.5
            blended = tl.where((over > 0.5) | ((over == 0.5) & odd), below + 1.0, below)
    if left.dtype == tl.float16 or left.dtype == tl.bfloat16:
        blended = blended.to(tl.float32)
    return blended.to(left.dtype)


@triton.jit
def _slerp(left, right, weight):
    """Along the shortest arc between float64 quaternions, four numbers after the other."""
    quaternions: tl.constexpr = left.shape[1] // 4
    left = _unit(tl.reshape(left, (left.shape[0], quaternions, 4)))
    right = _unit(tl.reshape(right, (right.shape[0], quaternions, 4)))
    weight = weight[:, :, None]
    cosine = tl.sum(left * right, axis=2, keep_dims=True)
    right = tl.where(cosine < 0, -right, right)
    near = tl.abs(cosine) > _PARALLEL
    sine = tl.sqrt(0.5 - 0.5 * tl.where(near, 0.0, tl.abs(cosine)))  # of half the angle
    half = sine + sine * sine * sine / 6.0
    for _ in range(3):
        half += (sine - tl.sin(half)) / tl.cos(half)
    along = tl.sin((1.0 - weight) * 2.0 * half) * left + tl.sin(weight * 2.0 * half) * right
    blended = tl.where(near, left + weight * (right - left), along / tl.sin(2.0 * half))
    return tl.reshape(_unit(blended), (left.shape[0], quaternions * 4))


@triton.jit
def _unit(quaternion):
    norm = tl.sqrt(tl.sum(quaternion * quaternion, axis=2, keep_dims=True))
    return quaternion / tl.maximum(norm, 1e-12)


VARIANTS = [
    *(
        (f"{m} {w}", *variant([w], [m], [False]))
        for m in COPIES
        for w in ("u8", "i16", "i32", "i64")
    ),
    *((f"linear {d}", *variant([d], ["linear"], [False])) for d in (*KINDS, *WHOLE)),
    *((f"angles {d}", *variant([d], ["linear"], [True])) for d in KINDS),
    *((f"slerp {d}", *variant([d], ["slerp"], [False])) for d in KINDS),
    ("sizes of 1", *variant(["fp32"], ["linear"], [False], ones=True)),
]
"""What is launched: name, kernel, signature and constants."""
