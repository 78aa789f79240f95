"""Verdicts in words, and paired outcomes cell by cell."""

from __future__ import annotations

import pytest

from robocache.core.errors import DataError
from robocache.evaluation.gate import judge
from robocache.evaluation.pairs import pair_by_task
from robocache.evaluation.reasons import attempts, compared, evidence, headline, not_luck
from robocache.runs import LedgerRow


def verdict(candidate: str, baseline: str):
    return judge(
        *({str(i): sign == "+" for i, sign in enumerate(c)} for c in (candidate, baseline))
    )


def rows(task: str, signs: str, seed: int = 1) -> list[LedgerRow]:
    return [
        LedgerRow(f"{task}/{i}", "s", "0" * 64, sign == "+", 1, task, seed, i)
        for i, sign in enumerate(signs)
    ]


def test_the_headline_says_which_is_better_and_by_how_much():
    assert headline(verdict("+" * 9 + "-", "-" * 10)) == (
        "The candidate is better than the baseline: it solved 9 of 10 episodes, the baseline 0 "
        "(+90.0 percentage points)."
    )
    assert headline(verdict("-" * 10, "+" * 9 + "-")).startswith(
        "The candidate is worse than the baseline: it solved 0 of 10 episodes, the baseline 9 (-90"
    )
    assert headline(verdict("++", "+-")).startswith(
        "It cannot be said yet which is better: the candidate solved 2 of 2 episodes, the baseline"
    )
    assert headline(verdict("+-", "+-")).startswith("No difference was seen")


def test_luck_is_named_as_what_the_test_says():
    title, words = not_luck(verdict("+" * 9 + "-", "-" * 10))
    assert title == "Not luck" and "9 went to the candidate and 0 to the baseline" in words
    assert "p = 0.0039" in words and "below the 0.05" in words
    title, words = not_luck(verdict("++", "+-"))
    assert title == "Luck?" and "p = 1" in words and "not below" in words
    assert "nothing speaks for either" in not_luck(verdict("+", "+"))[1]


def test_attempts_rivals_and_unsealed_runs_are_said():
    _, words = attempts(3, 1, "version 2 of slot production")
    assert "3 verdicts on this pair; 1 other candidate was judged" in words
    assert "declared beforehand: version 2" in words
    assert "No slot's rule was declared" in attempts(1, 0, None)[1]
    assert evidence([("r", "ab" * 32)])[0] == "Not altered"
    assert evidence([("r", "ab" * 32), ("q", None)])[0] == "Altered?"
    said = compared([("candidate", "mt10@200", "ab" * 32), ("baseline", "m:P", "cd" * 32)])[1]
    assert "policy of training run mt10 after 200 steps (checkpoint abababababab)" in said


def test_every_episode_is_one_cell_in_the_order_of_layouts():
    candidate = [*rows("b", "+"), *rows("a", "++--")]
    baseline = [*rows("a", "+-+-"), *rows("b", "+")]
    first, second = pair_by_task(candidate[::-1], baseline)
    assert (first.task, second.task) == ("a", "b")
    kinds = ["both", "candidate", "baseline", "neither"]
    assert [cell.kind for cell in first.cells] == kinds
    assert [cell.index for cell in first.cells] == [0, 1, 2, 3]
    assert [first.count(kind) for kind in kinds] == [1, 1, 1, 1]


def test_other_episodes_are_no_pairs():
    with pytest.raises(DataError, match="missing from the candidate"):
        pair_by_task(rows("a", "+"), rows("a", "++"))
    with pytest.raises(DataError, match="must run exactly the same"):
        pair_by_task(rows("a", "+", seed=1), rows("a", "+", seed=2))
