from __future__ import annotations

import threading
from pathlib import Path

import pytest

from robocache.core.errors import ConfigError, PromotionRefused, StoreError
from robocache.runs import Promotion, Registry, Verdict, commit_checkpoint, open_database

RULE = {"plan": {"episodes": 50}, "floor": 0.5}


class World:
    """Four checkpoints, a slot with a rule, and who was accepted against whom."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(open_database())
        self.paths = {name: folder / name for name in "ABCD"}
        self.hashes = {name: self._commit(name) for name in "ABCD"}
        self.names = {sha256: name for name, sha256 in self.hashes.items()}
        self.rule = self.registry.declare("prod", RULE, who="me")

    def _commit(self, name: str) -> str:
        return commit_checkpoint(lambda f: (f / "policy").write_text(name), self.paths[name])

    def judge(
        self,
        candidate: str,
        baseline: str = "",
        outcome: str = "accepted",
        *,
        n: int = 1,
        rule: str | None = None,
    ) -> Verdict:
        pair = self.hashes[candidate], self.hashes.get(baseline, "")
        rule = self.rule.sha256 if rule is None else rule
        return self.registry.add_verdict(
            *pair, outcome, numbers={"delta": 0.1, "n": n}, plan=RULE, rule=rule
        )

    def promote(self, candidate: str, verdict: Verdict) -> Promotion:
        return self.registry.promote("prod", self.paths[candidate], verdict, who="me")

    def climb(self, *names: str) -> None:
        """Promote one after the other, each judged against the one before."""
        for name in names:
            self.promote(name, self.judge(name, self.holder() or ""))

    def holder(self) -> str | None:
        move = self.registry.holder("prod")
        return None if move is None else self.names[move.checkpoint]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "checkpoints")


def test_the_first_promotion_needs_the_floor(world: World) -> None:
    with pytest.raises(PromotionRefused, match=r"is against .* but slot 'prod' is empty"):
        world.promote("B", world.judge("B", "A"))
    for outcome in ("rejected", "inconclusive"):
        with pytest.raises(PromotionRefused, match=f"verdict [23] is {outcome}"):
            world.promote("B", world.judge("B", "", outcome))
    assert world.holder() is None
    move = world.promote("B", world.judge("B"))
    assert (move.slot, move.version, move.kind, move.who) == ("prod", 1, "promote", "me")
    assert (move.checkpoint, move.path) == (world.hashes["B"], world.paths["B"])
    assert (move.previous, move.baseline) == (None, "")
    assert (move.verdict_id, move.attempts, move.rivals) == (4, 3, 0)
    assert world.registry.holder("prod") == move
    assert world.registry.slots() == ["prod"]


def test_later_promotions_are_judged_against_the_holder(world: World) -> None:
    world.climb("B")
    with pytest.raises(PromotionRefused, match="is against the floor, but slot 'prod' is held by"):
        world.promote("C", world.judge("C"))
    with pytest.raises(PromotionRefused, match=f"is against {world.hashes['A'][:12]}, but"):
        world.promote("C", world.judge("C", "A"))
    with pytest.raises(PromotionRefused, match="is on checkpoint"):  # the other way round
        world.promote("C", world.judge("B", "C"))
    move = world.promote("C", world.judge("C", "B"))
    assert (move.version, move.previous) == (2, world.hashes["B"])
    assert (move.baseline, move.attempts) == (world.hashes["B"], 1)
    with pytest.raises(PromotionRefused, match="holds slot 'prod' already"):
        world.promote("C", world.judge("C", "B"))
    assert [m.version for m in world.registry.history("prod")] == [1, 2]


def test_a_verdict_goes_stale_when_the_holder_moves(world: World) -> None:
    world.climb("A")
    early = world.judge("B", "A")
    world.climb("C")
    with pytest.raises(PromotionRefused, match=r"is held by .*: judge it again"):
        world.promote("B", early)
    world.registry.rollback("prod", "me")
    assert world.holder() == "A"
    world.promote("B", early)  # the holder is the one it was judged against again
    assert world.holder() == "B"


def test_a_verdict_under_another_rule_is_refused(world: World) -> None:
    world.climb("A")
    old = world.judge("B", "A")
    new = world.registry.declare("prod", {**RULE, "floor": 0.9}, who="you")
    with pytest.raises(PromotionRefused, match="was not given under the rule in force"):
        world.promote("B", old)
    world.registry.declare("other", {**RULE, "floor": 0.9}, who="you")
    for rule in ("", world.registry.rule("other").sha256):
        with pytest.raises(PromotionRefused, match="rule in force for slot 'prod'"):
            world.promote("B", world.judge("B", "A", rule=rule))
    world.promote("B", world.judge("B", "A", rule=new.sha256))
    assert world.holder() == "B"


def test_a_slot_without_a_rule_takes_nothing(world: World) -> None:
    verdict = world.judge("B")
    with pytest.raises(PromotionRefused, match="rule in force for slot 'staging'"):
        world.registry.promote("staging", world.paths["B"], verdict, who="me")
    assert world.registry.history("staging") == []


def test_a_verdict_on_another_checkpoint_is_refused(world: World) -> None:
    verdict = world.judge("B")
    with pytest.raises(PromotionRefused, match=r"is on checkpoint .*, not on"):
        world.promote("C", verdict)
    assert world.holder() is None


def test_rules_are_kept_and_never_the_same(world: World) -> None:
    registry = world.registry
    assert (world.rule.version, world.rule.rule, world.rule.who) == (1, RULE, "me")
    assert registry.declare("prod", dict(RULE), who="you") == world.rule
    second = registry.declare("prod", {"floor": 0.9}, who="you")
    third = registry.declare("prod", RULE, who="me")
    assert registry.rules("prod") == [world.rule, second, third]
    assert registry.rule("prod") == third
    assert len({rule.sha256 for rule in registry.rules("prod")}) == 3
    elsewhere = registry.declare("staging", RULE, who="me")
    assert (elsewhere.version, elsewhere.sha256 != third.sha256) == (1, True)
    assert registry.slots() == ["prod", "staging"]
    with pytest.raises(ConfigError, match="did you mean 'prod'"):
        registry.rule("prid")
    for name in ("a/b", "", "x" * 65, "-a"):
        with pytest.raises(ConfigError, match="slot '"):
            registry.declare(name, RULE, who="me")


def test_slots_are_apart(world: World) -> None:
    world.climb("B")
    staging = world.registry.declare("staging", RULE, who="me").sha256
    assert world.registry.holder("staging") is None
    verdict = world.judge("C", rule=staging)
    world.registry.promote("staging", world.paths["C"], verdict, who="me")
    assert world.holder() == "B"
    assert [m.version for m in world.registry.history("staging")] == [1]


def test_rollback_goes_further_back_each_time(world: World) -> None:
    world.climb("B", "C", "D")
    move = world.registry.rollback("prod", "you")
    assert (move.version, move.kind, move.who) == (4, "rollback", "you")
    assert (move.previous, move.verdict_id, move.baseline) == (world.hashes["D"], None, None)
    assert (world.holder(), move.path, move.attempts) == ("C", world.paths["C"], 0)
    world.registry.rollback("prod", "you")
    assert world.holder() == "B"
    with pytest.raises(PromotionRefused, match="its first checkpoint holds it"):
        world.registry.rollback("prod", "you")
    with pytest.raises(PromotionRefused, match="never promoted to"):
        world.registry.rollback("empty", "you")
    assert world.promote("D", world.judge("D", "B")).version == 6
    world.registry.rollback("prod", "you")
    assert world.holder() == "B"
    assert [world.names[m.checkpoint] for m in world.registry.history("prod")] == list("BCDCBDB")


def test_a_history_that_cannot_be_is_refused(world: World) -> None:
    world.climb("A", "B")
    with world.registry._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE promotions SET kind = 'rollback' WHERE version = 1")
    with pytest.raises(StoreError, match="version 1 of slot 'prod' goes back to nothing"):
        world.registry.rollback("prod", "me")


def test_an_altered_checkpoint_is_not_promoted(world: World) -> None:
    verdict = world.judge("B")
    (world.paths["B"] / "policy").write_text("Z")
    with pytest.raises(PromotionRefused, match="checkpoints/B: policy is altered"):
        world.promote("B", verdict)
    assert world.holder() is None


def test_another_checkpoint_in_the_same_place_is_not_promoted(world: World) -> None:
    world.climb("B", "C")
    world.paths["B"].rename(world.paths["B"].with_name("moved"))
    world.paths["D"].rename(world.paths["B"])
    with pytest.raises(PromotionRefused, match="now holds checkpoint"):
        world.registry.rollback("prod", "me")
    (world.paths["B"] / "SHA256").unlink()
    with pytest.raises(PromotionRefused, match="is not a checkpoint"):
        world.registry.rollback("prod", "me")
    assert world.holder() == "C"


def test_a_moved_checkpoint_is_found_at_its_new_place(world: World) -> None:
    world.climb("B")
    moved = world.paths["B"].with_name("moved")
    world.paths["B"].rename(moved)
    staging = world.registry.declare("staging", RULE, who="me").sha256
    world.registry.promote("staging", moved, world.judge("B", rule=staging), who="me")
    assert [world.registry.holder(slot).path for slot in ("prod", "staging")] == [moved, moved]


def test_of_two_promotions_at_once_one_is_refused(world: World, database: str) -> None:
    world = World(world.paths["A"].parent) if database != "sqlite" else world
    world.climb("B")
    verdicts = {name: world.judge(name, "B") for name in "CD"}
    refused: list[PromotionRefused] = []
    barrier = threading.Barrier(2)

    def attempt(name: str) -> None:
        barrier.wait()
        try:
            world.promote(name, verdicts[name])
        except PromotionRefused as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(name,)) for name in "CD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert "judge it again" in str(refused[0])
    history = world.registry.history("prod")
    assert [move.version for move in history] == [1, 2]
    judged_before = history[-1].checkpoint == world.hashes["D"]  # C was judged first
    assert history[-1].rivals == int(judged_before)


def test_verdicts_come_back(world: World) -> None:
    a, b = world.hashes["A"], world.hashes["B"]
    numbers = {"delta": 0.2, "interval": (0.05, 0.35)}
    evidence = {"candidate": {"run": "eval-1", "ledger": "f" * 64}}
    made = world.registry.add_verdict(
        b, a, "accepted", numbers=numbers, plan={"n": 50}, evidence=evidence
    )
    assert world.registry.verdicts(b, a) == [made]
    assert made.numbers == {"delta": 0.2, "interval": [0.05, 0.35]}
    assert (made.candidate, made.baseline, made.outcome, made.plan) == (b, a, "accepted", {"n": 50})
    assert (made.evidence, made.rule) == (evidence, None)
    assert world.registry.verdicts(a, b) == []
    with pytest.raises(ConfigError, match="did you mean 'accepted'"):
        world.registry.add_verdict(b, a, "acepted", numbers={}, plan={})
    with pytest.raises(ConfigError, match="baseline must be a checkpoint's sha256"):
        world.registry.add_verdict(b, "demo@3", "accepted", numbers={}, plan={})
    with pytest.raises(ConfigError, match="candidate must be a checkpoint's sha256"):
        world.registry.add_verdict("", a, "accepted", numbers={}, plan={})


def test_the_same_verdict_is_recorded_once(world: World) -> None:
    first = world.judge("B")
    assert world.judge("B") == first
    assert world.registry.verdicts(world.hashes["B"], "") == [first]
    others = [
        world.judge("B", n=2),
        world.judge("B", "", "rejected"),
        world.judge("B", rule="0" * 64),
    ]
    assert world.registry.verdicts(world.hashes["B"], "") == [first, *others]


def test_attempts_and_rivals_are_counted(world: World) -> None:
    world.climb("A")
    world.judge("B", "A", "rejected")
    world.judge("B", "A", "inconclusive")
    world.judge("C", "A", "rejected")
    world.judge("C", "A", "rejected", n=2)  # one rival, however often it was judged
    world.judge("D", "A", "inconclusive")
    move = world.promote("B", world.judge("B", "A"))
    assert (move.attempts, move.rivals) == (3, 2)
    world.judge("C", "B", "rejected")  # later comparisons are with another holder
    assert world.registry.holder("prod") == move
