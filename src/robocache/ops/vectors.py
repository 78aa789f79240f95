"""Copies, and numbers between others, several at once, for numba: what its own loops cannot do.

Copies and float32 are stored past the cache (an x86 `movntps`), so that results larger than it are
not read into it first. numba has no float16 and no bfloat16: they come as uint16 and int16, become
float32 on the way, and are rounded to the nearest, halves to even.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from robocache.ops.memory import ALIGNED

LANES = 16
"""Numbers at once; of float32 a line of the cache."""
INTEGER = ir.IntType(32)


@cache
def has_halves() -> bool:
    """Whether this processor converts float16 by itself."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    return bool(binding.get_host_cpu_features().get("f16c", False))


@intrinsic
def store_between(typing, given, low, high, share, into, at):  # type: ignore[no-untyped-def]
    """into[at + i] = given[low + i] + share * (given[high + i] - given[low + i]) for `LANES` i.

    Args:
        given, into: flat float32 (then the place of `at` must be a multiple of `ALIGNED`), or
            float16 as uint16, or bfloat16 as int16.
        low, high, at: unsigned.
        share: float32.
    """
    return types.void(given, low, high, share, into, at), _code(LANES)


@intrinsic
def store_one_between(typing, given, low, high, share, into, at):  # type: ignore[no-untyped-def]
    """The same for one number, anywhere."""
    return types.void(given, low, high, share, into, at), _code(1)


@intrinsic
def store_line(typing, given, low, into, at):  # type: ignore[no-untyped-def]
    """Copy `ALIGNED` bytes past the cache: into[at + i] = given[low + i].

    Args:
        given, into: flat uint8; the place of `at` must be a multiple of `ALIGNED`.
        low, at: unsigned.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line = ir.VectorType(INTEGER, LANES)
        places = []
        for number, (array, offset) in enumerate((arguments[:2], arguments[2:])):
            data = context.make_array(signature.args[2 * number])(context, builder, array).data
            places.append(builder.bitcast(builder.gep(data, [offset]), line.as_pointer()))
        store = builder.store(builder.load(places[0], align=1), places[1], align=ALIGNED)
        store.set_metadata("nontemporal", builder.module.add_metadata([INTEGER(1)]))
        return context.get_dummy_value()

    return types.void(given, low, into, at), code


@intrinsic
def fence(typing):  # type: ignore[no-untyped-def]
    """Other threads see what was stored before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


def _code(lanes: int) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, low, high, share, into, at = arguments
        arrays, element = signature.args, signature.args[0].dtype
        size = element.bitwidth // 8
        kind = ir.FloatType() if element == types.float32 else ir.IntType(16)
        several = ir.VectorType(kind, lanes)

        def place(number: int, array: Any, offset: Any) -> Any:
            data = context.make_array(arrays[number])(context, builder, array).data
            return builder.bitcast(builder.gep(data, [offset]), several.as_pointer())

        one, two = (
            _widened(builder, builder.load(place(0, given, offset), align=size), element, lanes)
            for offset in (low, high)
        )
        shares = ir.Constant(one.type, ir.Undefined)
        for lane in range(lanes):
            shares = builder.insert_element(shares, share, INTEGER(lane))
        between = builder.fadd(one, builder.fmul(shares, builder.fsub(two, one)))
        past = element == types.float32 and lanes > 1
        store = builder.store(
            _narrowed(builder, between, element, lanes),
            place(4, into, at),
            align=ALIGNED if past else size,
        )
        if past:
            store.set_metadata("nontemporal", builder.module.add_metadata([INTEGER(1)]))
        return context.get_dummy_value()

    return code


def _widened(builder: Any, values: Any, element: Any, lanes: int) -> Any:
    """As float32."""
    floats = ir.VectorType(ir.FloatType(), lanes)
    if element == types.uint16:
        return builder.fpext(builder.bitcast(values, ir.VectorType(ir.HalfType(), lanes)), floats)
    if element == types.int16:
        words = ir.VectorType(INTEGER, lanes)
        return builder.bitcast(builder.shl(builder.zext(values, words), _all(16, lanes)), floats)
    return values


def _narrowed(builder: Any, values: Any, element: Any, lanes: int) -> Any:
    """From float32."""
    shorts = ir.VectorType(ir.IntType(16), lanes)
    if element == types.uint16:
        halves = ir.VectorType(ir.HalfType(), lanes)
        return builder.bitcast(builder.fptrunc(values, halves), shorts)
    if element == types.int16:
        bits = builder.bitcast(values, ir.VectorType(INTEGER, lanes))
        odd = builder.and_(builder.lshr(bits, _all(16, lanes)), _all(1, lanes))
        rounded = builder.add(bits, builder.add(odd, _all(0x7FFF, lanes)))
        no_number = builder.fcmp_unordered("uno", values, values)
        kept = builder.select(no_number, _all(0x7FC00000, lanes), rounded)
        return builder.trunc(builder.lshr(kept, _all(16, lanes)), shorts)
    return values


def _all(number: int, lanes: int) -> Any:
    return ir.Constant(ir.VectorType(INTEGER, lanes), [number] * lanes)
