"""Stores that go past the cache, for numba: results larger than the cache are not read into it
first, as other stores would have it. An x86 `movntps`; a plain store where there is none.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 16
"""float32 numbers that are stored at once: a line of the cache."""
ALIGNED = 4 * LANES
"""Bytes that such a store is a multiple of away from 0."""


@intrinsic
def store_between(typing, given, low, high, share, into, at):  # type: ignore[no-untyped-def]
    """into[at + i] = given[low + i] + share * (given[high + i] - given[low + i]) for `LANES` i.

    Args:
        given, into: flat float32; `into` + `at` must be a multiple of `ALIGNED`.
        low, high, at: unsigned.
        share: float32.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = dict(enumerate(signature.args))
        source = context.make_array(kinds[0])(context, builder, arguments[0]).data
        target = context.make_array(kinds[4])(context, builder, arguments[4]).data
        several = ir.VectorType(ir.FloatType(), LANES)
        whole = ir.IntType(32)

        def place(base: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(base, [offset]), several.as_pointer())

        first = builder.load(place(source, arguments[1]), align=4)
        second = builder.load(place(source, arguments[2]), align=4)
        shares = ir.Constant(several, ir.Undefined)
        for lane in range(LANES):
            shares = builder.insert_element(shares, arguments[3], whole(lane))
        between = builder.fadd(first, builder.fmul(shares, builder.fsub(second, first)))
        store = builder.store(between, place(target, arguments[5]), align=ALIGNED)
        store.set_metadata("nontemporal", builder.module.add_metadata([whole(1)]))
        return context.get_dummy_value()

    return types.void(given, low, high, share, into, at), code


@intrinsic
def fence(typing):  # type: ignore[no-untyped-def]
    """Other threads see what was stored before."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code
