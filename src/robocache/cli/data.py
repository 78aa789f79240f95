"""`robocache data inspect`: what a dataset holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from robocache.cli.datasets import recorded, recorded_episodes
from robocache.cli.output import console
from robocache.core.errors import DataError
from robocache.datasets import EpisodeStore, open_dataset
from robocache.rollouts import read_rows
from robocache.runs import Inconsistency, RunStore, check_run


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
    report = dataset.report()
    _print_report(report)
    for problem in problems:
        console.print(f"[red]{type(problem).__name__}[/red] {escape(str(problem))}")
    found = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    console.print(found if problems else "no problems found")
    listed = [_plain(problem) for problem in problems]
    return {**json.loads(json.dumps(report, default=str)), "problems": listed}


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
        if name != "streams":
            console.print(f"{name}: {json.dumps(value, default=str)}", markup=False)
    if not isinstance(streams, dict):
        return
    console.print(f"  {'stream':34} {'shape':15} {'dtype':8} {'rate':8} {'clock':9}")
    for name, spec in streams.items():
        rate = "once" if spec.get("rate_hz") is None else f"{spec['rate_hz']:g} Hz"
        shape = str(tuple(spec.get("shape", ()))).replace(" ", "")
        kind = "privileged" if spec.get("privileged") else ""
        console.print(
            f"  {name:34} {shape:15} {spec.get('dtype', ''):8} {rate:8} "
            f"{spec.get('clock', ''):9} {kind}".rstrip()
        )
