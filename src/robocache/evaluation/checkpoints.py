"""What became of checkpoints: where they were judged, the verdicts on them, the slots they held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, or_, select

from robocache.evaluation.statistics import Proportion
from robocache.runs import Promotion, Registry, RunRecord, RunStore, Verdict
from robocache.runs.database import reading
from robocache.runs.tables import checkpoints, verdicts


@dataclass(frozen=True)
class Judgement:
    """A complete closed-loop evaluation of a checkpoint: the run, and its success rate."""

    run: str
    success: Proportion


@dataclass(frozen=True)
class CheckpointFate:
    """A checkpoint, and what became of it.

    Attributes:
        name: RUN@STEP, or the first digits of its hash where its run is not known.
        sha256: identity hash.
        judgements: evaluations in simulation.
        verdicts: sentences.
        slots: sentences.
    """

    name: str
    sha256: str
    judgements: tuple[Judgement, ...] = ()
    verdicts: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()


def checkpoint_name(engine: Engine, sha256: str) -> str:
    """RUN@STEP of the run that made a checkpoint, or the first digits of its hash."""
    return _names(engine, [sha256]).get(sha256, sha256[:12])


def fates(store: RunStore, sha256s: Sequence[str]) -> tuple[CheckpointFate, ...]:
    """What became of these checkpoints, in their order."""
    judgements = _judgements(store.runs(verb="eval", status="complete"), sha256s)
    found = verdicts_on(store.engine, sha256s)
    pairs = {sha256 for verdict in found for sha256 in (verdict.candidate, verdict.baseline)}
    names = _names(store.engine, sorted(pairs | set(sha256s)))
    moves = slot_moves(store, sha256s)
    return tuple(
        CheckpointFate(
            name=names.get(sha256, sha256[:12]),
            sha256=sha256,
            judgements=tuple(judgements.get(sha256, ())),
            verdicts=tuple(
                f"{verdict.outcome} against {_against(names, verdict.baseline)}"
                for verdict in found
                if verdict.candidate == sha256
            ),
            slots=tuple(
                f"{move.slot} version {move.version} ({move.kind})"
                for move in moves
                if move.checkpoint == sha256
            ),
        )
        for sha256 in sha256s
    )


def verdicts_on(engine: Engine, sha256s: Collection[str]) -> list[Verdict]:
    """All verdicts in which one of these checkpoints was candidate or baseline, oldest first."""
    query = select(verdicts).where(
        or_(verdicts.c.candidate.in_(sha256s), verdicts.c.baseline.in_(sha256s))
    )
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(verdicts.c.id)).mappings()
        return [Verdict(**row) for row in rows]


def slot_moves(store: RunStore, sha256s: Collection[str]) -> list[Promotion]:
    """All moves of slots to one of these checkpoints, slot by slot."""
    registry = Registry(store.engine)
    return [
        move
        for slot in registry.slots()
        for move in registry.history(slot)
        if move.checkpoint in sha256s
    ]


def _judgements(
    records: Sequence[RunRecord], sha256s: Collection[str]
) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = {}
    for record in records:
        sha256, overall = record.config.get("policy"), record.metrics.get("overall")
        if sha256 in sha256s and overall is not None:
            rate = Proportion.wilson(overall["successes"], overall["trials"])
            found.setdefault(str(sha256), []).append(Judgement(record.id, rate))
    return found


def _names(engine: Engine, sha256s: Collection[str]) -> dict[str, str]:
    query = select(checkpoints.c.sha256, checkpoints.c.run_id, checkpoints.c.step).where(
        checkpoints.c.sha256.in_(sha256s), checkpoints.c.run_id.is_not(None)
    )
    with reading(engine) as connection:
        return {row.sha256: f"{row.run_id}@{row.step}" for row in connection.execute(query)}


def _against(names: dict[str, str], baseline: str) -> str:
    return names.get(baseline, baseline[:12]) if baseline else "the slot's floor"
