"""A small piece of the road that can be run again after it was killed anywhere."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from robocache.runs import (
    Ledger,
    LedgerRow,
    Registry,
    RunStore,
    atomic_write,
    check_store,
    checkpoint_folder,
    commit_checkpoint,
    datasets_folder,
    latest_checkpoint,
    list_checkpoints,
    make_directory,
    read_metrics,
    sweep,
)

EPISODES = ("a", "b")
STEPS = 2


def collect(store: RunStore) -> Ledger:
    folder = datasets_folder() / "demo"
    make_directory(folder)
    ledger = Ledger(store.engine, "demo")
    sweep(ledger, folder)
    for key in sorted(set(EPISODES) - ledger.keys()):
        shard = f"{key}-{secrets.token_hex(4)}.parquet"
        atomic_write(folder / shard, key.encode())
        ledger.commit([LedgerRow(key, shard, hashlib.sha256(key.encode()).hexdigest())])
    return ledger


def train(store: RunStore) -> Path:
    run = store.begin("train", {"lr": 0.1}, name="demo")
    if not run.complete:
        last = latest_checkpoint(run.folder)
        done = int(last.name.removeprefix("step-")) if last else 0
        run.rewind_metrics(done)
        for step in range(done + 1, STEPS + 1):
            run.log_metrics(step, loss=1.0 / step)
            path = checkpoint_folder(run.folder, step)
            store.write_checkpoint(run, path, step, lambda folder, step=step: write(folder, step))
        run.finish({"loss": 1.0 / STEPS})
    return checkpoint_folder(run.folder, STEPS)


def write(folder: Path, step: int) -> None:
    (folder / "policy.safetensors").write_bytes(bytes([step]) * 1000)
    (folder / "training").mkdir()
    (folder / "training" / "state.json").write_text(str(step))


def promote(store: RunStore, candidate: Path) -> Registry:
    registry = Registry(store.engine)
    rule = registry.declare("production", {"floor": 0.5}, who="test")
    hashed = commit_checkpoint(lambda folder: write(folder, STEPS), candidate)
    if registry.holder("production") is None:
        floor = registry.add_verdict(
            hashed, "", "accepted", numbers={"rate": 0.9}, plan=rule.rule, rule=rule.sha256
        )
        registry.promote("production", candidate, floor, who="test")
    return registry


def road(home: Path, crash_at: str | None = None) -> dict[str, Any]:
    """Collect, train, promote; what came of it, without times and random names."""
    os.environ["ROBOCACHE_HOME"] = str(home)
    os.environ.pop("ROBOCACHE_CRASH_AT", None)
    if crash_at is not None:
        os.environ["ROBOCACHE_CRASH_AT"] = crash_at
    store = RunStore()
    ledger = collect(store)
    candidate = train(store)
    registry = promote(store, candidate)
    holder = registry.holder("production")
    record = store.get("demo")
    recorded = [path.name for path in list_checkpoints(record.folder).values()]
    assert holder is not None
    return {
        "fingerprint": ledger.fingerprint(),
        "run": (record.status, record.metrics, record.config_hash),
        "metrics": read_metrics(record.folder / "metrics.jsonl"),
        "checkpoints": recorded,
        "holder": (holder.checkpoint, holder.version, holder.attempts, holder.kind),
        "rules": [rule.version for rule in registry.rules("production")],
        "problems": [str(problem) for problem in check_store(store.engine)],
        "known": store.find_checkpoint(holder.checkpoint[:8]).name,
    }
