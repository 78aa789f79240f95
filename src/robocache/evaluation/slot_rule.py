"""What a slot asks of a candidate: to be better than its holder, or above a floor while empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from robocache.core.errors import ConfigError
from robocache.evaluation.closed_loop import judged
from robocache.evaluation.gate import GateConfig, Outcome, in_words
from robocache.evaluation.statistics import Proportion, check_fraction, mcnemar_exact
from robocache.rollouts import RolloutPlan
from robocache.runs import LedgerRow


@dataclass(frozen=True)
class SlotRule:
    """What a slot asks of a candidate.

    Attributes:
        plan: the episodes; its actor is empty, because every candidate runs the same.
        gate: how a candidate is compared with the holder.
        floor: success rate, in (0, 1), that the whole Wilson interval of a candidate must reach
            while the slot is empty. The interval covers 1 - alpha.

    Raises:
        ConfigError: so few episodes that nobody could be accepted.
    """

    plan: RolloutPlan
    gate: GateConfig
    floor: float

    def __post_init__(self) -> None:
        check_fraction("floor", self.floor)
        trials = self.plan.episodes * len(self.plan.tasks)
        best = Proportion.wilson(trials, trials, 1 - self.gate.alpha)
        if best.low < self.floor:
            raise ConfigError(
                f"floor {100 * self.floor:g} % is out of reach with {trials} episodes: even "
                f"{trials} successes show no more than {100 * best.low:.1f} %; plan more episodes"
            )
        if mcnemar_exact(trials, 0) >= self.gate.alpha:
            raise ConfigError(
                f"{trials} episodes cannot show a difference at the {self.gate.alpha:g} level, "
                f"whatever happens in them; plan more episodes"
            )

    def plan_for(self, sha256: str) -> RolloutPlan:
        """The plan as this checkpoint runs it."""
        return replace(self.plan, actor=sha256)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "plan": self.plan.to_json()}

    @classmethod
    def from_json(cls, record: Any) -> SlotRule:
        return cls(
            plan=RolloutPlan.from_json(record["plan"]),
            gate=GateConfig(**record["gate"]),
            floor=record["floor"],
        )


@dataclass(frozen=True)
class FloorVerdict:
    """Whether a candidate may have an empty slot.

    Attributes:
        outcome: `accepted` when the whole interval is at or above the floor, `rejected` when it
            is below, else `inconclusive`.
        candidate: its success rate with its interval.
        floor: what was asked.
    """

    outcome: Outcome
    candidate: Proportion
    floor: float

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        record["candidate"]["rate"] = self.candidate.rate
        return record

    def explain(self) -> str:
        """The verdict in plain sentences."""
        relation = {
            "accepted": "All of it is at or above",
            "rejected": "All of it is below",
            "inconclusive": "It contains",
        }[self.outcome]
        return (
            f"The slot is empty. On {self.candidate.trials:,} episodes the candidate succeeded in "
            f"{in_words(self.candidate)}, with its {100 * self.candidate.confidence:.4g} % "
            f"interval. {relation} the floor of {100 * self.floor:g} %: {self.outcome}."
        )


def judge_floor(rows: Sequence[LedgerRow], rule: SlotRule) -> FloorVerdict:
    """Judge a candidate for an empty slot.

    One whose true rate is the floor is accepted with a probability of about alpha / 2. Wilson's
    interval is an approximation: at alpha 0.05 it is at most 0.031 from 100 episodes on.
    """
    solved = sum(judged(row) for row in rows)
    rate = Proportion.wilson(solved, len(rows), 1 - rule.gate.alpha)
    outcome: Outcome = "inconclusive"
    if rate.low >= rule.floor:
        outcome = "accepted"
    elif rate.high < rule.floor:
        outcome = "rejected"
    return FloorVerdict(outcome, rate, rule.floor)
