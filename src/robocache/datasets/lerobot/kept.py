"""What LeRobot has no place for: kept in info.json under "robocache" when this package writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.episode_record import parse_spec
from robocache.datasets.lerobot.info import Info

ENTRY = "robocache"


@dataclass(frozen=True)
class KeptStream:
    """One stream as it was before it was written.

    Attributes:
        spec: its declaration; unit, privilege, alignment and shape are taken from it.
        lag_s: seconds from a sample's capture to when it could be used; 0 when at once, None when
            that was not one number.
    """

    spec: StreamSpec
    lag_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {**self.spec.to_json(), "lag_s": self.lag_s}

    def restore(
        self,
        values: FrameArray,
        times_s: NDArray[np.float64],
        read: StreamSpec,
        available_s: NDArray[np.float64] | None,
    ) -> Stream:
        """The stream with its own declaration; rate and clock stay those of the folder."""
        if self.spec.shape == () and read.shape == (1,):
            values = np.asarray(values[:]).reshape(len(values))
            read = replace(read, shape=())
        spec = replace(
            read,
            unit=self.spec.unit,
            privileged=self.spec.privileged,
            alignment=self.spec.alignment,
        )
        one_step = read.rate_hz is not None and self.lag_s == 1 / read.rate_hz
        if self.lag_s == 0:
            available_s = None
        elif self.lag_s is not None and not (one_step and available_s is not None):
            available_s = times_s + self.lag_s
        return Stream(values, times_s, spec, available_s)


def kept_streams(info: Info) -> Mapping[str, KeptStream]:
    """The streams that info.json tells of; none in folders that others wrote.

    Raises:
        CorruptFileError: the entry is not as it was written.
    """
    entry = info.raw.get(ENTRY)
    if entry is None:
        return {}
    try:
        kept = {}
        for name, fields in entry["streams"].items():
            spec = {key: value for key, value in fields.items() if key != "lag_s"}
            lag_s = None if fields["lag_s"] is None else float(fields["lag_s"])
            kept[name] = KeptStream(parse_spec(spec), lag_s)
        return kept
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(
            f"its entry {ENTRY!r} is damaged ({error!r})", file=info.path
        ) from error
