"""`robocache data inspect`: what a dataset holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from robocache.cli.datasets import EPISODES
from robocache.cli.progress import console
from robocache.datasets import open_dataset
from robocache.runs import RunStore


def inspect(text: str, as_json: bool) -> int:
    """Print the report and all problems; the number of problems."""
    folder = Path(text) if Path(text).is_dir() else RunStore().get(text).folder / EPISODES
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
        console.print(f"[red]{type(problem).__name__}[/red] {problem}", markup=True)
    console.print(f"{len(problems)} problems" if problems else "no problems found")
    return len(problems)


def _print_report(report: dict[str, Any]) -> None:
    streams = report.get("streams", {})
    for name, value in report.items():
        if name != "streams":
            console.print(f"{name}: {json.dumps(value, default=str)}")
    if not isinstance(streams, dict):
        return
    table = Table("stream", "shape", "dtype", "rate", "clock", "alignment", "privileged")
    for name, spec in streams.items():
        rate = spec.get("rate_hz")
        alignment = spec.get("alignment")
        method = alignment.get("method", "") if isinstance(alignment, dict) else alignment or ""
        table.add_row(
            name,
            str(tuple(spec.get("shape", ()))),
            str(spec.get("dtype", "")),
            "once" if rate is None else f"{rate:g} Hz",
            str(spec.get("clock", "")),
            str(method),
            "yes" if spec.get("privileged") else "",
        )
    console.print(table)
