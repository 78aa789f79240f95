"""The gate: is the candidate better than the baseline, worse, or is it too early to say?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from robocache.core.errors import DataError
from robocache.evaluation.statistics import (
    Proportion,
    check_fraction,
    mcnemar_exact,
    paired_counts,
    pairs_needed,
)

Outcome = Literal["accepted", "rejected", "inconclusive"]
EXIT_CODES: dict[Outcome, int] = {"accepted": 0, "rejected": 1, "inconclusive": 2}


@dataclass(frozen=True)
class GateConfig:
    """What counts as evidence; decide it before the episodes run.

    Attributes:
        alpha: significance level of the two-sided test, in (0, 1).
        power: power for which `pairs_needed` plans, in (0, 1).
        confidence: coverage of the reported intervals, in (0, 1).
    """

    alpha: float = 0.05
    power: float = 0.8
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_fraction(name, value)


@dataclass(frozen=True)
class Verdict:
    """What the paired episodes say.

    Attributes:
        outcome: `accepted` (significantly better), `rejected` (significantly worse) or
            `inconclusive`.
        candidate, baseline: success rates with Wilson intervals.
        both, only_candidate, only_baseline, neither: pairs by who succeeded.
        p_value: of the two-sided exact McNemar test.
        pairs_needed: paired episodes that would settle the question if the observed rates were
            true; None when it is settled, or when the arms were exactly equal.
        config: the rule that was applied.
    """

    outcome: Outcome
    candidate: Proportion
    baseline: Proportion
    both: int
    only_candidate: int
    only_baseline: int
    neither: int
    p_value: float
    pairs_needed: int | None
    config: GateConfig

    @property
    def pairs(self) -> int:
        return self.both + self.only_candidate + self.only_baseline + self.neither

    @property
    def difference(self) -> float:
        """Success rate of the candidate minus that of the baseline, in [-1, 1]."""
        return (self.only_candidate - self.only_baseline) / self.pairs

    @property
    def exit_code(self) -> int:
        """0 accepted, 1 rejected, 2 inconclusive."""
        return EXIT_CODES[self.outcome]

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        for arm in ("candidate", "baseline"):
            record[arm]["rate"] = getattr(self, arm).rate
        return record | {"pairs": self.pairs, "difference": self.difference}

    def explain(self) -> str:
        """The verdict in plain sentences."""
        return " ".join((self._rates(), self._disagreement(), self._conclusion()))

    def _rates(self) -> str:
        episodes = "1 episode" if self.pairs == 1 else f"the same {self.pairs:,} episodes"
        return (
            f"On {episodes} the candidate succeeded in {in_words(self.candidate)} and the "
            f"baseline in {in_words(self.baseline)}, with {100 * self.config.confidence:.4g} % "
            "intervals."
        )

    def _disagreement(self) -> str:
        discordant = self.only_candidate + self.only_baseline
        if discordant == 0:
            return "Every episode ended the same way for both."
        return (
            f"They disagreed on {discordant:,}: the candidate alone succeeded in "
            f"{self.only_candidate:,}, the baseline alone in {self.only_baseline:,} "
            f"(exact McNemar test, p {format_p(self.p_value)})."
        )

    def _conclusion(self) -> str:
        level = f"{self.config.alpha:g}"
        if self.outcome == "accepted":
            return f"The candidate is better at the {level} level: accepted."
        if self.outcome == "rejected":
            return f"The candidate is worse at the {level} level: rejected."
        if self.pairs_needed is None:
            return (
                f"No difference was seen, so this neither shows that one is better at the {level} "
                "level nor that they are equal, and no number of episodes can be named that "
                "would settle it: inconclusive."
            )
        plan = (
            f"If the observed rates were the true ones, a fresh comparison on {self.pairs_needed:,}"
            f" paired episodes would find it with probability {self.config.power:g}."
        )
        return f"That is not enough to decide at the {level} level: inconclusive. {plan}"


def judge(
    candidate: Mapping[str, bool],
    baseline: Mapping[str, bool],
    config: GateConfig | None = None,
) -> Verdict:
    """Judge a candidate against a baseline that ran the same episodes.

    Args:
        candidate, baseline: episode key -> success; the same keys in both.
        config: the rule; None takes the defaults.

    Raises:
        DataError: there are no episodes, the keys differ, or an episode was not judged.
    """
    config = config or GateConfig()
    counts = paired_counts(candidate, baseline)
    if counts.pairs == 0:
        raise DataError("there is nothing to judge: no paired episodes were given")
    wins, losses = counts.only_candidate, counts.only_baseline
    p_value = mcnemar_exact(wins, losses)
    outcome = _outcome(wins, losses, p_value, config.alpha)
    needed = None
    if outcome == "inconclusive":
        needed = pairs_needed(wins, losses, counts.pairs, alpha=config.alpha, power=config.power)
    return Verdict(
        outcome=outcome,
        candidate=Proportion.wilson(counts.both + wins, counts.pairs, config.confidence),
        baseline=Proportion.wilson(counts.both + losses, counts.pairs, config.confidence),
        **counts._asdict(),
        p_value=p_value,
        pairs_needed=needed,
        config=config,
    )


def _outcome(wins: int, losses: int, p_value: float, alpha: float) -> Outcome:
    if p_value >= alpha:
        return "inconclusive"
    return "accepted" if wins > losses else "rejected"


def format_p(p_value: float) -> str:
    """A p value with its sign, for reading: two digits, or a bound when it is tiny."""
    return "< 0.0001" if p_value < 1e-4 else f"= {p_value:.2g}"


def in_words(arm: Proportion) -> str:
    """A success rate for reading: count, per cent, interval."""
    percent = f"{100 * arm.rate:.1f} %, {100 * arm.low:.1f} to {100 * arm.high:.1f}"
    return f"{arm.successes:,} ({percent})"
