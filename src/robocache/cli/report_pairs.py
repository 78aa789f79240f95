"""Which evaluations of two policies can be compared: those made on the same episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from robocache.cli.report_run import manifest_of
from robocache.core.errors import ConfigError
from robocache.evaluation.checkpoints import checkpoint_name, verdicts_on
from robocache.evaluation.gate import GateConfig
from robocache.runs import RunRecord, RunStore
from robocache.runs.checkpoints import read_listing


def policy_hash(store: RunStore, text: str) -> str:
    """Hash of the policy that a run judged, or that `text` means.

    Raises:
        ConfigError: it is neither; or the evaluation is not complete.
    """
    for record in store.runs(run_id=text):
        if record.verb in ("eval", "open-loop"):
            if record.status != "complete":
                raise ConfigError(f"run {text!r} is {record.status}: run its command again first")
            return str(record.config["policy"])
    return read_listing(store.find_checkpoint(text)).sha256


def policy_name(store: RunStore, sha256: str, text: str) -> str:
    """RUN@STEP; a policy from outside by what it was called, else by its hash."""
    for record in store.runs(run_id=text):
        source = manifest_of(record).get("sources", {}).get("policy")
        if record.verb == "eval" and source:
            return str(source)
    return checkpoint_name(store.engine, sha256)


def matching_runs(
    store: RunStore, verb: str, texts: Sequence[str], hashes: Sequence[str]
) -> tuple[RunRecord, RunRecord] | None:
    """The newest complete runs of a verb in which both acted on the same; those named, if any.

    Rather under one rule of a slot, or both outside of any, than mixed.
    """
    records = store.runs(verb=verb, status="complete")
    named = [[r for r in records if r.id == text] for text in texts]
    ours, theirs = (
        chosen or [r for r in records if r.config.get("policy") == sha256]
        for chosen, sha256 in zip(named, hashes, strict=True)
    )
    pairs = [
        (first, second)
        for first in reversed(ours)
        for second in reversed(theirs)
        if _setting(first.config) == _setting(second.config)
    ]
    for first, second in pairs:
        if first.config.get("rule") == second.config.get("rule"):
            return first, second
    return pairs[0] if pairs else None


def _setting(config: Mapping[str, Any]) -> str:
    """All that an evaluation was made with except for the policy and who asked."""
    kept = {name: value for name, value in config.items() if name not in ("policy", "rule")}
    if "plan" in kept:
        kept["plan"] = {name: v for name, v in kept["plan"].items() if name != "actor"}
    return json.dumps(kept, sort_keys=True)


def recorded_gate(store: RunStore, runs: Sequence[str], hashes: Sequence[str]) -> GateConfig:
    """The rule of the last recorded verdict on these two evaluations, else the usual one."""
    ids = dict(zip(("candidate", "baseline"), runs, strict=True))
    for verdict in reversed(verdicts_on(store.engine, [hashes[0]])):
        judged = {role: used.get("run") for role, used in verdict.evidence.items()}
        if judged == ids and "config" in verdict.numbers:
            return GateConfig(**verdict.numbers["config"])
    return GateConfig()
