"""Statistics: computed, chosen, merged, written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_groot_processing import HORIZON, TAG, config, numbers, statistics

from robocache.core.errors import ConfigError, DataError, NonFiniteError, ShapeError
from robocache.core.statistics import Statistics
from robocache.policies.groot_n16.processing.dataset_statistics import (
    compute_statistics,
    from_streams,
    relative_windows,
)
from robocache.policies.groot_n16.processing.statistics import (
    FIELDS,
    EmbodimentStatistics,
    choose_statistics,
    merge_statistics,
    read_statistics,
)


def episodes(seed: int, lengths: tuple[int, ...]) -> list[tuple[Any, Any]]:
    random = np.random.default_rng(seed)
    return [(numbers(random, n), numbers(random, n)) for n in lengths]


def assert_same(left: EmbodimentStatistics, right: EmbodimentStatistics) -> None:
    assert left.named().keys() == right.named().keys()
    for name, group in left.named().items():
        for field in FIELDS.values():
            other = getattr(right.named()[name], field)
            np.testing.assert_allclose(getattr(group, field), other, atol=1e-12, err_msg=name)


def test_they_are_those_of_numpy() -> None:
    made = episodes(0, (30, 3, 50))
    found = compute_statistics(config(), made)
    arm = np.concatenate([states["arm"] for states, _ in made]).astype(float)
    group = found.state["arm"]
    np.testing.assert_allclose(group.mean, arm.mean(axis=0))
    np.testing.assert_allclose(group.std, arm.std(axis=0))
    np.testing.assert_allclose(group.minimum, arm.min(axis=0))
    np.testing.assert_allclose(group.q99, np.quantile(arm, 0.99, axis=0))
    # windows of 4 steps in episodes of 30, 3 and 50
    relative = np.stack(
        [
            actions["arm"][t : t + HORIZON].astype(float) - states["arm"][t].astype(float)
            for states, actions in made
            for t in range(len(states["arm"]) - HORIZON + 1)
        ]
    )
    assert len(relative) == 27 + 47
    group = found.relative_action["arm"]
    assert group.count == len(relative)
    np.testing.assert_allclose(group.mean, relative.mean(axis=0))
    np.testing.assert_allclose(group.std, relative.std(axis=0))
    np.testing.assert_allclose(group.q01, np.quantile(relative, 0.01, axis=0))
    assert set(found.relative_action) == {"arm", "hand", "vec"}
    assert found.relative_action["hand"].mean.shape == (HORIZON, 9)


def test_windows_lie_inside_the_episode() -> None:
    ((states, actions),) = episodes(1, (HORIZON,))
    assert relative_windows(config(), "arm", states, actions).shape == (1, HORIZON, 3)
    with pytest.raises(DataError, match="no episode holds a window of 4 steps"):
        compute_statistics(config(), episodes(1, (HORIZON - 1,)))
    actions["arm"] = actions["arm"][1:]
    with pytest.raises(ShapeError, match="3 actions, 4 states"):
        relative_windows(config(), "arm", states, actions)


def test_bad_arrays_are_named() -> None:
    ((states, actions),) = episodes(2, (9,))
    states["base"][3, 0] = np.nan
    with pytest.raises(NonFiniteError, match=f"embodiment {TAG}") as raised:
        compute_statistics(config(), [(states, actions)])
    assert raised.value.stream == "state.base"
    del states["base"]
    with pytest.raises(ShapeError, match="expected"):
        compute_statistics(config(), [(states, actions)])


def test_statistics_of_streams_are_taken_over() -> None:
    computed = compute_statistics(config(), episodes(3, (20,)))
    streams = {name: s for name, s in computed.named().items() if not name.startswith("rel")}
    streams["joints"] = streams.pop("state.arm")
    taken = from_streams(
        config(),
        Statistics(streams),
        {"state.arm": "joints"},
        relative=computed.relative_action,
    )
    assert_same(taken, computed)


def test_json_has_the_public_schema_and_comes_back() -> None:
    data = statistics().to_json()
    assert list(data) == ["state", "action", "relative_action"]
    assert list(data["state"]["arm"]) == ["min", "max", "mean", "std", "q01", "q99"]
    assert np.shape(data["relative_action"]["arm"]["q99"]) == (HORIZON, 3)
    assert_same(read_statistics({TAG: data})[TAG], statistics())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda g: g.pop("q01"), "lack q01"),
        (lambda g: g.update(min=[0.0]), "has shape"),
        (lambda g: g.update(max=["a", "b", "c"]), "max"),
        (lambda g: g.update(std=[0.0, float("nan"), 1.0]), "not finite"),
    ],
)
def test_damaged_statistics_are_named(change: Any, problem: str) -> None:
    data = statistics().to_json()
    change(data["action"]["arm"])
    with pytest.raises(DataError, match=problem) as raised:
        read_statistics({TAG: data})
    assert raised.value.stream == "action.arm"
    assert f"embodiment {TAG}" in str(raised.value)


def test_statistics_that_are_no_objects_are_named() -> None:
    for wrong in (5, {"state": 5}):
        with pytest.raises(DataError, match=f"embodiment {TAG}"):
            read_statistics({TAG: wrong})


def test_what_is_used_is_said() -> None:
    checkpoint, data = statistics(), compute_statistics(config(), episodes(4, (20,)))
    chosen = choose_statistics("pretrained", TAG, pretrained=checkpoint, dataset=data)
    assert set(chosen.origin.values()) == {"pretrained"}
    assert_same(chosen.statistics, checkpoint)
    chosen = choose_statistics("dataset", TAG, pretrained=checkpoint, dataset=data)
    assert set(chosen.origin.values()) == {"dataset"}
    assert_same(chosen.statistics, data)
    part = EmbodimentStatistics(state={"arm": checkpoint.state["arm"]})
    chosen = choose_statistics("merge", TAG, pretrained=part, dataset=data)
    assert chosen.origin["state.arm"] == "merge"
    assert chosen.origin["action.arm"] == "dataset"
    assert (chosen.statistics.state["arm"].minimum == -4).all()
    np.testing.assert_allclose(
        chosen.statistics.state["arm"].mean, (0.1 + data.state["arm"].mean) / 2
    )


@pytest.mark.parametrize("policy", ["pretrained", "dataset", "merge"])
def test_statistics_that_are_not_there_are_an_error(policy: Any) -> None:
    sides = {"pretrained": statistics(), "dataset": statistics()}
    missing = "dataset" if policy == "dataset" else "pretrained"
    sides[missing] = EmbodimentStatistics()
    with pytest.raises(ConfigError, match=f"those of the {missing}, which has none"):
        choose_statistics(policy, TAG, **sides)
    with pytest.raises(ConfigError, match="unknown statistics policy"):
        choose_statistics("none", TAG, pretrained=None, dataset=None)  # type: ignore[arg-type]


def test_merged_by_size_is_that_of_all_data() -> None:
    made = episodes(5, (20, 60))
    parts = [compute_statistics(config(), [one]) for one in made]
    both = merge_statistics(parts, [20, 60], TAG)
    whole = compute_statistics(config(), made)
    for field in ("mean", "std", "minimum", "maximum"):
        np.testing.assert_allclose(
            getattr(both.state["arm"], field), getattr(whole.state["arm"], field)
        )
    lowest = np.minimum(parts[0].state["arm"].q01, parts[1].state["arm"].q01)
    assert both.state["arm"].q01.tolist() == lowest.tolist()
    with pytest.raises(ConfigError, match=r"state\.arm"):
        merge_statistics([parts[0], EmbodimentStatistics()], [1, 1], TAG)
    with pytest.raises(ConfigError, match="weights"):
        merge_statistics(parts, [0, 0], TAG)
    other = EmbodimentStatistics(state={"arm": parts[0].state["base"]})
    mine = EmbodimentStatistics(state={"arm": parts[0].state["arm"]})
    with pytest.raises(ShapeError, match="cannot be merged"):
        merge_statistics([mine, other], [1, 1], TAG)
