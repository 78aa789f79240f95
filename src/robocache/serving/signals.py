"""Ending a server with Ctrl-C or SIGTERM: what is under way is answered first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first of these signals; the second does what it did before.

    Only in the main thread.
    """
    before = {number: signal.getsignal(number) for number in ENDING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        restore()
        stop()

    for number in ENDING:
        signal.signal(number, ask)
    try:
        yield
    finally:
        restore()
