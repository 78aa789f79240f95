"""Random episodes for the tests of datasets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robocache.core import AlignmentPolicy, Episode, Outcome, Provenance, Stream, StreamSpec


def times(random: np.random.Generator, count: int, rate_hz: float) -> NDArray[np.float64]:
    """(count,) strictly increasing seconds with a jittering clock."""
    return np.cumsum(random.uniform(0.5, 1.5, count)) / rate_hz - 0.5 / rate_hz


def stream(
    random: np.random.Generator,
    count: int,
    rate_hz: float = 50.0,
    *,
    shape: tuple[int, ...] = (3,),
    dtype: str = "float32",
    late: bool = True,
    alignment: AlignmentPolicy | None = None,
) -> Stream:
    """A stream of random values, delivered late and out of order if `late`."""
    kind = np.dtype(dtype)
    values = random.normal(size=(count, *shape))
    if kind.kind in "ub":
        values = random.integers(0, 2 if kind.kind == "b" else np.iinfo(kind).max, (count, *shape))
    captured = times(random, count, rate_hz)
    available = captured + random.exponential(1.5 / rate_hz, count) if late else None
    spec = StreamSpec(shape, dtype, rate_hz, "m", alignment=alignment or AlignmentPolicy())
    return Stream(values.astype(kind), captured, spec, available)


def episode(random: np.random.Generator, key: str, steps: int = 12) -> Episode:
    """An episode with streams of every kind that is stored, among them empty ones."""
    empty = Stream(np.zeros((0, 2), np.float32), np.zeros(0), StreamSpec((2,)))
    empty_late = Stream(
        np.zeros((0, 4, 3), np.uint8), np.zeros(0), StreamSpec((4, 3), "uint8"), np.zeros(0)
    )
    given = np.arange(steps) / 20
    actions = random.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return Episode(
        key,
        {
            "state": stream(random, 4 * steps, 80.0, late=False),
            "depth": stream(random, steps, 20.0, shape=(6, 5), dtype="uint16"),
            "rgb": stream(random, steps // 2, 10.0, shape=(4, 3, 3), dtype="uint8"),
            "precise": stream(random, steps, shape=(), dtype="float64"),
            "contact": stream(random, steps, shape=(2,), dtype="bool"),
            "none": empty,
            "none_late": empty_late,
            "action": Stream(actions, given, StreamSpec((2,), rate_hz=20.0), given + 0.05),
        },
        instruction="öffne die Schublade",
        outcome=Outcome(True, False, True, steps, -1.25, {"distance": 0.1}),
        provenance=Provenance("demos", "point", "point", 3, 7, "point 1", "expert"),
        start_ns=1_700_000_000_123_456_789,
    )
