"""`robocache runs`: what was run, from what and what for, and whether it is still sound."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.filesize import decimal
from rich.markup import escape
from rich.tree import Tree

from robocache.cli.output import console, in_json
from robocache.cli.progress import progress
from robocache.core.errors import ConfigError
from robocache.runs import (
    Node,
    Registry,
    RunRecord,
    RunStore,
    ancestry,
    check_run,
    check_store,
    descent,
    read_manifest,
    upgraded,
    verify_checkpoint,
)

STATUSES = ("running", "complete", "interrupted", "failed")


def list_runs(filters: Mapping[str, str | None], limit: int | None) -> dict[str, Any]:
    """A line for each run, the newest last, and what holds each slot; or, in JSON, their fields.

    Args:
        filters: verb, status, tag and name, as `RunStore.runs` takes them.
        limit: only the newest so many; None: all.
    """
    if filters.get("status") not in (None, *STATUSES):
        raise ConfigError(f"status must be {', '.join(STATUSES)}, got {filters['status']!r}")
    store = RunStore()
    shown = store.runs(**filters, newest=limit)
    more = 0 if limit is None else store.count(**filters) - len(shown)
    holders = slot_holders(Registry(store.engine))
    if not in_json():
        _print_runs(shown, more, holders)
        return {}
    return {"runs": [_listed(record) for record in shown], "more": more, "slots": holders}


def slot_holders(registry: Registry) -> dict[str, Any]:
    """Slot -> version and checkpoint of its holder; None where it is empty."""
    moves = {slot: registry.holder(slot) for slot in registry.slots()}
    return {
        slot: None if move is None else {"version": move.version, "checkpoint": move.checkpoint}
        for slot, move in moves.items()
    }


def _print_runs(shown: Sequence[RunRecord], more: int, holders: Mapping[str, Any]) -> None:
    heads = ("run", "verb", "status", "started", "tags", "figures")
    rows = [heads, *(_row(record) for record in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    console.out("\n".join(lines), highlight=False)  # a rich table of thousands takes seconds
    if more:
        console.print(f"{more:,} older runs are not shown: --all, or --limit {len(shown) + more}")
    for slot, holder in holders.items():
        held = (
            "empty"
            if holder is None
            else f"version {holder['version']}, checkpoint {holder['checkpoint'][:12]}"
        )
        console.print(f"slot {slot}: {held}")


def _row(record: RunRecord) -> tuple[str, ...]:
    labels = " ".join((*record.tags, *(["(note)"] if record.note else [])))
    started = record.started[:19].replace("T", " ")
    return record.id, record.verb, record.status, started, labels, figures(record.metrics)


def _listed(record: RunRecord) -> dict[str, Any]:
    names = ("id", "verb", "status", "started", "ended", "tags", "note", "folder", "metrics")
    listed = {name: getattr(record, name) for name in names}
    return {"run": listed.pop("id"), **listed}


def show_run(run_id: str) -> dict[str, Any]:
    """What a run was, for people; its manifest, with what the store knows besides."""
    store = RunStore()
    record = store.get(run_id)
    written = read_manifest(record.folder)
    manifest = upgraded(written)
    moves = [
        f"{slot} version {move.version}"
        for slot in Registry(store.engine).slots()
        for move in Registry(store.engine).history(slot)
        if move.checkpoint in (record.metrics.get("checkpoint"), record.config.get("policy"))
    ]
    for name, text in _described(record, manifest, moves):
        if text:
            console.print(f"{name:9} {text}", markup=False)
    known = {name: getattr(record, name) for name in ("status", "tags", "note", "folder", "error")}
    return {"run": record.id, **known, "manifest": written}


def _described(
    record: RunRecord, manifest: Mapping[str, Any], moves: Sequence[str]
) -> list[tuple[str, str]]:
    """Headings and texts of what is worth knowing about a run."""
    artifacts = manifest["artifacts"].values()
    size = decimal(sum(artifact["bytes"] for artifact in artifacts))
    program, *arguments = manifest["command"]
    gone = f", {len(record.removed)} removed on purpose" if record.removed else ""
    datasets = record.inputs["datasets"].items()
    return [
        ("run", f"{record.id}: {record.verb}, {record.status}"),
        ("error", record.error or ""),
        ("when", f"{record.started[:19].replace('T', ' ')} UTC{_took(record, manifest)}"),
        ("command", shlex.join([Path(program).name, *arguments])),
        ("data", ", ".join(f"{name} ({fingerprint[:12]})" for name, fingerprint in datasets)),
        ("parents", ", ".join(parent[:12] for parent in record.inputs["parents"])),
        ("seeds", ", ".join(map(str, record.inputs["seeds"]))),
        ("figures", figures(record.metrics)),
        ("slots", ", ".join(moves)),
        ("tags", " ".join(record.tags)),
        ("note", record.note or ""),
        ("files", f"{len(artifacts)} ({size}{gone}) in {record.folder}"),
        ("machine", _machine(manifest)),
        ("code", _code(manifest)),
    ]


def _took(record: RunRecord, manifest: Mapping[str, Any]) -> str:
    used = manifest["resources"]
    if used is not None:
        peak = max(used["peak_memory_bytes"].values()) / 1024**2
        return (
            f", took {used['wall_s']:,.1f} s ({used['cpu_s']:,.1f} s of processor, at most "
            f"{peak:,.0f} MiB a process)"
        )
    if record.ended is None:
        return ""
    seconds = datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)
    return f", took {seconds.total_seconds():,.1f} s"


def _machine(manifest: Mapping[str, Any]) -> str:
    cpu = manifest["cpu"]
    cards = "".join(f", {card}" for card in manifest.get("gpus", []))
    memory = manifest["memory_bytes"] / 1024**3
    return (
        f"{manifest['host']}: {cpu['model']}, {cpu['usable']} cores, {memory:.0f} GiB{cards}; "
        f"{manifest['platform']}"
    )


def _code(manifest: Mapping[str, Any]) -> str:
    packages = manifest["packages"]
    python = f"robocache {manifest['robocache']}, Python {manifest['python'].split()[0]}"
    torch = f", torch {packages['torch']}" if "torch" in packages else ""
    git = manifest["git"]
    if git is None:
        return f"{python}{torch}"
    changed = " with changes that are in the manifest" if git["diff_sha256"] else ""
    return f"{python}{torch}, commit {git['commit'][:12]}{changed}"


def tag_run(run_id: str, add: Sequence[str], remove: Sequence[str]) -> dict[str, Any]:
    """Put tags on a run, take others off, and say which it has."""
    store = RunStore()
    store.tag(run_id, [tag.removeprefix("+") for tag in add], remove)
    tags = store.get(run_id).tags
    console.print(f"{run_id}: {' '.join(tags) or 'no tags'}", markup=False)
    return {"run": run_id, "tags": tags}


def note_run(run_id: str, text: str) -> dict[str, Any]:
    """Write a note on a run."""
    RunStore().note(run_id, text)
    console.print(f"{run_id}: {text or 'no note'}", markup=False)
    return {"run": run_id, "note": text or None}


def show_lineage(text: str) -> dict[str, Any]:
    """Two trees: what something was made from, and what was made from it."""
    store = RunStore()
    kind, identity = _target(store, text)
    up, down = ancestry(store.engine, kind, identity), descent(store.engine, kind, identity)
    console.print(_tree(up, Tree(f"{escape(up.text)}, made from")))
    console.print(_tree(down, Tree("what was made from it")))
    return {"made_from": asdict(up), "made_from_it": asdict(down)}


def _target(store: RunStore, text: str) -> tuple[str, str]:
    """Kind and identity of what `text` names."""
    if text.startswith("slot:"):
        holder = Registry(store.engine).holder(text.removeprefix("slot:"))
        if holder is not None:
            return "checkpoint", holder.checkpoint
    if store.runs(run_id=text):
        return "run", text
    return "checkpoint", verify_checkpoint(store.find_checkpoint(text))


def _tree(node: Node, drawn: Tree) -> Tree:
    for link in node.links:
        _tree(link, drawn.add(escape(link.text)))
    return drawn


def check(run_id: str | None) -> list[dict[str, str]]:
    """Print every inconsistency of a run, or of the whole store."""
    from robocache.rollouts import read_rows

    store = RunStore()
    with progress("check", "runs") as say:
        if run_id is None:
            found = list(check_store(store.engine, read_rows, say))
        else:
            found = list(check_run(store.engine, store.get(run_id), read_rows))
    for problem in found:
        console.print(f"[red]PROBLEM[/red] {escape(str(problem))}")
    console.print(f"{len(found)} problems" if found else "everything is as it was recorded")
    return [asdict(problem) for problem in found]


def figures(metrics: Mapping[str, Any]) -> str:
    """The figures of a run in a few words."""
    flat = {name: value for name, value in metrics.items() if isinstance(value, int | float | str)}
    overall = metrics.get("overall")
    if isinstance(overall, dict):
        flat = {"success": round(overall["rate"], 3)}
    return ", ".join(f"{name} {_short(value)}" for name, value in flat.items())


def _short(value: float | str) -> str:
    return value[:12] if isinstance(value, str) else f"{value:g}"
