"""`robocache data inspect`: what a dataset holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape

from robocache.cli.datasets import EPISODES, recorded
from robocache.cli.progress import console
from robocache.datasets import open_dataset
from robocache.runs import RunStore


def inspect(text: str, as_json: bool) -> int:
    """Print the report and all problems; the number of problems."""
    run = recorded(RunStore(), text)
    folder = Path(text) if run is None else run.folder / EPISODES
    dataset = open_dataset(folder)
    problems = list(dataset.problems())
    report = dataset.report()
    if as_json:
        listed = [
            {
                "file": problem.file,
                "episode": problem.episode,
                "stream": problem.stream,
                "kind": type(problem).__name__,
                "problem": problem.problem,
            }
            for problem in problems
        ]
        print(json.dumps({**report, "problems": listed}, default=str))  # noqa: T201
        return len(problems)
    _print_report(report)
    for problem in problems:
        console.print(f"[red]{type(problem).__name__}[/red] {escape(str(problem))}")
    console.print(f"{len(problems)} problems" if problems else "no problems found")
    return len(problems)


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
