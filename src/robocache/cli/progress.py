"""Progress: a bar with speed and time left on a terminal, events with `--json`, else silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from robocache.cli.output import console, errors, in_json, tell

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Say", "console", "errors", "progress"]

Say = Callable[[int, int, str], None]
"""Told how much is done, of how much, and figures in words."""

EVENT_EVERY_S = 1.0
_bars: list[Progress] = []
"""The bar on the terminal, while there is one."""


@contextmanager
def progress(title: str, unit: str) -> Iterator[Say]:
    """Gives a function to be called with (done, total, figures)."""
    if in_json():
        events = ProgressEvents(title, unit)
        try:
            yield events.say
        finally:
            events.flush()
    elif console.is_terminal:
        with _bar() as bar:
            yield from _line(bar, title, unit)
    else:
        yield lambda done, total, figures: None


class ProgressEvents:
    """Progress as events: the first, then at most one a period, and what came last.

    Args:
        clock: seconds, never going backwards.
    """

    def __init__(self, title: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = {"title": title, "unit": unit}
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._said_s = float("-inf")
        self._unsaid: dict[str, Any] | None = None

    def say(self, done: int, total: int, figures: str) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now, done
        began, before = self._first
        speed = (done - before) / (now - began) if done > before and now > began else None
        self._unsaid = {
            "done": done,
            "total": total,
            "figures": figures,
            "per_s": speed,
            "left_s": (total - done) / speed if speed else None,
        }
        if now - self._said_s >= EVENT_EVERY_S:
            self._said_s = now
            self.flush()

    def flush(self) -> None:
        """Tell what was not told yet."""
        if self._unsaid is not None:
            tell("progress", **self._names, **self._unsaid)
            self._unsaid = None


def _line(bar: Progress, title: str, unit: str) -> Iterator[Say]:
    """A line of the bar; one that was added to the bar of other work goes when it is done."""
    task = bar.add_task(title, total=None, figures="", unit=unit)
    begun = False

    def say(done: int, total: int, figures: str) -> None:
        nonlocal begun
        if not begun:  # what was done before, in another session, says nothing about the speed
            begun = True
            bar.reset(task, total=total, completed=done, figures=figures, unit=unit)
        bar.update(task, completed=done, total=total, figures=figures)

    yield say
    if len(bar.tasks) > 1:
        bar.remove_task(task)


@contextmanager
def _bar() -> Iterator[Progress]:
    """The bar that is on the terminal already, or a new one."""
    if _bars:
        yield _bars[-1]
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class SpeedColumn(TextColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.3g}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        SpeedColumn(""),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        _bars.append(bar)
        try:
            yield bar
        finally:
            _bars.pop()
