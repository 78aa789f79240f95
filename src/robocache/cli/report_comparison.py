"""The page of two policies that were judged on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robocache.cli.datasets import require_sound
from robocache.cli.open_loop import read_result
from robocache.cli.progress import progress
from robocache.cli.report_pairs import (
    matching_runs,
    policy_hash,
    policy_name,
    recorded_gate,
)
from robocache.cli.report_run import (
    manifest_of,
    open_episodes,
    plan_of,
    training_curves,
)
from robocache.core.errors import ConfigError
from robocache.datasets import EpisodeStore
from robocache.evaluation import reasons
from robocache.evaluation.checkpoints import slot_moves, verdicts_on
from robocache.evaluation.closed_loop import paired_outcomes, summarise
from robocache.evaluation.films import Film, film_strips, instructive
from robocache.evaluation.gate import Verdict, judge
from robocache.evaluation.horizon import HorizonErrors, horizon_errors
from robocache.evaluation.pairs import pair_by_task
from robocache.evaluation.report import ReportData, TaskRow
from robocache.evaluation.timeline import stream_timeline
from robocache.runs import Ledger, LedgerRow, Registry, RunRecord, RunStore, ancestry, descent

LAYOUTS_DRAWN = 1
STRIPS_NOTE = "The same layouts under both policies, where possible ones on which the two differ."


@dataclass(frozen=True)
class Arm:
    """A policy and the run in which it was judged, with the rows of its episodes."""

    name: str
    sha256: str
    record: RunRecord
    rows: Sequence[LedgerRow]


def compare_policies(store: RunStore, candidate: str, baseline: str) -> ReportData:
    """The page of two policies, or of two evaluations.

    Raises:
        ConfigError: they are the same, or were not judged on the same episodes.
        IntegrityError: a run is not as it was recorded.
    """
    hashes = [policy_hash(store, text) for text in (candidate, baseline)]
    if hashes[0] == hashes[1]:
        raise ConfigError(f"{candidate} and {baseline} are the same policy {hashes[0][:12]}")
    judged = matching_runs(store, "eval", (candidate, baseline), hashes)
    recorded = matching_runs(store, "open-loop", (candidate, baseline), hashes)
    names = [
        policy_name(store, sha256, text) for sha256, text in zip(hashes, (candidate, baseline))
    ]
    if judged is None and recorded is None:
        raise ConfigError(
            f"{candidate} and {baseline} were not judged on the same episodes: run "
            f"robocache compare {candidate} {baseline} first, or eval both with the same settings"
        )
    if judged is None:
        return _open_loop_page(store, names, hashes, recorded or ())
    arms = [
        Arm(name, sha256, record, Ledger(store.engine, record.id).rows())
        for name, sha256, record in zip(names, hashes, judged, strict=True)
    ]
    verdict = judge(
        paired_outcomes(arms[0].rows),
        paired_outcomes(arms[1].rows),
        recorded_gate(store, [arm.record.id for arm in arms], hashes),
    )
    maker = store.maker(hashes[0])
    return comparison_page(
        store,
        arms[0],
        arms[1],
        verdict,
        title=f"{names[0]} against {names[1]}",
        trained=None if maker is None else maker.id,
        promotion=_holds(store, hashes[0]),
    )


def comparison_page(
    store: RunStore,
    candidate: Arm,
    baseline: Arm,
    verdict: Verdict,
    *,
    title: str,
    trained: str | None,
    promotion: str | None,
) -> ReportData:
    """All that is known of two policies judged on the same episodes.

    Args:
        trained: the run whose training curves are shown; None: none.
        promotion: what was done about the verdict, in words.
    """
    arms = (candidate, baseline)
    for arm in arms:
        require_sound(store, arm.record)
    training = None if trained is None else store.get(trained)
    ours, theirs = (summarise(arm.rows, verdict.config.confidence) for arm in arms)
    episodes = open_episodes(candidate.record)
    films = _films(candidate, baseline, episodes)
    with progress("draw", "tasks") as say:
        strips, note = film_strips(films, plan_of(candidate.record), STRIPS_NOTE, say)
    return ReportData(
        title=title,
        kind="comparison",
        policies=(candidate.name, baseline.name),
        verdict=verdict,
        headline=reasons.headline(verdict),
        reasons=_reasons(store, candidate, baseline, verdict),
        promotion=promotion,
        overall=[TaskRow("overall", ours.overall, theirs.overall)],
        tasks=[TaskRow(task, rate, theirs.tasks.get(task)) for task, rate in ours.tasks.items()],
        opposite=[
            TaskRow(task, rate, theirs.opposite.get(task)) for task, rate in ours.opposite.items()
        ],
        pairs=pair_by_task(candidate.rows, baseline.rows),
        strips=strips,
        strips_note=note,
        horizon=_horizon(store, arms),
        timeline=None if episodes is None else stream_timeline(episodes[0]),
        curves=[] if training is None else training_curves(training),
        trained="" if training is None else training.id,
        lineage=_lineage(store, [(arm.name, arm.sha256) for arm in arms]),
        identities=[
            entry
            for arm in arms
            for entry in (
                (f"policy {arm.name}", arm.sha256),
                (f"outcomes of {arm.record.id}", arm.record.ledger or ""),
            )
            if entry[1]
        ],
        manifests=[
            (record.id, manifest_of(record))
            for record in (*(arm.record for arm in arms), training)
            if record is not None
        ],
    )


def _films(candidate: Arm, baseline: Arm, ours: EpisodeStore | None) -> list[Film]:
    """Instructive layouts under both policies; `ours` are the episodes of the candidate."""
    theirs = open_episodes(baseline.record)
    if ours is None or theirs is None:
        return []
    other = {(row.task, row.index): row for row in baseline.rows}
    return [
        film
        for row in instructive(candidate.rows, baseline.rows, LAYOUTS_DRAWN)
        for film in (
            (candidate.name, ours, row),
            (baseline.name, theirs, other[row.task, row.index]),
        )
    ]


def _reasons(
    store: RunStore, candidate: Arm, baseline: Arm, verdict: Verdict
) -> list[reasons.Reason]:
    plan = plan_of(candidate.record)
    seen = verdicts_on(store.engine, [baseline.sha256])
    pair = [v for v in seen if (v.candidate, v.baseline) == (candidate.sha256, baseline.sha256)]
    rivals = {v.candidate for v in seen if v.baseline == baseline.sha256} - {candidate.sha256}
    runs = [(arm.record.id, arm.record.ledger) for arm in (candidate, baseline)]
    rules = {arm.record.config.get("rule") for arm in (candidate, baseline)}
    declared = _declared(store, rules.pop()) if len(rules) == 1 else None
    return [
        reasons.compared(
            [
                ("candidate", candidate.name, candidate.sha256),
                ("baseline", baseline.name, baseline.sha256),
            ]
        ),
        *([] if plan is None else [reasons.same_episodes(plan)]),
        reasons.not_luck(verdict),
        reasons.attempts(len(pair), len(rivals), declared),
        reasons.evidence(runs),
        reasons.LIMITS,
    ]


def _declared(store: RunStore, rule: str | None) -> str | None:
    """A slot's rule in words, by its hash."""
    registry = Registry(store.engine)
    for slot in registry.slots():
        for found in registry.rules(slot):
            if found.sha256 == rule:
                return f"version {found.version} of slot {slot}, on {found.created[:19]} UTC"
    return None


def _holds(store: RunStore, sha256: str) -> str | None:
    """What the registry says of a checkpoint, in words."""
    registry = Registry(store.engine)
    said = []
    for move in slot_moves(store, [sha256]):
        holder = registry.holder(move.slot)
        holds = holder is not None and holder.version == move.version
        verb = "Promoted" if move.kind == "promote" else "Rolled back"
        said.append(
            f"{verb} to slot {move.slot}, version {move.version}, by {move.who} on "
            f"{move.created[:10]}; {'it holds the slot' if holds else 'no longer there'}"
        )
    return ". ".join(said) or None


def _lineage(store: RunStore, policies: Sequence[tuple[str, str]]) -> list[tuple[str, Any]]:
    up = [
        (f"{name} was made from", ancestry(store.engine, "checkpoint", sha256))
        for name, sha256 in policies
    ]
    name, sha256 = policies[0]
    return [*up, (f"From {name} was made", descent(store.engine, "checkpoint", sha256))]


def _horizon(store: RunStore, arms: Sequence[Arm]) -> HorizonErrors | None:
    texts = (arms[0].record.id, arms[1].record.id)
    found = matching_runs(store, "open-loop", texts, [arm.sha256 for arm in arms])
    if found is None:
        return None
    for record in found:
        require_sound(store, record)
    return horizon_errors(read_result(found[0].folder), read_result(found[1].folder))


def _open_loop_page(
    store: RunStore, names: Sequence[str], hashes: Sequence[str], runs: Sequence[RunRecord]
) -> ReportData:
    for record in runs:
        require_sound(store, record)
    ours, theirs = (read_result(record.folder) for record in runs)
    errors = [result.overall()["policy"] for result in (ours, theirs)]
    return ReportData(
        title=f"{names[0]} against {names[1]} on recordings",
        kind="comparison",
        policies=(names[0], names[1]),
        summary=[
            f"Mean absolute error of the predicted actions: {errors[0]:.4g} for the candidate "
            f"{names[0]}, {errors[1]:.4g} for the baseline {names[1]}, on the same windows of "
            f"recorded episodes.",
            "Errors on recordings are no verdict: only episodes in which a policy acts say how "
            "often it succeeds.",
        ],
        horizon=horizon_errors(ours, theirs),
        lineage=_lineage(store, list(zip(names, hashes, strict=True))),
        identities=[(f"policy {name}", h) for name, h in zip(names, hashes, strict=True)],
        manifests=[(record.id, manifest_of(record)) for record in runs],
    )
