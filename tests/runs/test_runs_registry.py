from __future__ import annotations

import threading
from pathlib import Path

import pytest

from robocache.core.errors import ConfigError, PromotionRefused
from robocache.runs import Registry, commit_checkpoint, open_database


class World:
    """Four checkpoints, and who was accepted against whom."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(open_database())
        self.paths = {name: folder / name for name in "ABCD"}
        self.hashes = {name: self._commit(name) for name in "ABCD"}
        self.names = {sha256: name for name, sha256 in self.hashes.items()}

    def _commit(self, name: str) -> str:
        return commit_checkpoint(lambda f: (f / "policy").write_text(name), self.paths[name])

    def judge(self, candidate: str, baseline: str, outcome: str = "accepted") -> None:
        pair = self.hashes[candidate], self.hashes[baseline]
        self.registry.add_verdict(*pair, outcome, numbers={"delta": 0.1}, plan={"n": 50})

    def promote(self, candidate: str, against: str | None = None):
        baseline = None if against is None else self.paths[against]
        return self.registry.promote("prod", self.paths[candidate], against=baseline, who="me")

    def holder(self) -> str | None:
        move = self.registry.holder("prod")
        return None if move is None else self.names[move.checkpoint]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "checkpoints")


def test_the_first_promotion(world: World) -> None:
    with pytest.raises(PromotionRefused, match="is empty"):
        world.promote("B")
    with pytest.raises(PromotionRefused, match=r"no accepted verdict.*recorded: none"):
        world.promote("B", against="A")
    with pytest.raises(PromotionRefused, match="against itself"):
        world.promote("B", against="B")
    world.judge("B", "A", "rejected")
    world.judge("B", "A", "inconclusive")
    with pytest.raises(PromotionRefused, match="recorded: rejected, inconclusive"):
        world.promote("B", against="A")
    assert world.holder() is None
    world.judge("B", "A", "accepted")
    move = world.promote("B", against="A")
    assert (move.slot, move.version, move.kind, move.who) == ("prod", 1, "promote", "me")
    assert (move.checkpoint, move.path) == (world.hashes["B"], world.paths["B"])
    assert (move.previous, move.baseline) == (None, world.hashes["A"])
    assert (move.verdict_id, move.attempts) == (3, 3)
    assert world.registry.holder("prod") == move
    assert world.registry.slots() == ["prod"]


def test_later_promotions_are_judged_against_the_holder(world: World) -> None:
    world.judge("B", "A")
    world.promote("B", against="A")
    world.judge("C", "A")
    with pytest.raises(PromotionRefused, match="recorded: none"):
        world.promote("C")
    with pytest.raises(PromotionRefused, match=r"must be judged against it, not against"):
        world.promote("C", against="A")
    world.judge("B", "C")  # the other way round proves nothing
    with pytest.raises(PromotionRefused, match="recorded: none"):
        world.promote("C")
    world.judge("C", "B")
    move = world.promote("C", against="B")
    assert (move.version, move.previous) == (2, world.hashes["B"])
    assert move.attempts == 1
    with pytest.raises(PromotionRefused, match="holds slot 'prod' already"):
        world.promote("C")
    assert [m.version for m in world.registry.history("prod")] == [1, 2]


def test_slots_are_apart(world: World) -> None:
    world.judge("B", "A")
    world.promote("B", against="A")
    assert world.registry.holder("staging") is None
    assert world.registry.history("staging") == []
    with pytest.raises(ConfigError, match="slot 'a/b'"):
        world.registry.promote("a/b", world.paths["B"], who="me")


def test_rollback_goes_further_back_each_time(world: World) -> None:
    for candidate, baseline in ("BA", "CB", "DC"):
        world.judge(candidate, baseline)
        world.promote(candidate, against=baseline)
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
    world.judge("D", "B")
    assert world.promote("D").version == 6
    world.registry.rollback("prod", "you")
    assert world.holder() == "B"
    assert [world.names[m.checkpoint] for m in world.registry.history("prod")] == list("BCDCBDB")


@pytest.mark.parametrize("victim", ["A", "B"])
def test_an_altered_checkpoint_is_not_promoted(world: World, victim: str) -> None:
    world.judge("B", "A")
    (world.paths[victim] / "policy").write_text("Z")
    with pytest.raises(PromotionRefused, match=f"checkpoints/{victim}: policy is altered"):
        world.promote("B", against="A")
    assert world.holder() is None


def test_another_checkpoint_in_the_same_place_is_not_promoted(world: World) -> None:
    world.judge("B", "A")
    world.judge("C", "B")
    world.promote("B", against="A")
    world.promote("C")
    world.paths["B"].rename(world.paths["B"].with_name("moved"))
    world.paths["D"].rename(world.paths["B"])
    with pytest.raises(PromotionRefused, match="now holds checkpoint"):
        world.registry.rollback("prod", "me")
    (world.paths["B"] / "SHA256").unlink()
    with pytest.raises(PromotionRefused, match="is not a checkpoint"):
        world.registry.rollback("prod", "me")
    assert world.holder() == "C"


def test_a_moved_checkpoint_is_found_at_its_new_place(world: World) -> None:
    world.judge("B", "A")
    world.promote("B", against="A")
    moved = world.paths["B"].with_name("moved")
    world.paths["B"].rename(moved)
    world.registry.promote("staging", moved, against=world.paths["A"], who="me")
    assert [world.registry.holder(slot).path for slot in ("prod", "staging")] == [moved, moved]


def test_of_two_promotions_at_once_one_is_refused(world: World) -> None:
    world.judge("B", "A")
    world.promote("B", against="A")
    world.judge("C", "B")
    world.judge("D", "B")
    refused: list[PromotionRefused] = []
    barrier = threading.Barrier(2)

    def attempt(name: str) -> None:
        barrier.wait()
        try:
            world.promote(name)
        except PromotionRefused as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(name,)) for name in "CD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert [move.version for move in world.registry.history("prod")] == [1, 2]


def test_verdicts_come_back(world: World) -> None:
    a, b = world.hashes["A"], world.hashes["B"]
    numbers = {"delta": 0.2, "interval": (0.05, 0.35)}
    made = world.registry.add_verdict(b, a, "accepted", numbers=numbers, plan={"n": 50})
    assert world.registry.verdicts(b, a) == [made]
    assert made.numbers == {"delta": 0.2, "interval": [0.05, 0.35]}
    assert (made.candidate, made.baseline, made.outcome, made.plan) == (b, a, "accepted", {"n": 50})
    assert world.registry.verdicts(a, b) == []
    with pytest.raises(ConfigError, match="did you mean 'accepted'"):
        world.registry.add_verdict(b, a, "acepted", numbers={}, plan={})
    with pytest.raises(ConfigError, match="baseline must be a checkpoint's sha256"):
        world.registry.add_verdict(b, "demo@3", "accepted", numbers={}, plan={})
