"""`robocache doctor`: what works on this machine, what does not, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from robocache.cli.progress import console
from robocache.core.errors import RoboCacheError
from robocache.runs import home, open_database

LOW_DISK_BYTES = 2 * 1024**3


class Finding(NamedTuple):
    """One thing looked at; `level` is ok, note or problem."""

    level: str
    what: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Everything worth knowing about the installation."""
    yield _python()
    yield from _torch()
    yield from _simulators()
    yield _graphics()
    yield _disk()
    yield _store()


def doctor() -> int:
    """Print the findings; the number of problems."""
    problems = 0
    marks = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    for finding in examine():
        problems += finding.level == "problem"
        console.print(f"{marks[finding.level]} {finding.what}")
        if finding.advice:
            console.print(f"        -> {finding.advice}")
    return problems


def _python() -> Finding:
    return Finding("ok", f"Python {platform.python_version()} on {platform.platform()}")


def _torch() -> Iterator[Finding]:
    import torch

    threads = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("ok", f"torch {torch.__version__}, {threads} threads on {cores} cores")
    limit = os.environ.get("OMP_NUM_THREADS")
    if limit:
        yield Finding(
            "note",
            f"OMP_NUM_THREADS={limit}: training uses {threads} threads",
            "unset it, or give trainer.threads, to use more",
        )
    if torch.cuda.is_available():
        yield Finding("ok", f"CUDA device {torch.cuda.get_device_name(0)}")
    else:
        yield Finding("note", "no CUDA device: training runs on the CPU (trainer.device=cpu)")


def _simulators() -> Iterator[Finding]:
    for module in ("mujoco", "metaworld"):
        if importlib.util.find_spec(module) is None:
            yield Finding(
                "problem",
                f"{module} is not installed: no simulated episodes",
                "pip install 'robocache[sim]'",
            )
        else:
            from importlib.metadata import version

            found = version(module)
            wanted = {"mujoco": "3.3.0", "metaworld": "3.1.1"}[module]
            if found == wanted:
                yield Finding("ok", f"{module} {found}")
            else:
                yield Finding(
                    "problem",
                    f"{module} {found}: results are only known with {wanted}",
                    f"pip install {module}=={wanted}",
                )


def _graphics() -> Finding:
    choice = os.environ.get("MUJOCO_GL", "")
    if sys.platform.startswith("linux") and not choice:
        return Finding(
            "note",
            "MUJOCO_GL is not set: depth and segmentation need no GL, RGB cameras do",
            "MUJOCO_GL=egl (Debian: apt-get install libegl1) before recording RGB",
        )
    return Finding("ok", f"MUJOCO_GL={choice or 'default'}")


def _disk() -> Finding:
    folder = home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < LOW_DISK_BYTES:
        return Finding("problem", text, "free some space, or set ROBOCACHE_HOME to another disk")
    return Finding("ok", text)


def _store() -> Finding:
    try:
        open_database().dispose()
    except RoboCacheError as error:
        return Finding("problem", f"run store: {error}")
    return Finding("ok", f"run store in {home()}")
