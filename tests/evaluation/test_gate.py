"""The gate, against hand-computed values and its own symmetries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import ConfigError, DataError
from robocache.evaluation.gate import GateConfig, judge
from robocache.evaluation.statistics import mcnemar_exact

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
