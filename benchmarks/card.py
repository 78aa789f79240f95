"""What measurements on a graphics card share: green tests, CUDA graphs, CUDA's own clock."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

FEWEST_CALLS = 50
Call = Callable[[], Any]


def require_green() -> None:
    """End the script where there is no card, or the kernels are not right on it."""
    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device: nothing is measured")
    tests = Path(__file__).resolve().parents[1] / "tests" / "ops"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", str(tests)], cwd=tests.parents[1]
    )
    if done.returncode:
        raise SystemExit("tests of the kernels fail on this card: nothing is reported")


def captured(calls: Sequence[Call]) -> Any:
    """A CUDA graph of all the calls, one after the other."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def timed(calls: Sequence[Call], each: int = 1) -> Callable[[], float]:
    """Seconds of one operation, when each call has `each` of them."""
    repeats = max(1, math.ceil(FEWEST_CALLS / (len(calls) * each)))

    def seconds() -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repeats):
            for call in calls:
                call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3 / (repeats * len(calls) * each)

    return seconds
