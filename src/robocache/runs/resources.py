"""What a session of a run used of its machine."""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from robocache.runs.plain import iso_utc

_KILOBYTE = 1024  # Linux counts ru_maxrss in KiB


class ResourceMeter:
    """Counts from its making on: this process, and those it started that have ended."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._began_s = time.monotonic()
        self._cpu_s = _cpu_s()

    def now(self) -> str:
        """The time as ISO 8601 UTC; by the steady clock where the machine's own was set back."""
        return iso_utc(max(datetime.now(UTC), self._steady()))

    def read(self) -> dict[str, Any]:
        """Seconds by a clock that never goes backwards, processor seconds, largest memory."""
        peaks = [resource.getrusage(who).ru_maxrss for who in _WHO]
        return {
            "wall_s": round(time.monotonic() - self._began_s, 3),
            "clock_set_back_s": self._set_back_s(),
            "cpu_s": round(_cpu_s() - self._cpu_s, 3),
            "peak_memory_bytes": {
                "this process": peaks[0] * _KILOBYTE,
                "largest worker": peaks[1] * _KILOBYTE,
            },
        }

    def _steady(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._began_s)

    def _set_back_s(self) -> float:
        """By how much the clock of the machine went back meanwhile; 0 where it went ahead."""
        return max(0.0, round((self._steady() - datetime.now(UTC)).total_seconds(), 3))


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in _WHO)
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
