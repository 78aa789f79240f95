"""Verdicts for a slot, on evidence made by hand and on evidence that was doctored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, func, select, update

from robocache import runs
from robocache.core import Episode, Outcome, Provenance, Stream, StreamSpec
from robocache.core.errors import ConfigError, IntegrityError, PromotionRefused
from robocache.datasets import write_shard
from robocache.datasets.shards import SUFFIX
from robocache.evaluation.gate import GateConfig
from robocache.evaluation.promotion import (
    Decision,
    decide,
    earlier_looks,
    rule_in_force,
)
from robocache.evaluation.slot_rule import FloorVerdict, SlotRule, judge_floor
from robocache.rollouts import RolloutPlan, read_rows
from robocache.runs import Ledger, LedgerRow, Registry, RunStore, commit_checkpoint
from robocache.runs.tables import episodes, rules, verdicts
from robocache.runs.tables import runs as run_rows

TRIALS = 40
PLAN = RolloutPlan(("point",), TRIALS, 7, "evaluate", "", "point 1")
GOOD, BETTER = [True] * 25 + [False] * 15, [True] * 36 + [False] * 4
EVERY_OTHER = [True, False] * 20


class World:
    """A slot with a rule, three checkpoints, and evidence made by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = RunStore()
        self.registry = Registry(self.store.engine)
        self.paths = {name: folder / name for name in "ABC"}
        self.sha256 = {
            name: commit_checkpoint(lambda to, name=name: (to / "p").write_text(name), path)
            for name, path in self.paths.items()
        }
        self.declare()

    def declare(self, plan: RolloutPlan = PLAN, floor: float = 0.4) -> None:
        rule = SlotRule(plan, GateConfig(), floor)
        self.registry.declare("arm", rule.to_json(), who="me")

    def judge(
        self,
        name: str,
        outcomes: Sequence[bool],
        run: str | None = None,
        **changes: Any,
    ) -> str:
        """A run with these outcomes, of the rule's plan unless that is changed; its id."""
        declared, rule = rule_in_force(self.store, "arm")
        plan = replace(rule.plan_for(self.sha256[name]), **changes)
        settings = {"policy": self.sha256[name], "rule": declared.sha256, "plan": plan.to_json()}
        with self.store.begin("eval", settings, name=run) as made:
            keep(self.store, made, plan, outcomes)
            made.finish({})
        return made.id

    def decide(self, name: str) -> Decision:
        return decide(self.store, "arm", self.sha256[name], self.require_sound)

    def promote(self, name: str) -> None:
        decision = self.decide(name)
        self.registry.promote("arm", self.paths[name], decision.recorded, who="me")

    def require_sound(self, record: runs.RunRecord) -> None:
        runs.require_sound(self.store.engine, record, read_rows)

    def change(self, statement: Any) -> None:
        with self.store.engine.begin() as connection:
            assert connection.execute(statement).rowcount


def keep(store: RunStore, run: runs.Run, plan: RolloutPlan, outcomes: Sequence[bool]) -> None:
    """Write a shard with these outcomes of the plan's episodes, and commit its rows."""
    stream = Stream(np.zeros((2, 1), np.float32), np.array([0.0, 0.1]), StreamSpec((1,)))
    made = [
        Episode(
            job.key,
            {"point": stream},
            outcome=Outcome(success, steps=2),
            provenance=Provenance(task=job.task, seed=plan.seed, index=job.index),
        )
        for job, success in zip(plan.jobs(), outcomes, strict=True)
    ]
    shard = run.folder / "episodes" / f"x{SUFFIX}"
    shard.parent.mkdir()
    write_shard(shard, made)
    Ledger(store.engine, run.id).commit(read_rows(shard))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path / "checkpoints")


def row_of(run: str, key: str) -> Any:
    return (episodes.c.collection == run) & (episodes.c.key == key)


def first_key(world: World, name: str, **changes: Any) -> str:
    rule = rule_in_force(world.store, "arm")[1]
    return replace(rule.plan_for(world.sha256[name]), **changes).jobs()[0].key


def test_an_empty_slot_has_a_floor(world: World) -> None:
    world.judge("A", GOOD)
    decision = world.decide("A")
    assert isinstance(decision.verdict, FloorVerdict) and decision.verdict.outcome == "accepted"
    assert decision.verdict.candidate.low == pytest.approx(0.4704, abs=1e-4)  # Wilson, 25 of 40
    assert "25 (62.5 %, 47.0 to 75.8)" in decision.explain()
    assert decision.recorded.baseline == "" and decision.attempts == 1
    assert decision.recorded.numbers["candidate"]["rate"] == 0.625


@pytest.mark.parametrize(
    ("solved", "outcome"),
    [(23, "accepted"), (22, "inconclusive"), (10, "inconclusive"), (9, "rejected")],
)
def test_the_whole_interval_counts(solved: int, outcome: str) -> None:
    """Wilson's intervals of 23, 22, 10 and 9 of 40: 0.422 to, 0.398 to, to 0.402, to 0.375."""
    rows = [LedgerRow(str(i), "x", "0", success=i < solved) for i in range(TRIALS)]
    verdict = judge_floor(rows, SlotRule(PLAN, GateConfig(), 0.4))
    assert verdict.outcome == outcome
    assert verdict.explain().endswith(f"the floor of 40 %: {outcome}.")


def test_alpha_decides_how_wide_the_floor_s_interval_is() -> None:
    rows = [LedgerRow(str(i), "x", "0", success=i < 23) for i in range(TRIALS)]
    strict = judge_floor(rows, SlotRule(PLAN, GateConfig(alpha=0.01), 0.4))
    assert strict.outcome == "inconclusive" and strict.candidate.confidence == 0.99


def test_a_rule_that_nobody_could_satisfy() -> None:
    with pytest.raises(ConfigError, match=r"floor 95 % is out of reach with 40 .* than 91.2 %"):
        SlotRule(PLAN, GateConfig(), 0.95)
    few = replace(PLAN, episodes=5)
    with pytest.raises(ConfigError, match="5 episodes cannot show a difference at the 0"):
        SlotRule(few, GateConfig(), 0.1)
    SlotRule(replace(PLAN, episodes=6), GateConfig(), 0.1)  # 2 / 2**6 = 0.031
    with pytest.raises(ConfigError, match="floor must lie strictly between 0 and 1"):
        SlotRule(PLAN, GateConfig(), 1.0)


def test_a_holder_is_beaten_or_stays(world: World) -> None:
    for name, outcomes in (("A", GOOD), ("B", BETTER), ("C", EVERY_OTHER)):
        world.judge(name, outcomes)
    world.promote("A")
    worse = world.decide("C").verdict
    assert worse.outcome == "inconclusive"  # 20 against 25 of 40
    better = world.decide("B")
    assert better.verdict.outcome == "accepted"
    assert better.recorded.numbers["only_candidate"] == 11
    evidence = better.recorded.evidence
    assert set(evidence) == {"candidate", "baseline"}
    record = world.store.get(evidence["baseline"]["run"])
    assert record.ledger == evidence["baseline"]["ledger"]
    world.promote("B")
    with pytest.raises(PromotionRefused, match="holds slot 'arm' already"):
        world.decide("B")
    back = world.decide("A")
    assert back.verdict.outcome == "rejected"
    assert "in 25 (62.5 %, 47.0 to 75.8) and the baseline in 36" in back.explain()


def test_looking_again_is_no_attempt_but_judging_again_is(world: World) -> None:
    world.judge("A", GOOD)
    assert world.decide("A").recorded == world.decide("A").recorded
    assert world.decide("A").attempts == 1
    world.declare(replace(PLAN, seed=8))
    world.judge("A", GOOD)
    again = world.decide("A")
    assert again.attempts == 2 and again.explain().endswith("Comparison 2 of this pair.")


def test_a_new_rule_asks_for_new_evidence_of_both(world: World) -> None:
    for name, outcomes in (("A", GOOD), ("B", BETTER)):
        world.judge(name, outcomes)
    world.promote("A")
    old = world.decide("B").recorded
    world.declare(replace(PLAN, seed=8))
    with pytest.raises(PromotionRefused, match="not given under the rule in force"):
        world.registry.promote("arm", world.paths["B"], old, who="me")
    with pytest.raises(PromotionRefused, match=r"was not judged under rule 2 of slot 'arm': run"):
        world.decide("B")
    world.judge("B", BETTER)
    holder = world.sha256["A"][:12]
    with pytest.raises(PromotionRefused, match=f"checkpoint {holder} was not judged under rule 2"):
        world.decide("B")
    world.judge("A", EVERY_OTHER)
    assert world.decide("B").recorded.numbers["baseline"]["successes"] == 20


def test_without_a_rule(world: World) -> None:
    with pytest.raises(ConfigError, match=r"unknown slot 'leg'.*declare one first: robocache slo"):
        decide(world.store, "leg", world.sha256["A"], world.require_sound)


def test_a_verdict_of_before_rules_does_not_count(world: World) -> None:
    """Such as `compare` gives without a slot."""
    plain = world.registry.add_verdict(
        world.sha256["A"], "", "accepted", numbers={}, plan=PLAN.to_json()
    )
    with pytest.raises(PromotionRefused, match="not given under the rule in force"):
        world.registry.promote("arm", world.paths["A"], plain, who="me")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"seed": 8}, "plan.seed = 8, the rule has 7"),
        ({"episodes": 30}, "plan.episodes = 30, the rule has 40"),
        ({"episodes": 50}, "plan.episodes = 50, the rule has 40"),
        ({"env_version": "point 2"}, "plan.env_version = 'point 2', the rule has 'point 1'"),
        ({"env_options": {"easy": True}}, "plan.env_options.easy = True, the rule has 'nothing'"),
        ({"actor": "f" * 64}, "plan.actor = 'ffff"),
    ],
)
def test_other_episodes_than_planned(world: World, changes: dict[str, Any], place: str) -> None:
    """A run that claims to be made under the rule, and is in itself as it was recorded."""
    world.judge("A", [True] * changes.get("episodes", TRIALS), **changes)
    with pytest.raises(PromotionRefused) as refused:
        world.decide("A")
    assert place in str(refused.value)


def test_not_judged_to_the_end(world: World) -> None:
    declared, rule = rule_in_force(world.store, "arm")
    plan = rule.plan_for(world.sha256["A"])
    settings = {"policy": world.sha256["A"], "rule": declared.sha256, "plan": plan.to_json()}
    with world.store.begin("eval", settings, name="half"):
        pass
    with pytest.raises(PromotionRefused, match="run 'half' is interrupted: run robocache eval "):
        world.decide("A")


def test_an_altered_outcome(world: World) -> None:
    run, key = world.judge("A", EVERY_OTHER), first_key(world, "A")
    world.change(update(episodes).where(row_of(run, key)).values(success=False))
    with pytest.raises(IntegrityError, match=f"episode {key} is altered: success was True, is Fal"):
        world.decide("A")


def test_an_outcome_altered_together_with_its_digest(world: World) -> None:
    """The shard still says what happened."""
    run, key = world.judge("A", GOOD), first_key(world, "A")
    world.change(update(episodes).where(row_of(run, key)).values(success=False))
    digest = Ledger(world.store.engine, run).digest()
    world.change(update(run_rows).where(run_rows.c.id == run).values(ledger=digest))
    with pytest.raises(IntegrityError, match=f"{key} is altered: success is False, True in x"):
        world.decide("A")


def test_removed_and_added_rows(world: World) -> None:
    run, key = world.judge("A", GOOD), first_key(world, "A")
    kept = [row for row in Ledger(world.store.engine, run).rows() if row.key == key]
    world.change(delete(episodes).where(row_of(run, key)))
    with pytest.raises(IntegrityError, match=f"row of episode {key} is gone"):
        world.decide("A")
    Ledger(world.store.engine, run).commit([*kept, replace(kept[0], key="more")])
    with pytest.raises(IntegrityError, match="episode more names an episode that no shard holds"):
        world.decide("A")


def test_rows_removed_together_with_their_digest(world: World) -> None:
    run, key = world.judge("A", GOOD), first_key(world, "A")
    world.change(delete(episodes).where(row_of(run, key)))
    digest = Ledger(world.store.engine, run).digest()
    world.change(update(run_rows).where(run_rows.c.id == run).values(ledger=digest))
    with pytest.raises(PromotionRefused, match=rf"holds 39 episodes, 39 .* {key} is missing"):
        world.decide("A")


@pytest.mark.parametrize("name", ["rule", "policy"])
def test_a_run_claimed_for_another_rule_or_checkpoint(world: World, name: str) -> None:
    """Evidence of one is relabelled in the database as that of another."""
    run = world.judge("A", GOOD)
    if name == "rule":
        world.declare(replace(PLAN, seed=8))
        claimed = {"rule": rule_in_force(world.store, "arm")[0].sha256}
    else:
        claimed = {"policy": world.sha256["B"]}
    config = {**world.store.get(run).config, **claimed}
    world.change(update(run_rows).where(run_rows.c.id == run).values(config=config))
    with pytest.raises(IntegrityError, match=rf"row of the run, config.{name}, is '"):
        world.decide("B" if name == "policy" else "A")


def test_an_altered_rule(world: World) -> None:
    world.judge("A", [False] * TRIALS)
    rule = SlotRule(PLAN, GateConfig(), 0.001).to_json()
    world.change(update(rules).values(rule=rule))
    with pytest.raises(IntegrityError, match="rule 1 of slot 'arm' is not what me declared"):
        world.decide("A")


def test_an_altered_verdict_is_not_what_counts(world: World) -> None:
    """It is computed anew; what was recorded is only kept."""
    world.judge("A", [False] * TRIALS)
    world.decide("A")
    world.change(update(verdicts).values(outcome="accepted"))
    assert world.decide("A").recorded.outcome == "rejected"
    with world.store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(verdicts)) == 2


def test_two_runs_of_the_same_episodes(world: World) -> None:
    """They must agree; of two that do not, nobody may choose."""
    first = world.judge("A", GOOD, "one")
    world.judge("A", GOOD, "two")
    assert world.decide("A").recorded.evidence["candidate"]["run"] == first
    world.judge("A", BETTER, "three")
    with pytest.raises(PromotionRefused, match="nondeterminism: runs 'one' and 'three'"):
        world.decide("A")


def test_shards_removed_on_purpose_are_not_missed(world: World) -> None:
    run = world.judge("A", GOOD)
    record = world.store.get(run)
    name = f"episodes/x{SUFFIX}"
    (record.folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        world.decide("A")
    world.change(
        update(run_rows).where(run_rows.c.id == run).values(removed={name: runs.utc_now()})
    )
    assert world.decide("A").verdict.outcome == "accepted"


def test_who_looked_before(world: World) -> None:
    assert earlier_looks(world.store, PLAN) == []
    run = world.judge("A", GOOD)
    assert earlier_looks(world.store, PLAN) == [run]
    assert earlier_looks(world.store, replace(PLAN, seed=8)) == []
    assert earlier_looks(world.store, replace(PLAN, tasks=("another",))) == []
