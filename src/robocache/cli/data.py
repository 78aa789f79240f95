"""`robocache data inspect`: what a dataset holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from robocache.cli.datasets import recorded, recorded_episodes
from robocache.cli.output import console
from robocache.core.errors import DataError
from robocache.datasets import EpisodeStore, Reader, open_dataset
from robocache.evaluation.episode_plot import Figures, stream_figures
from robocache.rollouts import read_rows
from robocache.runs import Inconsistency, RunStore, check_run

SAMPLED = 20
"""Episodes whose values are looked at."""
INSTRUCTIONS = 5


def inspect(text: str) -> dict[str, Any]:
    """Print the report and all problems; both as plain data.

    Of a run they include whatever is no longer as it was recorded.
    """
    store = RunStore()
    record = recorded(store, text)
    problems: list[DataError | Inconsistency] = []
    if record is None:
        dataset = open_dataset(Path(text))
    else:
        dataset = EpisodeStore(recorded_episodes(record))
        problems += check_run(store.engine, record, read_rows)
    problems += dataset.problems()
    report = {**dataset.report(), "sampled": sample(dataset)}
    _print_report(report)
    for problem in problems:
        console.print(f"[red]{type(problem).__name__}[/red] {escape(str(problem))}")
    found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    console.print(found if problems else "no problems found")
    listed = [_plain(problem) for problem in problems]
    return {**json.loads(json.dumps(report, default=str)), "problems": listed}


def sample(dataset: Reader) -> dict[str, Any]:
    """What the first episodes hold, in numbers and words; frames are not decoded.

    Returns:
        How many `episodes` were read, some `instructions`, and of the `streams` the range and mean
        of all values, the mean rate, and the largest jitter (standard deviation of the time between
        samples) of an episode. Episodes that cannot be read are among the problems.
    """
    instructions: list[str] = []
    found: dict[str, list[Figures]] = {}
    keys = dataset.keys()[:SAMPLED]
    for key in keys:
        try:
            episode = dataset[key]
            figures = [stream_figures(name, s) for name, s in episode.streams.items()]
        except DataError:
            continue
        for one in figures:
            found.setdefault(one.name, []).append(one)
        if episode.instruction not in instructions:
            instructions.append(episode.instruction)
    return {
        "episodes": len(keys),
        "instructions": [text for text in instructions if text][:INSTRUCTIONS],
        "streams": {name: _together(figures) for name, figures in sorted(found.items())},
    }


def _together(figures: list[Figures]) -> dict[str, float | None]:
    """One stream over several episodes."""
    total = sum(one.samples for one in figures if one.mean is not None)
    weighted = [one.mean * one.samples for one in figures if one.mean is not None]
    rates = [one.rate_hz for one in figures if one.rate_hz is not None]
    return {
        "low": min((one.low for one in figures if one.low is not None), default=None),
        "mean": sum(weighted) / total if total else None,
        "high": max((one.high for one in figures if one.high is not None), default=None),
        "rate_hz": sum(rates) / len(rates) if rates else None,
        "jitter_s": max((o.jitter_s for o in figures if o.jitter_s is not None), default=None),
    }


def _plain(problem: DataError | Inconsistency) -> dict[str, Any]:
    kind = type(problem).__name__
    if isinstance(problem, Inconsistency):
        return {**asdict(problem), "kind": kind}
    return {
        "file": problem.file,
        "episode": problem.episode,
        "stream": problem.stream,
        "kind": kind,
        "problem": problem.problem,
    }


def _print_report(report: dict[str, Any]) -> None:
    streams = report.get("streams", {})
    for name, value in report.items():
        if name not in ("streams", "sampled"):
            console.print(f"{name}: {json.dumps(value, default=str)}", markup=False)
    if not isinstance(streams, dict):
        return
    console.print(
        f"  {'stream':34} {'shape':15} {'dtype':8} {'rate':8} {'clock':9} "
        f"{'true rate, jitter':20} values"
    )
    sampled = report["sampled"]
    for name, spec in streams.items():
        rate = "once" if spec.get("rate_hz") is None else f"{spec['rate_hz']:g} Hz"
        shape = str(tuple(spec.get("shape", ()))).replace(" ", "")
        kind = "privileged" if spec.get("privileged") else ""
        measured = _measured(sampled["streams"].get(name, {}))
        console.print(
            f"  {name:34} {shape:15} {spec.get('dtype', ''):8} {rate:8} "
            f"{spec.get('clock', ''):9} {measured:50} {kind}".rstrip()
        )
    console.print(f"  true rates and values of the first {sampled['episodes']} episodes")
    for text in sampled["instructions"]:
        console.print(f"  “{text}”", markup=False)


def _measured(figures: Mapping[str, float | None]) -> str:
    """True rate and jitter, and the values from lowest to highest with their mean."""
    rate, jitter, low = (figures.get(name) for name in ("rate_hz", "jitter_s", "low"))
    clock = "" if rate is None or jitter is None else f"{rate:.4g} Hz, {1000 * jitter:.3g} ms"
    if low is None:
        return clock
    return f"{clock:20} {low:.3g} to {figures['high']:.3g}, mean {figures['mean']:.3g}"
