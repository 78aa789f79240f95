"""What `robocache data inspect` found, as aligned text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.markup import escape

from robocache.cli.output import console
from robocache.cli.sample import INSTRUCTIONS, Sample
from robocache.core.errors import DataError
from robocache.evaluation.stream_figures import Figures
from robocache.runs import Inconsistency

NAMED = 6
"""Most entries of a list that are named."""
ALIKE = 5
"""Problems in the same words that are shown in full."""
ORIGINS = ("rate_source", "rate_from", "times", "capture")
"""In reports: where times come from."""
CAPTURES = {"header": "header stamps", "publish": "publish times", "log": "log times"}
TOLD_LATER = ("streams", "rate_hz", "instruction", "instructions", "episode", "start_ns")
"""In reports: what is told with the episodes, or is of one of them."""
PRIVILEGED = " *"
HEADS = ("stream", "shape", "dtype", "clock", "rate (nominal)", "jitter", "gaps", "values")
AS_NOMINAL = 0.005
"""A true rate within this share of the nominal one is said without it."""

Problem = DataError | Inconsistency


def print_head(path: Path, report: Mapping[str, Any]) -> None:
    """A line for each thing that the report tells in few words."""
    told = {"path": str(path), **{name: _brief(value) for name, value in report.items()}}
    told["times_from"] = ", ".join(_origins(report))
    lines = {
        name.replace("_", " "): words
        for name, words in told.items()
        if words and name not in (*ORIGINS, *TOLD_LATER)
    }
    width = max(map(len, lines))
    for name, words in lines.items():
        _wrapped(f"{name:{width}}  ", words)


def print_streams(sample: Sample, report: Mapping[str, Any]) -> None:
    """A row for each stream; what is the same for all of them is said once."""
    declared = report.get("streams", {})
    names = sorted({*declared, *sample.streams})
    rows = [_row(name, sample.streams.get(name), declared.get(name, {})) for name in names]
    if not rows:
        console.print("no streams")
        return
    same = [len(rows) > 1 and len(set(column)) == 1 for column in zip(*rows, strict=True)]
    console.print()
    _table([_without(row, same) for row in (HEADS, *rows)])
    console.print()
    told = zip(HEADS, rows[0], same, strict=True)
    common = [f"{head.partition(' (')[0]} {cell}" for head, cell, equal in told if equal and cell]
    if common:
        _wrapped("all streams: ", ", ".join(common))
    if any(row[0].endswith(PRIVILEGED) for row in rows):
        console.print(f"{PRIVILEGED.strip()} privileged: known only in simulation")
    first = "" if sample.asked == sample.of else f"the first {sample.asked} of "
    console.print(f"rates, gaps and values are those of {first}{count(sample.of, 'episode')}")


def print_words(sample: Sample) -> None:
    """How many instructions there are, and some of them."""
    words = [text for text in sample.instructions if text]
    empty = sample.instructions[""]
    if not words:
        console.print("no instructions")
        return
    without = f", {count(empty, 'episode')} without" if empty else ""
    console.print(f"{count(len(words), 'different instruction')}{without}")
    for text in words[:INSTRUCTIONS]:
        _wrapped("  ", f"“{text}”")


def print_equal(equal: Sequence[Sequence[str]]) -> None:
    """How many episodes are there more than once."""
    if not equal:
        console.print("no two episodes have the same content")
        return
    many = sum(len(keys) - 1 for keys in equal)
    named = _some([" = ".join(keys) for keys in equal])
    _wrapped("", f"{count(many, 'episode')} held more than once: {named}")


class ProblemList:
    """Problems as they are found; of many in the same words the first few.

    Args:
        path: of the dataset; files below it are named from there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], int] = {}
        self.all: list[Problem] = []

    def add(self, problem: Problem) -> None:
        self.all.append(problem)
        kind = type(problem).__name__, problem.problem
        self._found[kind] = self._found.get(kind, 0) + 1
        if self._found[kind] <= ALIKE:
            console.print(f"[red]{kind[0]}[/red] {escape(self._words(problem))}")

    def conclude(self, *, complete: bool) -> None:
        """How many there are.

        Args:
            complete: everything was read.
        """
        for (_, words), times in self._found.items():
            if times > ALIKE:
                console.print(f"and {times - ALIKE} more: {words} (--json names all)", markup=False)
        found = count(len(self.all), "problem") if self.all else "no problems"
        console.print(f"{found} found" + ("" if complete else " so far: --check reads everything"))

    def _words(self, problem: Problem) -> str:
        if isinstance(problem, Inconsistency) or problem.file is None:
            return str(problem)
        file = Path(problem.file)
        if file == self._path or not file.is_relative_to(self._path):
            return str(problem)
        within = file.relative_to(self._path)
        return str(
            type(problem)(
                problem.problem, file=within, episode=problem.episode, stream=problem.stream
            )
        )


def _row(name: str, figures: Figures | None, declared: Mapping[str, Any]) -> tuple[str, ...]:
    if figures is None:
        shape = "×".join(map(str, declared.get("shape", ()))) or "number"
        hertz = declared.get("rate_hz")
        rate = "" if hertz is None else f"({hertz:g})"
        return name, shape, declared.get("dtype", ""), declared.get("clock", ""), rate, "", "", ""
    return (
        name + (PRIVILEGED if figures.privileged else ""),
        figures.shape,
        figures.dtype,
        figures.clock,
        _rate(figures),
        "" if figures.jitter_s is None else f"{1000 * figures.jitter_s:.3g} ms",
        _gaps(figures),
        _values(figures),
    )


def _rate(figures: Figures) -> str:
    true, nominal = figures.rate_hz, figures.nominal_hz
    if true is None:
        return "" if nominal is None else f"({nominal:g})"
    if nominal is None:
        return f"{true:.4g} Hz (none)"
    near = abs(true - nominal) <= AS_NOMINAL * nominal
    return f"{true:.4g} Hz" + ("" if near else f" ({nominal:g})")


def _gaps(figures: Figures) -> str:
    if figures.gaps is None or figures.longest_s is None:
        return ""
    return f"{figures.gaps}, {1000 * figures.longest_s:.3g} ms" if figures.gaps else "0"


def _values(figures: Figures) -> str:
    if figures.low is None or figures.high is None or figures.mean is None:
        return ""
    unit = f" {figures.unit}" if figures.unit else ""
    return f"{figures.low:.3g} to {figures.high:.3g}{unit}, mean {figures.mean:.3g}"


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; where they do not fit, the first gets a line of its own, then the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    whole = sum(widths) + 2 * (len(widths) - 1)
    ends = [len(widths)] if whole <= console.width else [1, len(widths)]
    if whole - widths[0] + 2 > console.width:
        ends.insert(1, len(widths) - 1)
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        for first, last in pairwise([0, *ends]):
            line = "    " * (first > 0) + "  ".join(cells[first:last]).rstrip()
            if line.strip():
                console.print(line, style=None if number else "bold", markup=False)


def _without(row: Sequence[str], left_out: Sequence[bool]) -> list[str]:
    return [cell for cell, out in zip(row, left_out, strict=True) if not out]


def _brief(value: Any) -> str:
    """A value of a report in few words: structures by the names of their parts."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, dict):
        plain = all(not isinstance(part, dict | list) for part in value.values())
        return _some([f"{name} {part}" if plain else str(name) for name, part in value.items()])
    if isinstance(value, list):
        return _some([part if isinstance(part, str) else json.dumps(part) for part in value])
    return f"{value:,}" if isinstance(value, int) and value < 10**9 else str(value)


def _some(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - NAMED:,} more" if len(parts) > NAMED else ""
    return ", ".join(parts[:NAMED]) + more


def _origins(value: Any) -> list[str]:
    """Where times come from, wherever a report says so; each once."""
    found: list[str] = []
    for name, part in value.items():
        if name in ORIGINS and isinstance(part, str):
            found.append(CAPTURES.get(part, part))
        elif isinstance(part, dict):
            found += _origins(part)
    return list(dict.fromkeys(found))


def _wrapped(label: str, words: str) -> None:
    """Text after a label, its further lines below its first."""
    width = max(console.width, len(label) + 20)
    lines: Iterable[str] = textwrap.wrap(
        words,
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print("\n".join(lines), markup=False)


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
