"""Which samples answer which times: hand examples and a loop that does it the long way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError, TimesError
from robocache.ops.resample import apply_plan, plan_resample

INF = math.inf


def seconds(*times: float) -> torch.Tensor:
    return torch.tensor(times, dtype=torch.float64)


def listed(plan) -> list[tuple]:
    columns = (plan.left, plan.right, plan.weight, plan.valid, plan.age_s)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_previous_by_hand():
    plan = plan_resample(
        seconds(0, 1, 2, 4), seconds(-1, 0, 0.5, 3.5, 4, 6), method="previous", max_gap_s=1.5
    )
    assert listed(plan) == [
        (0, 0, 0, False, INF),
        (0, 0, 0, True, 0),
        (0, 0, 0, True, 0.5),
        (2, 2, 0, True, 1.5),
        (3, 3, 0, True, 0),
        (3, 3, 0, False, 2),
    ]


def test_nearest_by_hand_ties_go_to_the_earlier():
    plan = plan_resample(
        seconds(0, 1, 2, 4), seconds(-2, -1, 0.5, 0.75, 3, 5.5), method="nearest", max_gap_s=1
    )
    assert listed(plan) == [
        (0, 0, 0, False, -2),
        (0, 0, 0, True, -1),
        (0, 0, 0, True, 0.5),
        (1, 1, 0, True, -0.25),
        (2, 2, 0, True, 1),
        (3, 3, 0, False, 1.5),
    ]


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_two_sided_by_hand(method):
    plan = plan_resample(
        seconds(0, 1, 2, 4), seconds(-1, 0, 0.25, 2, 3, 4, 5), method=method, max_gap_s=1
    )
    assert listed(plan) == [
        (0, 0, 0, False, -1),
        (0, 0, 0, True, 0),
        (0, 1, 0.25, True, 0.25),
        (2, 2, 0, True, 0),
        (2, 2, 0, False, 1),
        (3, 3, 0, True, 0),
        (3, 3, 0, False, 1),
    ]


def test_a_wide_gap_is_bridged_only_without_limit():
    source, target = seconds(0, 2), seconds(0.5)
    assert listed(plan_resample(source, target, method="linear")) == [(0, 1, 0.25, True, 0.5)]
    assert listed(plan_resample(source, target, method="linear", max_gap_s=2.0))[0][3]
    assert not listed(plan_resample(source, target, method="linear", max_gap_s=1.99))[0][3]


def test_a_late_delivery_is_not_used_and_an_overtaking_one_is():
    source, available = seconds(0, 1, 2, 3), seconds(0, 5, 2.5, 9)
    now = seconds(2, 3, 5, 9)
    at = seconds(2, 3, 1.5, 3)
    plan = plan_resample(source, at, method="previous", available_times=available, now=now)
    assert plan.left.tolist() == [0, 2, 1, 3]
    plan = plan_resample(source, at, method="nearest", available_times=available, now=now)
    assert plan.left.tolist() == [0, 2, 1, 3]
    plan = plan_resample(source, at, method="linear", available_times=available, now=now)
    assert list(zip(plan.left.tolist(), plan.right.tolist(), strict=True)) == [
        (0, 0),
        (2, 2),
        (1, 2),
        (3, 3),
    ]
    assert plan.valid.tolist() == [False, False, True, True]


@pytest.mark.parametrize("method", ["previous", "nearest", "linear", "slerp"])
def test_nothing_usable(method):
    for source, more in (
        (seconds(), {}),
        (seconds(), {"available_times": seconds(), "now": seconds(1, 2)}),
        (seconds(0, 1), {"available_times": seconds(INF, INF), "now": seconds(1, 2)}),
        (seconds(3, 4), {"available_times": seconds(3, 4), "now": seconds(1, 2)}),
    ):
        plan = plan_resample(source, seconds(1, 2), method=method, **more)
        assert listed(plan) == [(0, 0, 0, False, INF)] * 2


def test_target_of_any_shape_and_one_now_for_many():
    source = seconds(*range(10))
    target = torch.rand(3, 4, 2, dtype=torch.float64) * 9
    plan = plan_resample(
        source, target, method="previous", available_times=source + 0.5, now=seconds(6.0)
    )
    expected = torch.minimum(target.floor().long(), torch.tensor(5))
    assert torch.equal(plan.left, expected)
    assert torch.equal(plan.age_s, target - source[expected])
    assert all(getattr(plan, f).shape == (3, 4, 2) for f in ("right", "weight", "valid"))


def by_loop(source, target, method, max_gap, available, now):
    """One target at a time, from the words of the definition."""
    limit = INF if max_gap is None else max_gap
    usable = [i for i in range(len(source)) if available[i] <= now]
    if not usable:
        return 0, 0, 0.0, False, INF
    before = [i for i in usable if source[i] <= target]
    after = [i for i in usable if source[i] >= target]
    if method == "previous":
        if not before:
            return 0, 0, 0.0, False, INF
        i = before[-1]
        return i, i, 0.0, target - source[i] <= limit, target - source[i]
    if method == "nearest":
        i = min(usable, key=lambda i: (abs(source[i] - target), i))
        return i, i, 0.0, abs(source[i] - target) <= limit, target - source[i]
    if not before or not after:
        i = before[-1] if before else after[0]
        return i, i, 0.0, False, target - source[i]
    i, j = before[-1], after[0]
    if i == j:
        return i, i, 0.0, True, 0.0
    if source[j] - source[i] > limit:
        return i, i, 0.0, False, target - source[i]
    share = (target - source[i]) / (source[j] - source[i])
    return i, j, share, True, target - source[i]


@pytest.mark.parametrize("method", ["previous", "nearest", "linear"])
def test_against_the_loop_with_out_of_order_deliveries(method):
    rng = np.random.default_rng(7)
    for case in range(60):
        count = int(rng.integers(0, 12))
        source = np.cumsum(rng.integers(1, 4, count)).astype(float)
        latency = rng.integers(0, 9, count).astype(float)
        latency[rng.random(count) < 0.15] = INF
        available = source + latency
        target = np.concatenate([rng.integers(-2, 40, 9), rng.uniform(-2, 40, 8)])
        now = target + rng.choice([-3.0, 0.0, 0.5, 4.0, 30.0], len(target))
        max_gap = None if case % 3 == 0 else float(rng.integers(1, 6))
        plan = plan_resample(
            torch.from_numpy(source),
            torch.from_numpy(target),
            method=method,
            max_gap_s=max_gap,
            available_times=torch.from_numpy(available),
            now=torch.from_numpy(now),
        )
        expected = [
            by_loop(source, t, method, max_gap, available, n)
            for t, n in zip(target, now, strict=True)
        ]
        assert listed(plan) == expected


def test_poison_in_unused_samples_does_not_reach_valid_results():
    source = torch.arange(30, dtype=torch.float64)
    available = source.clone()
    available[[5, 6, 20]] = INF
    target = torch.linspace(-1, 31, 77, dtype=torch.float64)
    for method in ("previous", "nearest", "linear"):
        plan = plan_resample(
            source, target, method=method, available_times=available, now=target + 3
        )
        data = torch.rand(30, 3)
        data[[5, 6, 20]] = torch.nan
        values = apply_plan(data, plan, method=method)
        assert plan.valid.sum() > 50
        assert torch.isfinite(values[plan.valid]).all()


def test_refusals():
    source, target = seconds(0, 1), seconds(0.5)
    with pytest.raises(ConfigError, match="did you mean 'linear'"):
        plan_resample(source, target, method="liner")
    with pytest.raises(ConfigError, match="belong together"):
        plan_resample(source, target, method="linear", available_times=source)
    with pytest.raises(TimesError, match="float64"):
        plan_resample(source.float(), target, method="linear")
    with pytest.raises(TimesError, match="finite"):
        plan_resample(source, seconds(math.nan), method="linear")
    with pytest.raises(TimesError, match="shape"):
        plan_resample(source, target, method="linear", available_times=seconds(1), now=seconds(1))
