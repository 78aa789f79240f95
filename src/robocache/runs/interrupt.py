"""Ctrl-C as a request: finish the step at hand, save, then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequest:
    """While it is open, the first SIGINT or SIGTERM only sets `requested`; a second one interrupts.

    Outside the main thread it changes nothing, because only that thread may handle signals.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
