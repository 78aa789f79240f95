"""`robocache bench compare`: what became faster or slower between two results or revisions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robocache.cli.bench_results import (
    BenchResult,
    hardware_difference,
    read_results,
    require_same_settings,
)
from robocache.cli.progress import console
from robocache.cli.revisions import (
    SCRIPTS,
    checked_out,
    chosen_scripts,
    is_checkout,
    measure_in_turns,
    medians,
)
from robocache.core.errors import ConfigError, unknown_name
from robocache.evaluation.timing import (
    CONFIDENCE,
    PAIRS_AT_LEAST,
    Change,
    TimeRatio,
    paired_ratio,
    unpaired_ratio,
)

MINIMAL_EFFECT = 0.02
APART = (
    "The two were measured in sessions of their own, which nothing can interleave any more: what "
    "else differed between them is not in the intervals. To be sure, compare the revisions."
)
RATIOS_ONLY = (
    "Seconds are therefore not compared, only ratios to a peer that took turns in the same rounds."
)


@dataclass(frozen=True)
class Figure:
    """One figure on both sides.

    Attributes:
        name: `benchmark: side` in seconds, or `benchmark: side / peer`, a ratio within rounds.
        old, new: its value of each round (n,), (m,).
        ratio: new over old.
        verdict: faster, slower or noise.
    """

    name: str
    old: list[float]
    new: list[float]
    ratio: TimeRatio
    verdict: Change

    @property
    def unit(self) -> str:
        return "" if " / " in self.name else " s"


def compare(
    old: str,
    new: str,
    names: Sequence[str],
    rounds: int,
    *,
    minimal_effect: float = MINIMAL_EFFECT,
) -> dict[str, Any]:
    """Say of every figure whether it is faster, slower or noise, and print it.

    Slower means that the whole 95 % interval of new over old lies above 1 + `minimal_effect`.
    Each figure is judged for itself.

    Args:
        old, new: two result files or folders of them; or two revisions or checkouts, whose
            benchmarks are then run in turns, both by the scripts of `new`.
        names: benchmarks; none: all. With revisions a name may carry options of the script, as
            in "env_steps --episodes 1".
        rounds: processes per side; nothing to two results.

    Returns:
        Plain data; `slower` and `faster` name figures.

    Raises:
        ConfigError: what was given cannot be compared.
        CorruptFileError: a file is not a result.
    """
    kinds = {_is_result(old), _is_result(new)}
    if len(kinds) == 2:
        raise ConfigError(
            f"one of {old!r} and {new!r} is a result, the other a revision: give two of a kind; "
            f"`make bench` writes results"
        )
    if kinds == {True}:
        figures, notes = _compare_results(Path(old), Path(new), names, minimal_effect)
    else:
        figures, notes = _compare_revisions(old, new, names, rounds, minimal_effect)
    _print(figures, notes, minimal_effect)
    return {
        "old": old,
        "new": new,
        "interleaved": kinds == {False},
        "confidence": CONFIDENCE,
        "minimal_effect": minimal_effect,
        "figures": [asdict(figure) for figure in figures],
        "slower": [figure.name for figure in figures if figure.verdict == "slower"],
        "faster": [figure.name for figure in figures if figure.verdict == "faster"],
        "notes": notes,
    }


def _is_result(text: str) -> bool:
    path = Path(text)
    if path.is_dir():
        return not is_checkout(path) and any(path.glob("*.json"))
    return path.is_file() or path.suffix == ".json"


def _compare_results(
    old: Path, new: Path, names: Sequence[str], minimal_effect: float
) -> tuple[list[Figure], list[str]]:
    before, after = read_results(old), read_results(new)
    common = [name for name in after if name in before]
    if not common:
        raise ConfigError(
            f"{old} has {', '.join(before)}, {new} has {', '.join(after)}: no benchmark is in both"
        )
    for name in names:
        if name not in common:
            raise unknown_name("benchmark in both results", name, common)
    alone = [name for name in {**before, **after} if name not in common]
    notes = [APART, *(f"{name} is in one of them only." for name in alone)]
    figures = []
    for name in names or common:
        values, remarks = _comparable(before[name], after[name])
        notes += [remark for remark in remarks if remark not in notes]
        figures += [
            _figure(f"{name}: {figure}", *pair, unpaired_ratio(*pair), minimal_effect)
            for figure, pair in values.items()
        ]
    if not figures:
        raise ConfigError(f"nothing can be compared. {' '.join(notes[1:])}")
    return figures, notes


def _comparable(
    old: BenchResult, new: BenchResult
) -> tuple[dict[str, tuple[list[float], list[float]]], list[str]]:
    """Figures that two results have in common: seconds only of the same, quiet hardware."""
    require_same_settings(old, new)
    before, after = old.ratios(), new.ratios()
    notes = _drift(old, new)
    difference = hardware_difference(old, new)
    if difference is not None:
        notes.append(f"The machines differ: {difference}.")
    if difference is None and not old.busy and not new.busy:
        before, after = {**old.times(), **before}, {**new.times(), **after}
    else:
        notes.append(RATIOS_ONLY)
    return {name: (before[name], after[name]) for name in after if name in before}, notes


def _drift(old: BenchResult, new: BenchResult) -> list[str]:
    """Sentences on what else could explain a difference."""
    changed = [
        f"{name} {old.software.get(name, 'absent')} -> {new.software.get(name, 'absent')}"
        for name in sorted({*old.software, *new.software})
        if old.software.get(name) != new.software.get(name)
    ]
    notes = [f"Other versions: {', '.join(changed)}."] if changed else []
    return notes + [
        f"The machine was busy when {result.benchmark} ({which}) was measured: load {result.load}."
        for which, result in (("old", old), ("new", new))
        if result.busy
    ]


def _compare_revisions(
    old: str, new: str, names: Sequence[str], rounds: int, minimal_effect: float
) -> tuple[list[Figure], list[str]]:
    if rounds < PAIRS_AT_LEAST:
        raise ConfigError(f"rounds must be at least {PAIRS_AT_LEAST} for a 95 % interval")
    figures: list[Figure] = []
    notes: list[str] = []
    with ExitStack() as stack:
        sides = {
            side: stack.enter_context(checked_out(text))
            for side, text in (("old", old), ("new", new))
        }
        for script, options in chosen_scripts(sides["new"], names).items():
            path = sides["new"] / SCRIPTS / f"{script}.py"
            results = measure_in_turns(sides, path, options, rounds)
            before, after = medians(results["old"]), medians(results["new"])
            figures += [
                _figure(
                    f"{script}: {name}",
                    before[name],
                    after[name],
                    paired_ratio(before[name], after[name]),
                    minimal_effect,
                )
                for name in after
            ]
            notes += [n for n in _drift(results["old"][-1], results["new"][-1]) if n not in notes]
    return figures, notes


def _figure(
    name: str, old: list[float], new: list[float], ratio: TimeRatio, minimal_effect: float
) -> Figure:
    return Figure(name, old, new, ratio, ratio.change(minimal_effect))


def _print(figures: Sequence[Figure], notes: Sequence[str], minimal_effect: float) -> None:
    width = max(len(figure.name) for figure in figures)
    console.print(f"{'':{width}}  {'old':>11}  {'new':>11}  new / old [95 % interval]  ")
    for figure in figures:
        old, new = (
            f"{statistics.median(side):.4g}{figure.unit}" for side in (figure.old, figure.new)
        )
        line = f"{figure.name:{width}}  {old:>11}  {new:>11}  {figure.ratio!s:25}  {figure.verdict}"
        console.print(line, markup=False)
    console.print(
        f"faster or slower: the whole interval is beyond 1 ± {minimal_effect:g}; else noise"
    )
    for note in notes:
        console.print(note, markup=False)
