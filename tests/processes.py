"""The command line in a process of its own, which can be killed.

Processes are forked from one that has loaded torch already, so a command starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PRELOADED = [
    "robocache.cli.compare",
    "robocache.cli.main",
    "robocache.cli.runs",
    "robocache.cli.train",
    "alembic.command",
    "scipy.stats",
    "torch._dynamo",
    "runs_scenario",
]


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, and all it printed."""

    code: int | None
    output: str


def fork(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start `target` in a new process."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def start(
    arguments: Sequence[str],
    home: Path,
    *,
    variables: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> ForkServerProcess:
    """Start `robocache` with these arguments; examples and the test's modules are importable.

    Args:
        home: the run store; what is printed goes to `output` beside it.
        variables: further environment variables.
        before: called in the new process first.
    """
    return fork(_command, list(arguments), home, dict(variables or {}), before, list(sys.path))


def run(
    arguments: Sequence[str],
    home: Path,
    *,
    variables: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Ended:
    """`start`, and wait for the end."""
    process = start(arguments, home, variables=variables, before=before)
    process.join()
    return Ended(process.exitcode, output(home).read_text())


def output(home: Path) -> Path:
    """The file with what the last command printed."""
    return home.parent / f"{home.name}-output"


def _command(
    arguments: list[str],
    home: Path,
    variables: dict[str, str],
    before: Callable[[], None] | None,
    path: list[str],
) -> None:
    file = os.open(output(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.pop("ROBOCACHE_CRASH_AT", None)
    os.environ.update({"ROBOCACHE_HOME": str(home), **variables})
    os.chdir(home.parent)
    sys.path[:] = [*path, str(ROOT)]
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["robocache", *arguments]
    if before is not None:
        before()
    from robocache.cli.main import main

    main()
