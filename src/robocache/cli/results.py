"""What verbs return, as the fields of the result that `--json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robocache.cli.slots import describe
from robocache.runs import (
    Ledger,
    Promotion,
    Registry,
    Run,
    RunStore,
    latest_checkpoint,
    read_manifest,
)

if TYPE_CHECKING:
    from robocache.cli.evaluate import Judged
    from robocache.evaluation.gate import Verdict
    from robocache.evaluation.promotion import Decision
    from robocache.evaluation.slot_rule import FloorVerdict


def run(made: Run) -> dict[str, Any]:
    """The run of a verb, as it is now."""
    record = RunStore().get(made.id)
    return {"run": record.id, "folder": record.folder, "status": record.status}


def skipped(made: Run) -> dict[str, Any]:
    """What was left out of the datasets that a run read; nothing where that was not asked for."""
    manifest = read_manifest(made.folder)
    return {"skipped": manifest["skipped"]} if "skipped" in manifest else {}


def collection(made: Run) -> dict[str, Any]:
    store = RunStore()
    tasks: dict[str, dict[str, int]] = {}
    for row in Ledger(store.engine, made.id).rows():
        counts = tasks.setdefault(row.task, {"episodes": 0, "solved": 0})
        counts["episodes"] += 1
        counts["solved"] += bool(row.success)
    return {**run(made), **store.get(made.id).metrics, "tasks": tasks}


def training(made: Run) -> dict[str, Any]:
    path = latest_checkpoint(made.folder)
    return {
        **run(made),
        **skipped(made),
        **RunStore().get(made.id).metrics,
        "checkpoint_folder": path,
    }


def judged(found: Judged) -> dict[str, Any]:
    """An evaluation: which checkpoint, and success per task with intervals."""
    fingerprint = Ledger(RunStore().engine, found.run.id).fingerprint()
    result = found.result().to_json()
    return {**run(found.run), "checkpoint": found.sha256, **result, "fingerprint": fingerprint}


def comparison(verdict: Verdict, candidate: Judged, baseline: Judged) -> dict[str, Any]:
    return {
        "verdict": _verdict(verdict),
        "candidate": judged(candidate),
        "baseline": judged(baseline),
    }


def decision(found: Decision) -> dict[str, Any]:
    """A verdict under the rule of a slot."""
    recorded = found.recorded
    return {
        "verdict": _verdict(found.verdict),
        "verdict_id": recorded.id,
        "candidate": recorded.candidate,
        "baseline": recorded.baseline or None,
        "rule": recorded.rule,
        "evidence": recorded.evidence,
    }


def move(made: Promotion) -> dict[str, Any]:
    """A move of a slot, with the sentence that describes it."""
    return {**asdict(made), "text": describe(made)}


def slots(only: str | None) -> dict[str, Any]:
    """Slot -> its rules and moves, oldest first, and its holder."""
    registry = Registry(RunStore().engine)
    return {
        slot: {
            "rules": [asdict(rule) for rule in registry.rules(slot)],
            "moves": [move(past) for past in registry.history(slot)],
            "holder": None if (held := registry.holder(slot)) is None else held.checkpoint,
        }
        for slot in (registry.slots() if only is None else [only])
    }


def _verdict(found: Verdict | FloorVerdict) -> dict[str, Any]:
    return {**found.to_json(), "text": found.explain()}
