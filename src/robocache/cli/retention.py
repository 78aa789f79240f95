"""`robocache runs rm | gc`: what is to go, and with --yes its removal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from robocache.cli.configuration import load
from robocache.cli.progress import console
from robocache.core.errors import DataError, RunError
from robocache.runs import RunStore
from robocache.runs.removal import remove_runs, weigh_runs
from robocache.runs.retention import Garbage, Removal, RetentionPolicy, find_garbage


def remove(runs: list[str], yes: bool) -> list[str]:
    """Remove runs with all they hold; without `yes` only say what would go. Their ids.

    Raises:
        ConfigError: no such run.
        RunError: something that stays depends on one of them, or it is being executed; nothing
            is removed then.
    """
    engine = RunStore().engine
    weights = weigh_runs(engine, list(dict.fromkeys(runs)))
    for run_id, size in weights.items():
        console.print(f"run {run_id}: {in_bytes(size)}")
    if yes:
        remove_runs(engine, list(weights))
    _say_sum(sum(weights.values()), yes)
    return list(weights)


def collect_garbage(overrides: Sequence[str], yes: bool) -> dict[str, Any]:
    """Remove what the policy says; without `yes` only say what would go.

    Returns:
        `removed` (whether anything was touched), `items` (what, why, bytes), their `bytes`, and
        `kept` (what is old enough but stays, with the reason).
    """
    policy, _ = load("gc", RetentionPolicy, overrides)
    engine = RunStore().engine
    garbage = find_garbage(engine, policy)
    gone = garbage.removals
    if yes:
        gone = [removal for removal in garbage.removals if _carried_out(removal, garbage)]
    items = [{"what": one.what, "why": one.why, "bytes": one.bytes} for one in gone]
    _print_items(items)
    for text in garbage.kept:
        console.print(f"stays: {text}", markup=False)
    total = sum(one.bytes for one in gone)
    _say_sum(total, yes)
    return {"removed": yes, "items": items, "bytes": total, "kept": garbage.kept}


def _carried_out(removal: Removal, garbage: Garbage) -> bool:
    """Carry a removal out, unless somebody needs the thing by now."""
    try:
        removal.carry_out()
    except (RunError, DataError) as error:
        garbage.kept.append(f"{removal.what}: {error}")
        return False
    return True


def _print_items(items: Sequence[dict[str, Any]]) -> None:
    if not items:
        return
    table = Table("what", "why", Column("size", justify="right", no_wrap=True))
    for item in items:
        table.add_row(escape(item["what"]), escape(item["why"]), in_bytes(item["bytes"]))
    console.print(table, soft_wrap=False)


def _say_sum(total: int, yes: bool) -> None:
    if yes:
        console.print(f"removed: {in_bytes(total)}")
    else:
        console.print(f"{in_bytes(total)} would go; nothing was removed: add --yes")


def in_bytes(size: int) -> str:
    """In the largest unit that leaves a number above one."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
