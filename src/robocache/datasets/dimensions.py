"""What each number of a sample is called and measured in, as far as its dataset knows.

A reader that can tell has a method `dimensions(stream)`, which gives () where it cannot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robocache.core.stream import StreamSpec
from robocache.datasets.reader import Reader


@dataclass(frozen=True)
class Dimension:
    """One number of a sample: its name, and its unit ("": not known)."""

    name: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


def told_dimensions(dataset: Reader, stream: str) -> tuple[Dimension, ...]:
    """What the dataset tells of the numbers of a stream; () if nothing."""
    tell = getattr(dataset, "dimensions", None)
    return () if tell is None else tuple(tell(stream))


def stream_dimensions(dataset: Reader, stream: str, spec: StreamSpec) -> tuple[Dimension, ...]:
    """One for each number of a flat sample; they are numbered from 0 where no name is known.

    Args:
        spec: of the stream; its unit goes to dimensions of which no other is known.
    """
    size = math.prod(spec.shape)
    unit = "" if "," in spec.unit else spec.unit
    told = told_dimensions(dataset, stream)
    if len(told) != size:
        return tuple(Dimension(str(number), unit) for number in range(size))
    return tuple(Dimension(one.name, one.unit or unit) for one in told)
