"""Progress on a terminal: a bar with speed and time left; a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)
LINE_EVERY_S = 15.0


@contextmanager
def progress(title: str, unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """Gives a function to be called with (done, total, figures)."""
    if not console.is_terminal:
        yield _lines(title, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, figures="")
        yield lambda done, total, figures: bar.update(
            task, completed=done, total=total, figures=figures
        )


def _lines(title: str, unit: str) -> Callable[[int, int, str], None]:
    said = time.monotonic()

    def say(done: int, total: int, figures: str) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LINE_EVERY_S or done == total:
            said = now
            console.print(f"{title}: {done}/{total} {unit}  {figures}")

    return say
