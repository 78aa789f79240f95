"""`robocache runs ls | show`: what was run, and from what."""

from __future__ import annotations

import json

from rich.table import Column, Table

from robocache.cli.progress import console
from robocache.runs import Registry, RunStore, read_manifest


def list_runs(verb: str | None, status: str | None) -> None:
    """A line for each run, oldest first, and what holds each slot."""
    store = RunStore()
    names = (Column(name, no_wrap=True) for name in ("run", "verb", "status"))
    table = Table(*names, "started", "figures")
    for record in store.runs(verb=verb, status=status):
        table.add_row(
            record.id, record.verb, record.status, record.started[:19], _figures(record.metrics)
        )
    console.print(table, soft_wrap=False)
    registry = Registry(store.engine)
    for slot in registry.slots():
        holder = registry.holder(slot)
        assert holder is not None
        console.print(f"slot {slot}: version {holder.version}, checkpoint {holder.checkpoint[:12]}")


def show_run(run_id: str) -> None:
    """The manifest of a run."""
    record = RunStore().get(run_id)
    print(json.dumps(read_manifest(record.folder), indent=1, default=str))  # noqa: T201


def _figures(metrics: object) -> str:
    if not isinstance(metrics, dict):
        return ""
    flat = {k: v for k, v in metrics.items() if isinstance(v, int | float | str)}
    overall = metrics.get("overall")
    if isinstance(overall, dict):
        flat = {"success": round(overall["rate"], 3)}
    return ", ".join(f"{name} {_short(value)}" for name, value in flat.items())


def _short(value: float | str) -> str:
    return value[:12] if isinstance(value, str) else f"{value:g}"
