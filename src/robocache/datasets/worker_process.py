"""What worker processes of the datasets have in common."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from robocache.core.errors import ConfigError
from robocache.datasets.native import Marks


def process_pool(
    workers: int, begin: Callable[..., None], *given: Any, marks: Marks | None = None
) -> ProcessPoolExecutor:
    """Processes with one thread each, started when the first work comes.

    They leave Ctrl-C to their parent, and end with it however it ends.

    Args:
        begin: called in each process first, with `given`.
        marks: tell what the processes read.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(marks, begin, *given),
    )


def to_send(value: object, what: str) -> bytes:
    """What another process can make the value from.

    Raises:
        ConfigError: it cannot be sent; `what` says what it is.
    """
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{what} cannot be read in worker processes ({error}); use workers=0"
        ) from error


def _start(marks: Marks | None, begin: Callable[..., None], *given: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    if marks is not None:
        marks.watch_this_process()
    begin(*given)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
