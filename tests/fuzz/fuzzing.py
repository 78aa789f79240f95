"""Alter the files of a dataset in turn, have each copy read in a child, and count how it ended."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from child import CPU_S, Child, Ended, Read
from mutations import Alter
from reading import read_everything

from robocache.core.errors import DataError
from robocache.datasets.guarded import guarded_problems

FEW = 60
MANY = int(os.environ.get("ROBOCACHE_FUZZ", "10000"))
"""Mutations of each format in `make stress`."""
LARGEST_BYTES = 2**29
"""By which a process that reads damaged files of a few kilobytes may grow."""
SUMMARY: list[str] = []
"""For each format that was altered; shown at the end of `make stress`."""
KEPT = 5
"""Datasets that ended the process; kept for a closer look."""


class Target(NamedTuple):
    """A file of a dataset, and how it is altered. `dataset`: which of the datasets."""

    file: str
    alter: Alter
    dataset: str = ""


@dataclass
class Counts:
    """How the readings ended.

    Attributes:
        kinds: `read`, `listed`, the names of typed errors, `crash`, `hang`, `fault`.
        bad: all that ended without a typed error, with number, file and detail.
        kept: folders of datasets that ended the process.
        peak_bytes: the largest growth of a process.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def ended(self) -> list[str]:
        """What crashed or hung."""
        return [text for text in self.bad if ": fault: " not in text]

    @property
    def mutations(self) -> int:
        return self.kinds.total()

    def __str__(self) -> str:
        others = ("listed", "read", "crash", "hang", "fault")
        typed = self.mutations - sum(self.kinds[kind] for kind in others)
        told = ", ".join(f"{self.kinds[kind]} {kind}" for kind in others)
        return f"{self.mutations} mutations: {typed} typed, {told}, {self.peak_bytes >> 20} MiB"


def fuzz(
    name: str,
    root: Path,
    targets: Sequence[Target],
    times: int,
    *,
    seed: int = 0,
    read: Read = read_everything,
) -> Counts:
    """Alter one target after the other.

    Args:
        name: for the summary at the end of the tests.
        root: folder with the datasets (`Target.dataset` names one), which are sound; copies lie
            beside it.
    """
    counts = Counts()
    work = root.parent / f"{root.name}-altered"
    work.mkdir()
    for dataset in {target.dataset for target in targets}:
        assert read(root / dataset) == "read", f"{root / dataset} is not sound"
    with Child(read, work) as child:
        for number in range(times):
            target = targets[number % len(targets)]
            copy = work / str(number)
            whole = root / target.dataset
            _link(whole, copy, target.file)
            content = (whole / target.file).read_bytes()
            dice = random.Random(f"{seed} {number}")
            (copy / target.file).write_bytes(target.alter(content, dice))
            ended = child.read(copy)
            counts.kinds[ended.kind] += 1
            if not _note(counts, ended, f"{number} {target.dataset}/{target.file}", copy):
                shutil.rmtree(copy)
        counts.peak_bytes = child.peak_bytes
    SUMMARY.append("\n  ".join([f"{name}: {counts}", *counts.ended]))
    return counts


def _note(counts: Counts, ended: Ended, what: str, copy: Path) -> bool:
    """Write down what ended badly; True: its folder is kept."""
    if ended.typed:
        return False
    counts.bad.append(f"{what}: {ended.kind}: {ended.detail}")
    if ended.kind == "fault" or len(counts.kept) == KEPT:
        return False
    counts.kept.append(copy)
    return True


def _link(whole: Path, copy: Path, altered: str) -> None:
    """The same folder with the same files, but the altered one."""
    for folder, _, files in os.walk(whole):
        inside = copy / os.path.relpath(folder, whole)
        inside.mkdir(parents=True, exist_ok=True)
        for name in files:
            if Path(folder, name) != whole / altered:
                os.link(Path(folder, name), inside / name)


def require_typed(counts: Counts, times: int) -> None:
    """Python's readers: nothing but typed errors, in bounded memory, and some of both outcomes."""
    assert not counts.bad, "\n".join(counts.bad[:5])
    require_bounds(counts, times)


def require_survived(counts: Counts, times: int) -> None:
    """Readers that are libraries may crash or hang in the child; what they raise is typed.

    What `data inspect --check` calls survives the same datasets, and names the file.
    """
    faults = [text for text in counts.bad if ": fault: " in text]
    assert not faults, "\n".join(faults[:5])
    for folder in counts.kept:
        for problem in listed(folder):
            assert str(problem.file).startswith(str(folder)), problem
    require_bounds(counts, times)


def listed(folder: Path) -> list[DataError]:
    try:
        return list(guarded_problems(folder, seconds=CPU_S))
    except DataError as error:
        return [error]


def require_bounds(counts: Counts, times: int) -> None:
    assert counts.mutations == times
    assert counts.kinds["read"] and counts.kinds["CorruptFileError"] + counts.kinds["listed"]
    assert counts.peak_bytes < LARGEST_BYTES, str(counts)
