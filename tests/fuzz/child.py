"""A process that reads altered datasets one after the other, and may be ended by one of them."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from reading import forbid, forget

CPU_S = 20
WALL_S = 240
"""Limits for one dataset; the second is for those that wait for ever."""
MEMORY_BYTES = 3 * 2**30
"""More than the process takes when it begins; Arrow alone reserves 1 GiB that it does not use."""

Read = Callable[[Path], str]


@dataclass(frozen=True)
class Ended:
    """How reading one dataset ended.

    Attributes:
        kind: what `read` returns; `fault`: something else was raised; `crash`,
            `hang`: the process ended by a signal, or did not come back.
        detail: what was raised, or the signal.
    """

    kind: str
    detail: str = ""

    @property
    def typed(self) -> bool:
        return self.kind not in ("fault", "crash", "hang")


class Child:
    """Reads datasets in another process; a new one is begun when it has ended.

    Args:
        read: a function of a module.
        folder: the only one that may be opened there.
        cpu_s: for one dataset.
        memory_bytes: above what the process has when it begins.

    Attributes:
        peak_bytes: the largest memory by which a process grew.
    """

    def __init__(
        self, read: Read, folder: Path, *, cpu_s: int = CPU_S, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._arguments = (read, folder, folder / "home", cpu_s, memory_bytes)
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([read.__module__, *PRELOADED])
        self._process: Any = None
        self._connection: Any = None
        self.peak_bytes = 0

    def read(self, path: Path) -> Ended:
        if self._process is None:
            self._begin()
        try:
            self._connection.send(str(path))
            if not self._connection.poll(WALL_S):
                self.close()
                return Ended("hang", f"no answer in {WALL_S} s")
            kind, peak = self._connection.recv()
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return self._died()
        self.peak_bytes = max(self.peak_bytes, peak)
        return Ended(kind)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process = None

    def _begin(self) -> None:
        self._connection, theirs = self._context.Pipe()
        variables = {"ROBOCACHE_HOME": str(self._arguments[2]), "OMP_NUM_THREADS": "1"}
        self._process = self._context.Process(
            target=_serve, args=(theirs, list(sys.path), variables, *self._arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def _died(self) -> Ended:
        self._process.join()
        code = self._process.exitcode
        self.close()
        if code == -signal.SIGXCPU:
            return Ended("hang", f"more than {self._arguments[3]} s of CPU time")
        if code == 1:
            return Ended(
                "fault", (self._arguments[1] / "stderr").read_text(errors="replace")[-2000:]
            )
        return Ended("crash", f"signal {-code}" if code < 0 else f"exit code {code}")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


PRELOADED = (
    "robocache.datasets",
    "robocache.datasets.calvin",
    "robocache.datasets.hdf5",
    "robocache.datasets.lerobot",
    "robocache.datasets.rlds",
    "robocache.datasets.ros",
    "h5py",
    "rosbags.typesys",
    "PIL.PngImagePlugin",
)


def _serve(
    connection: Connection,
    paths: list[str],
    variables: dict[str, str],
    read: Read,
    folder: Path,
    home: Path,
    cpu_s: int,
    memory_bytes: int,
) -> None:
    sys.path[:] = paths
    for module in PRELOADED:  # again: another test may have begun the server without them
        importlib.import_module(module)
    os.environ.update(variables)
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + memory_bytes, most))
    warnings.simplefilter("error")
    forbid(folder)
    begun = _peak_bytes()
    while True:
        try:
            path = Path(connection.recv())
        except EOFError:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime) + cpu_s + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        kind = read(path)  # whatever is raised ends the process, with its traceback in `stderr`
        forget(home)
        connection.send((kind, _peak_bytes() - begun))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _data_bytes() -> int:
    """What counts for RLIMIT_DATA: memory of this process that can be written to."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmData"))
    return int(line.split()[1]) * 1024
