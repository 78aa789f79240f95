"""Benchmarks run in turns on two revisions of this project."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from robocache.cli.bench_results import BenchResult, read_result
from robocache.cli.progress import progress
from robocache.core.errors import ConfigError, unknown_name

PACKAGE = Path("src", "robocache", "__init__.py")
SCRIPTS = "benchmarks"
ROUNDS_IN_PROCESS = 3


def is_checkout(folder: Path) -> bool:
    """Whether a folder is a checkout of this project."""
    return (folder / PACKAGE).is_file()


@contextmanager
def checked_out(text: str) -> Iterator[Path]:
    """The checkout in the folder `text`, or a worktree of the revision `text`, removed at the end.

    Raises:
        ConfigError: neither, or this is not called inside a checkout of this project.
    """
    if is_checkout(Path(text)):
        yield Path(text).resolve()
        return
    root = _root(text)
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    commit = found.stdout.strip()
    if found.returncode:
        raise ConfigError(
            f"{text!r} is neither a result, nor a checkout of robocache, nor a revision in {root}"
        )
    with tempfile.TemporaryDirectory(prefix="robocache-bench-") as scratch:
        folder = Path(scratch).resolve() / commit[:12]
        try:
            made = _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit)
            if made.returncode:
                raise ConfigError(f"no worktree of {text}: {_last_line(made.stderr)}")
            if not is_checkout(folder):
                raise ConfigError(f"revision {text} has no {PACKAGE}: choose a later one")
            yield folder
        finally:
            _git(root, "worktree", "remove", "--force", str(folder))


def script_names(checkout: Path) -> list[str]:
    """Names of the scripts that measure something and need no peer's environment, and no card."""
    texts = {file.stem: file.read_text() for file in sorted((checkout / SCRIPTS).glob("*.py"))}
    return [
        name
        for name, text in texts.items()
        if 'if __name__ == "__main__":' in text
        and "from peer import" not in text
        and "from card import" not in text
    ]


def chosen_scripts(checkout: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Script -> options, from names that may carry options; all scripts when none are named.

    Raises:
        ConfigError: no script of that name, or none at all.
    """
    known = script_names(checkout)
    if not known:
        raise ConfigError(f"there is no benchmark in {checkout / SCRIPTS}")
    chosen = {}
    for text in names or known:
        name, *options = shlex.split(text) or [""]
        if name not in known:
            raise unknown_name("benchmark", name, known)
        chosen[name] = options
    return chosen


def measure_in_turns(
    sides: Mapping[str, Path], script: Path, options: Sequence[str], rounds: int
) -> dict[str, list[BenchResult]]:
    """Results of each round on both sides: old new, new old, old new ..., a process for each.

    Each side is run once before, and that is not counted: its modules are then compiled and its
    files in memory.

    Args:
        sides: "old" and "new" -> checkout.
        script: the one script that both run.
        options: further arguments of the script.
        rounds: processes per side.

    Raises:
        ConfigError: the script does not run with the package of a side.
    """
    for side, checkout in sides.items():
        _require_own_package(side, checkout)
    results: dict[str, list[BenchResult]] = {side: [] for side in sides}
    with progress(f"bench {script.stem}", "processes") as say:
        for number in range(rounds + 1):
            order = list(sides) if number % 2 else list(sides)[::-1]
            for count, side in enumerate(order, start=1):
                result = _run(side, sides[side], script, options)
                if number:
                    results[side].append(result)
                say(number * len(sides) + count, (rounds + 1) * len(sides), side)
    return results


def medians(results: Sequence[BenchResult]) -> dict[str, list[float]]:
    """Figure -> its median within each process (n,): seconds of sides, and ratios to peers."""
    rows = [{**result.times(), **result.ratios()} for result in results]
    return {name: [statistics.median(row[name]) for row in rows] for name in rows[0]}


def _run(side: str, checkout: Path, script: Path, options: Sequence[str]) -> BenchResult:
    with tempfile.TemporaryDirectory(prefix="robocache-bench-") as scratch:
        out = Path(scratch) / "result.json"
        rounds = ("--rounds", str(ROUNDS_IN_PROCESS), "--out", str(out))
        done = _python(checkout, [str(script), *options, *rounds], home=Path(scratch) / "home")
        if done.returncode or not out.is_file():
            raise ConfigError(
                f"benchmark {script.stem} does not run with the package of {side.upper()}: "
                f"{_last_line(done.stderr) or f'status {done.returncode}'}; choose others with "
                f"--bench, or another {side.upper()}"
            )
        return read_result(out)


def _require_own_package(side: str, checkout: Path) -> None:
    """Raise ConfigError unless a process of that side imports the package of that checkout."""
    found = _python(checkout, ["-c", "import robocache; print(robocache.__file__)"])
    lines = found.stdout.split()
    if found.returncode or Path(lines[-1]).resolve() != (checkout / PACKAGE).resolve():
        what = _last_line(found.stderr) or f"{lines[-1]} comes first"
        raise ConfigError(f"the package of {side.upper()} cannot be imported: {what}")


def _python(
    checkout: Path, arguments: Sequence[str], home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    path = [str(checkout / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    if home is not None:
        environment["ROBOCACHE_HOME"] = str(home)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def _root(text: str) -> Path:
    """The checkout that the working directory is in."""
    found = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    root = Path(found.stdout.strip())
    if found.returncode or not is_checkout(root):
        raise ConfigError(
            f"{text!r} is neither a result nor a checkout, and revisions are looked up in the "
            f"checkout of robocache one is in: change to one"
        )
    return root


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
