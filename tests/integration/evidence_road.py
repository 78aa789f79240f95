"""The whole road in five commands, small, and what came of it without times and random names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiny
from robocache.runs import (
    Ledger,
    Registry,
    RunStore,
    check_store,
    list_checkpoints,
    read_metrics,
    verify_checkpoint,
)

COLLECT = (*tiny.COLLECT[:-2], "episodes=60", "batch=5", "workers=0", "--name=demos")
TRAIN = (
    *tiny.TRAIN,
    "trainer.steps=150",
    "trainer.checkpoint_every=10",
    "trainer.log_every=5",
    "--name=policy",
)
DECLARE = ("slots", "declare", "arm", tiny.TASKS, "episodes=60", "floor=0.05")
EVAL = ("eval", "policy", "--slot", "arm", "workers=0", "batch=5", "--name=judged")
PROMOTE = ("promote", "arm", "policy")
VERBS: dict[str, Sequence[str]] = {
    "collect": COLLECT,
    "train": TRAIN,
    "declare": DECLARE,
    "eval": EVAL,
    "promote": PROMOTE,
}


def came_of_it(home: Path) -> dict[str, Any]:
    """Contents, weights, outcomes and the slot's holder; nothing may be left over or lost."""
    os.environ["ROBOCACHE_HOME"] = str(home)
    store = RunStore()
    leftover = [path for path in home.rglob("*") if ".tmp-" in path.name]
    assert not leftover, leftover
    for run_id in ("demos", "judged"):
        if any(record.id == run_id for record in store.runs()):
            ledger = Ledger(store.engine, run_id)
            shards = {path.name for path in (store.get(run_id).folder / "episodes").iterdir()}
            assert shards == ledger.shards(), "a shard that no row names, or a row without one"
    assert not list(check_store(store.engine))
    registry = Registry(store.engine)
    return {
        "runs": {
            record.id: (record.status, record.metrics, record.ledger) for record in store.runs()
        },
        "weights": {
            step: (verify_checkpoint(path), (path / "SHA256").read_text())
            for record in store.runs(verb="train")
            for step, path in list_checkpoints(record.folder).items()
        },
        "losses": [
            {name: value for name, value in line.items() if name != "samples_per_s"}
            for record in store.runs(verb="train")
            for line in read_metrics(record.folder / "metrics.jsonl")
        ],
        "moves": [
            (move.slot, move.version, move.kind, move.checkpoint, move.attempts)
            for slot in registry.slots()
            for move in registry.history(slot)
        ],
        "rules": [len(registry.rules(slot)) for slot in registry.slots()],
    }
