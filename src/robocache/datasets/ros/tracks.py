"""Samples of a topic as they are gathered, message by message, in compact form."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ShapeError
from robocache.datasets.ros.clocks import Times
from robocache.datasets.ros.samples import Output, Sample
from robocache.datasets.ros.storage import Message

MOST_NUMBERS = 65_536
"""Samples with more numbers than this are left out."""


class Track:
    """The samples of one stream.

    Attributes:
        output: what they are.
        width: numbers in each sample; 6 for a picture, which is kept as its place in the bag.
        problem: why the stream is left out; None: it is not.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.width: int | None = None if output.picture is None else 6
        self.problem: ShapeError | None = None
        self._dtype = np.dtype(np.int64) if output.dtype is None else output.dtype
        self._values = array("B")
        self._times = array("q")

    def __len__(self) -> int:
        return len(self._times) // 3

    def add(self, sample: Sample, message: Message, file: int) -> None:
        """Keep a sample of a message that lies in the bag's file number `file`."""
        values = sample.values
        if self.output.picture is not None:
            values = (file, *message.where, values.start, values.stop)
        if self.width is None:
            self.width = len(values)
        if len(values) != self.width or self.width > MOST_NUMBERS:
            wrong = f"{len(values)} numbers in sample {len(self)}, the first had {self.width}"
            if self.width > MOST_NUMBERS:
                wrong = f"{self.width} numbers in a sample; at most {MOST_NUMBERS} are read"
            self.problem = ShapeError(wrong)
            return
        self._values.frombytes(np.asarray(values, self._dtype).tobytes())
        self._times.extend((sample.stamp_ns, message.publish_ns, message.log_ns))

    def values(self) -> NDArray[Any]:
        """(T, width) numbers, or places of pictures."""
        return np.frombuffer(self._values, self._dtype).reshape(-1, self.width or 1)

    def times(self) -> Times:
        """The times of the samples."""
        stamp, publish, log = np.frombuffer(self._times, np.int64).reshape(-1, 3).T
        return Times(stamp, publish, log)
