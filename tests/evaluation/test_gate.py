"""The gate, against hand-computed values and its own symmetries."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from robocache.core.errors import ConfigError, DataError
from robocache.evaluation.gate import GateConfig, judge
from robocache.evaluation.slot_rule import SlotRule, judge_floor
from robocache.evaluation.statistics import mcnemar_exact, mcnemar_power, pairs_needed
from robocache.rollouts import RolloutPlan
from robocache.runs import LedgerRow

COMPARISONS = 2000
TAIL = 1e-4
"""A correct gate fails one assertion of its calibration with this probability, were the simulation
drawn anew; it is drawn with fixed seeds."""

Arms = tuple[dict[str, bool], dict[str, bool]]


def arms(both: int, only_candidate: int, only_baseline: int, neither: int) -> Arms:
    cells = (
        [(True, True)] * both
        + [(True, False)] * only_candidate
        + [(False, True)] * only_baseline
        + [(False, False)] * neither
    )
    keys = [f"episode/{i:03d}" for i in range(len(cells))]
    return dict(zip(keys, (c for c, _ in cells))), dict(zip(keys, (b for _, b in cells)))


tables = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda t: sum(t) > 0)


def test_clearly_better_is_accepted() -> None:
    verdict = judge(*arms(30, 12, 2, 6))
    assert verdict.outcome == "accepted" and verdict.exit_code == 0
    assert verdict.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)  # 0.0129
    assert (verdict.candidate.successes, verdict.baseline.successes) == (42, 32)
    assert verdict.difference == pytest.approx(0.2)
    assert verdict.pairs_needed is None


def test_clearly_worse_is_rejected() -> None:
    verdict = judge(*arms(30, 2, 12, 6))
    assert verdict.outcome == "rejected" and verdict.exit_code == 1
    assert verdict.difference == pytest.approx(-0.2)


def test_too_few_episodes_are_inconclusive_and_say_how_many_it_takes() -> None:
    verdict = judge(*arms(3, 5, 0, 2))  # p = 2 / 32 = 0.0625
    assert verdict.outcome == "inconclusive" and verdict.exit_code == 2
    assert verdict.p_value == pytest.approx(0.0625)
    assert verdict.pairs_needed is not None and verdict.pairs_needed > 10
    assert f"on {verdict.pairs_needed} paired episodes" in verdict.explain()


def test_more_wins_alone_are_not_enough() -> None:
    assert judge(*arms(0, 30, 20, 0)).outcome == "inconclusive"


def test_equal_arms_are_inconclusive_and_no_number_is_named() -> None:
    verdict = judge(*arms(10, 0, 0, 10))
    assert verdict.outcome == "inconclusive" and verdict.p_value == 1.0
    assert verdict.pairs_needed is None
    assert "no number of episodes can be named" in verdict.explain()
    assert "Every episode ended the same way" in verdict.explain()


def test_alpha_itself_is_not_enough() -> None:
    table = arms(0, 5, 0, 0)
    assert judge(*table, GateConfig(alpha=0.0625)).outcome == "inconclusive"
    assert judge(*table, GateConfig(alpha=0.0626)).outcome == "accepted"


def test_explanation_holds_the_numbers() -> None:
    text = judge(*arms(30, 12, 2, 6)).explain()
    for part in ("50 episodes", "42 (84.0 %, 71.5 to 91.7)", "32 (64.0 %", "on 14:", "p = 0.013"):
        assert part in text
    assert text.endswith("accepted.")


def test_json_holds_every_number() -> None:
    record = json.loads(json.dumps(judge(*arms(3, 5, 0, 2)).to_json()))
    assert record["outcome"] == "inconclusive"
    assert record["candidate"]["rate"] == 0.8 and record["baseline"]["rate"] == 0.3
    assert record["pairs"] == 10 and record["difference"] == 0.5
    assert record["config"] == {"alpha": 0.05, "power": 0.8, "confidence": 0.95}


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to judge"):
        judge({}, {})
    with pytest.raises(DataError, match="missing from the baseline"):
        judge({"a": True}, {})
    with pytest.raises(ConfigError, match="alpha must lie strictly between 0 and 1, got 5"):
        GateConfig(alpha=5)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_swapping_the_arms_swaps_the_verdict(table: tuple[int, int, int, int]) -> None:
    candidate, baseline = arms(*table)
    forward, backward = judge(candidate, baseline), judge(baseline, candidate)
    mirror = {"accepted": "rejected", "rejected": "accepted", "inconclusive": "inconclusive"}
    assert backward.outcome == mirror[forward.outcome]
    assert backward.p_value == pytest.approx(forward.p_value)
    assert backward.difference == -forward.difference
    assert backward.pairs_needed == forward.pairs_needed


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(0, 100))
def test_episodes_where_both_agree_change_nothing_but_the_rates(
    table: tuple[int, int, int, int], more: int
) -> None:
    both, wins, losses, neither = table
    few, many = judge(*arms(*table)), judge(*arms(both + more, wins, losses, neither + more))
    assert (few.outcome, few.p_value) == (many.outcome, many.p_value)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_accepted_means_significant_and_more_wins(table: tuple[int, int, int, int]) -> None:
    _, wins, losses, _ = table
    verdict = judge(*arms(*table))
    significant = mcnemar_exact(wins, losses) < 0.05
    assert (verdict.outcome == "accepted") == (significant and wins > losses)
    assert (verdict.outcome == "rejected") == (significant and wins < losses)
    assert (verdict.pairs_needed is None) == (significant or wins == losses)


@given(st.permutations(range(8)))
def test_the_order_of_the_episodes_does_not_matter(order: list[int]) -> None:
    candidate, baseline = arms(2, 3, 1, 2)
    keys = sorted(candidate)
    shuffled = {keys[i]: candidate[keys[i]] for i in order}
    assert judge(shuffled, baseline) == judge(candidate, baseline)


def say(text: str) -> None:
    """Shown with -s."""
    print(f"\n{text}", end="")  # noqa: T201


@pytest.fixture
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inconclusive verdicts do not work out how many pairs they lack, which takes a while."""
    monkeypatch.setattr("robocache.evaluation.gate.pairs_needed", lambda *counts, **settings: None)


def simulated(rates: tuple[float, float, float], pairs: int, seed: int) -> NDArray[np.int64]:
    """(COMPARISONS, 2) episodes won by the candidate alone and by the baseline alone.

    Args:
        rates: probabilities that the candidate alone succeeds, the baseline alone, both.
    """
    random = np.random.default_rng(seed)
    cells = [*rates, 1 - sum(rates)]
    return random.multinomial(pairs, cells, COMPARISONS)[:, :2]


@cache
def outcome(wins: int, losses: int, alpha: float) -> str:
    """The gate's; episodes where both agree do not enter (see the test of that)."""
    if wins + losses == 0:
        return judge(*arms(1, 0, 0, 0), GateConfig(alpha=alpha)).outcome
    return judge(*arms(0, wins, losses, 0), GateConfig(alpha=alpha)).outcome


def outcomes(tables: NDArray[np.int64], alpha: float) -> dict[str, int]:
    """How often the gate said what."""
    said = [outcome(int(wins), int(losses), alpha) for wins, losses in tables]
    return {word: said.count(word) for word in ("accepted", "rejected", "inconclusive")}


EQUAL = [(0.5, 0.0), (0.5, 0.6), (0.9, 0.0), (0.9, 0.6), (0.2, 0.3), (0.99, 0.0)]
"""Success rate of both policies, and the correlation of their outcomes on one layout."""


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("pairs", [40, 200])
@pytest.mark.usefixtures("unplanned")
def test_equal_policies_are_told_apart_at_most_in_alpha(pairs: int, alpha: float) -> None:
    """The exact test decides wrongly with probability at most alpha, accepts with alpha / 2.

    The bound on the counts is the upper 1e-4 point of the binomial distribution with that
    probability in 2,000 comparisons.
    """
    decided = int(binom.isf(TAIL, COMPARISONS, alpha))
    one_sided = int(binom.isf(TAIL, COMPARISONS, alpha / 2))
    for number, (rate, correlation) in enumerate(EQUAL):
        alone = (1 - correlation) * rate * (1 - rate)
        tables = simulated((alone, alone, rate - alone), pairs, 100 * pairs + number)
        said = outcomes(tables, alpha)
        say(
            f"equal at {rate:.2f}, correlation {correlation:.1f}, {pairs} pairs, alpha {alpha}: "
            f"accepted {said['accepted']} and rejected {said['rejected']} of {COMPARISONS} "
            f"(bounds {one_sided} each, {decided} together)"
        )
        assert said["accepted"] <= one_sided and said["rejected"] <= one_sided
        assert said["accepted"] + said["rejected"] <= decided


def test_a_gate_without_the_exact_test_would_not_be_calibrated() -> None:
    """The check can fail: whoever accepts what won more often accepts far more than alpha / 2."""
    tables = simulated((0.2, 0.2, 0.4), 100, 0)
    naive = int(np.count_nonzero(tables[:, 0] > tables[:, 1]))
    assert naive > 10 * binom.isf(TAIL, COMPARISONS, 0.025)


@pytest.mark.parametrize(
    ("better", "worse", "both"), [(0.2, 0.1, 0.5), (0.3, 0.05, 0.6), (0.06, 0.01, 0.9)]
)
@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.usefixtures("unplanned")
def test_as_many_pairs_as_planned_have_the_planned_power(
    better: float, worse: float, both: float, power: float
) -> None:
    """Of 2,000 comparisons with the planned number of pairs so many accept the better policy.

    The bounds are the outer 1e-4 points of the binomial distribution with the planner's own power
    at that number, which is at least the wanted one.
    """
    seen = 10_000
    pairs = pairs_needed(round(better * seen), round(worse * seen), seen, alpha=0.05, power=power)
    assert pairs is not None
    planned = mcnemar_power(better, worse, pairs, 0.05)
    assert power <= planned < power + 0.05
    said = outcomes(simulated((better, worse, both), pairs, pairs), 0.05)
    low, high = binom.ppf(TAIL, COMPARISONS, planned), binom.isf(TAIL, COMPARISONS, planned)
    say(
        f"{better} against {worse}, {pairs} pairs for power {power}: accepted "
        f"{said['accepted']} of {COMPARISONS} (between {low:.0f} and {high:.0f})"
    )
    assert low <= said["accepted"] <= high
    assert said["accepted"] >= binom.ppf(TAIL, COMPARISONS, power)
    assert said["rejected"] <= binom.isf(TAIL, COMPARISONS, 0.025)


FLOOR_EXCESS = {20: 1.6, 50: 1.4, 100: 1.3, 500: 1.2}
"""Episodes -> by how much Wilson's interval, an approximation, may exceed alpha / 2 there."""


FLOORS = [
    *((20, floor) for floor in (0.5, 0.7)),
    *((50, floor) for floor in (0.5, 0.7, 0.9)),
    *((100, floor) for floor in (0.5, 0.7, 0.9)),
    *((500, floor) for floor in (0.5, 0.7, 0.9, 0.98)),
]


@pytest.mark.parametrize(("trials", "floor"), FLOORS)
def test_a_policy_at_the_floor_is_accepted_at_most_in_about_half_of_alpha(
    trials: int, floor: float
) -> None:
    """2,000 policies whose true rate is the floor; one-sided, as only better ones may come in."""
    alpha = 0.05
    plan = RolloutPlan(("point",), trials, 1, "evaluate", "", "point 1")
    rule = SlotRule(plan, GateConfig(alpha=alpha), floor)
    fewest = next(n for n in range(trials + 1) if at_floor(n, trials, rule) == "accepted")
    solved = np.random.default_rng(trials).binomial(trials, floor, COMPARISONS)
    accepted = int(np.count_nonzero(solved >= fewest))
    exact = float(binom.sf(fewest - 1, trials, floor))
    bound = FLOOR_EXCESS[trials] * alpha / 2
    most = int(binom.isf(TAIL, COMPARISONS, bound))
    say(
        f"at the floor of {floor}, {trials} episodes: accepted {accepted} of {COMPARISONS} "
        f"(bound {most}); exactly {exact:.4f} (at most {bound:.4f})"
    )
    assert accepted <= most and exact <= bound


def at_floor(solved: int, trials: int, rule: SlotRule) -> str:
    rows = [LedgerRow(str(i), "x", "0", success=i < solved) for i in range(trials)]
    return judge_floor(rows, rule).outcome
