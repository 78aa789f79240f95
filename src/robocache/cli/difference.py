"""`robocache runs diff A B`: how two runs differ, from their settings to what they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robocache.cli.content import Compared, KnownRun, compare_content, flat, known_run
from robocache.cli.progress import console
from robocache.runs import RunStore
from robocache.runs.drift import NOTHING, Difference, differences, environment_drift, shown

_WORDS = {"environment": "code and machine"}


def diff_runs(a: str, b: str) -> dict[str, Any]:
    """Print how two runs differ; the same as plain data.

    Args:
        a, b: names of runs, or paths of manifests or run folders.

    Raises:
        ConfigError: there is no such run.
    """
    store = RunStore()
    was, now = known_run(store, a), known_run(store, b)
    old, new = was.manifest, now.manifest
    console.print(f"A  {_title(was)}\nB  {_title(now)}", markup=False)
    found = {"inputs": _inputs(old, new), "environment": environment_drift(old, new)}
    content = None
    if old["verb"] == new["verb"]:
        found = {"settings": list(differences(old["config"], new["config"])), **found}
        content = compare_content(was, now)
    for title, some in found.items():
        count = f"{len(some)} difference{'s' if len(some) > 1 else ''}" if some else "the same"
        console.print(f"{_WORDS.get(title, title)}: {count}")
        print_columns([(one.place, shown(one.was), shown(one.now)) for one in some])
    figures = [dict(flat(side.get("metrics") or {})) for side in (old, new)]
    console.print("figures:" if any(figures) else "figures: none")
    print_columns(_side_by_side(*figures))
    console.print(_content_line(content), markup=False)
    first = content.difference if content else None
    return {
        "runs": [was.name, now.name],
        **{title: [one.to_json() for one in some] for title, some in found.items()},
        "figures": figures,
        "content": first.to_json() if first else None,
        "compared": dict(content.counts) if content else {},
    }


def _inputs(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    names = ("parents", "datasets", "seeds")
    return [one for name in names for one in differences(was[name], now[name], name)]


def print_columns(rows: Sequence[tuple[str, str, str]]) -> None:
    """A line for each row, its cells below each other."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for place, was, now in rows:
        line = f"  {place:{widths[0]}}  {was:{widths[1]}}  {now}"
        console.print(line.rstrip(), markup=False)


def _side_by_side(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The main figures, and of the detailed ones those that differ."""
    rows = [(n, was.get(n, NOTHING), now.get(n, NOTHING)) for n in dict.fromkeys([*was, *now])]
    return [
        (name, shown(old), shown(new))
        for name, old, new in rows
        if old != new or "." not in name or name == "overall.rate"
    ]


def _title(run: KnownRun) -> str:
    status, started = run.manifest.get("status"), run.manifest["started"]
    return f"{run.name}: {run.manifest['verb']}, {status}, started {started[:19]}"


def _content_line(content: Compared | None) -> str:
    if content is None:
        return "settings and content of two different verbs are not compared"
    if content.difference is None:
        return f"content: no difference ({content})"
    one = content.difference
    return f"content: first difference at {one.place}: A {shown(one.was)}, B {shown(one.now)}"
