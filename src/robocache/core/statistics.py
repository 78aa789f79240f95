"""Statistics: what a policy normalises with. Datasets compute them, checkpoints carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import MissingStreamError


@dataclass(frozen=True, eq=False)
class StreamStatistics:
    """Per-dimension statistics of one stream; each array has the shape of one sample, float64.

    Of actions by step of the horizon, arrays are (H, ...) and `count` is the number of windows.

    Attributes:
        mean, std, minimum, maximum: over all samples of all episodes (population std).
        q01, q99: 1 % and 99 % quantiles.
        count: number of samples.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    q01: NDArray[np.float64]
    q99: NDArray[np.float64]
    count: int

    def to_json(self) -> dict[str, Any]:
        return {
            f.name: self.count if f.name == "count" else getattr(self, f.name).tolist()
            for f in fields(self)
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> StreamStatistics:
        arrays = {n: np.asarray(v, dtype=np.float64) for n, v in data.items() if n != "count"}
        return StreamStatistics(**arrays, count=int(data["count"]))


@dataclass(frozen=True, eq=False)
class Statistics:
    """Stream name -> StreamStatistics, and the fingerprint of the data they were computed on."""

    streams: Mapping[str, StreamStatistics]
    fingerprint: str = ""

    def __getitem__(self, stream: str) -> StreamStatistics:
        try:
            return self.streams[stream]
        except KeyError:
            have = ", ".join(sorted(self.streams))
            raise MissingStreamError(
                f"no statistics for it (there are: {have})", stream=stream
            ) from None

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "streams": {name: s.to_json() for name, s in sorted(self.streams.items())},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Statistics:
        return Statistics(
            streams={n: StreamStatistics.from_json(s) for n, s in data["streams"].items()},
            fingerprint=data.get("fingerprint", ""),
        )
