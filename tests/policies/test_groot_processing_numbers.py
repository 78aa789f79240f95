"""States and actions by hand, the switches of `Compat`, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_groot_processing import HORIZON, TAG, WIDTHS, config, group, numbers, statistics

from robocache.core.errors import (
    ConfigError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
)
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.modality import Representation
from robocache.policies.groot_n16.processing.scaling import Scaling
from robocache.policies.groot_n16.processing.state_action import (
    ScalingOptions,
    StateActionProcessor,
)

OPTIONS = ScalingOptions(apply_sincos_state_encoding=True, use_relative_action=True)


def made(
    options: ScalingOptions = OPTIONS,
    compat: Compat = Compat(),  # noqa: B008
    rep: Representation = Representation.RELATIVE,
) -> StateActionProcessor:
    return StateActionProcessor(config(rep=rep), statistics(), options, compat)


def scaling(low: list[float], high: list[float], kind: str = "range", clip: bool = True) -> Scaling:
    return Scaling(kind, np.array(low), np.array(high), clip, clip)  # type: ignore[arg-type]


def test_a_range_becomes_minus_one_to_one() -> None:
    scale = scaling([0, 10, 5], [4, 20, 5])
    values = np.array([[1, 20, 7], [5, 10, 5]], np.float32)
    scaled = scale.apply(values)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [[-0.5, 1, 0], [1, -1, 0]]
    assert scale.undo(scaled).tolist() == [[1, 20, 5], [4, 10, 5]]
    assert scale.undo(np.array([[-2.0, 0, 3]])).tolist() == [[0, 15, 5]]
    loose = scaling([0, 10, 5], [4, 20, 5], clip=False)
    assert loose.apply(values).tolist() == [[-0.5, 1, 0], [1.5, -1, 0]]
    assert loose.undo(loose.apply(values)).tolist() == [[1, 20, 5], [5, 10, 5]]


def test_a_deviation_that_is_zero_gives_zero_and_the_mean() -> None:
    scale = scaling([1, 2], [2, 0], "z", clip=False)
    scaled = scale.apply(np.array([[5.0, 7.0]]))
    assert scaled.tolist() == [[2, 0]]
    assert scale.undo(scaled).tolist() == [[5, 2]]


def test_states_are_scaled_by_the_kind_of_their_group() -> None:
    states = {key: np.full((1, width), 1.0) for key, width in WIDTHS.items()}
    found = made().encode_states(states)
    assert {key: values.shape[1] for key, values in found.items()} == {**WIDTHS, "wrist": 4}
    np.testing.assert_allclose(found["arm"], 0.25)
    np.testing.assert_allclose(found["base"], (1 - 0.1) / 0.7, rtol=1e-6)
    np.testing.assert_allclose(found["wrist"][0], [np.sin(1)] * 2 + [np.cos(1)] * 2, rtol=1e-6)
    off = replace(OPTIONS, apply_sincos_state_encoding=False, use_percentiles=True)
    found = made(off).encode_states(states)
    np.testing.assert_allclose(found["wrist"], 1 / 3.6, rtol=1e-6)


def test_only_range_scaled_states_are_cut() -> None:
    states = {key: np.full((1, width), 9.0) for key, width in WIDTHS.items()}
    found = made().encode_states(states)
    assert found["arm"].max() == 1
    assert found["base"].max() > 12
    assert made(replace(OPTIONS, clip_outliers=False)).encode_states(states)["arm"].max() == 2.25


@pytest.mark.parametrize("rep", list(Representation))
@pytest.mark.parametrize("compat", [Compat(), Compat.public(), Compat.for_public_weights()])
@pytest.mark.parametrize("percentiles", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_actions_come_back(
    rep: Representation, compat: Compat, percentiles: bool, relative: bool
) -> None:
    options = ScalingOptions(percentiles, True, True, relative)
    random = np.random.default_rng(3)
    actions, states = numbers(random, HORIZON), numbers(random, 1)
    actions["base"] = np.clip(actions["base"], -0.5, 0.7)
    both = made(options, compat, rep)
    encoded = {k: v[None] for k, v in both.encode_actions(actions, states).items()}
    back = both.decode_actions(encoded, [states])
    for key, values in actions.items():
        np.testing.assert_allclose(back[key][0], values, atol=3e-6, err_msg=key)


def test_z_scores_are_cut_only_as_the_public_code_does() -> None:
    random = np.random.default_rng(4)
    actions, states = numbers(random, HORIZON), numbers(random, 1)
    actions["base"][:] = 2.2
    assert made().encode_actions(actions, states)["base"].max() == pytest.approx(3)
    public = made(compat=Compat(clip_z_scores=True))
    assert public.encode_actions(actions, states)["base"].max() == 1
    loose = made(replace(OPTIONS, clip_outliers=False), Compat.public())
    assert loose.encode_actions(actions, states)["base"].max() == pytest.approx(3)


def test_percentiles_of_relative_groups() -> None:
    random = np.random.default_rng(5)
    actions, states = numbers(random, HORIZON), numbers(random, 1)
    options = replace(OPTIONS, use_percentiles=True)
    relative = actions["arm"].astype(float) - states["arm"]
    ours = made(options).encode_actions(actions, states)["arm"]
    np.testing.assert_allclose(ours, np.clip(relative / 6.3, -1, 1), atol=1e-12)
    public = made(options, Compat(relative_by_range=True)).encode_actions(actions, states)["arm"]
    np.testing.assert_allclose(public, relative / 7, atol=1e-12)


def test_delta_is_applied_unless_as_the_public_code() -> None:
    random = np.random.default_rng(6)
    actions, states = numbers(random, HORIZON), numbers(random, 1)
    delta = Representation.DELTA
    steps = np.diff(np.concatenate([states["arm"], actions["arm"]]).astype(float), axis=0)
    ours = made(rep=delta).encode_actions(actions, states)["arm"]
    np.testing.assert_allclose(ours, np.clip(steps / 7, -1, 1), atol=1e-12)
    public = made(compat=Compat(delta_as_absolute=True), rep=delta).encode_actions(actions, states)
    np.testing.assert_allclose(public["arm"], actions["arm"] / 4, atol=1e-6)


def test_what_is_decoded_is_cut() -> None:
    encoded = {key: np.full((1, HORIZON, width), 1.5) for key, width in WIDTHS.items()}
    off = ScalingOptions(clip_outliers=False)
    assert made(ScalingOptions()).decode_actions(encoded, None)["arm"].max() == 4
    assert made(off).decode_actions(encoded, None)["arm"].max() == 6
    assert (
        made(off, Compat(always_clip_decoded=True)).decode_actions(encoded, None)["arm"].max() == 4
    )
    np.testing.assert_allclose(made(off).decode_actions(encoded, None)["base"], 1.5 * 0.7 + 0.1)


@pytest.mark.parametrize(
    ("kind", "key", "value", "error", "problem"),
    [
        ("state", "arm", None, MissingStreamError, "there are: base"),
        ("state", "arm", np.zeros((1, 4)), ShapeError, r"expected shape \(1, 3\), got \(1, 4\)"),
        ("state", "arm", np.zeros((2, 3)), ShapeError, r"expected shape \(1, 3\)"),
        ("state", "wrist", np.zeros(2), ShapeError, r"expected shape \(1, any\)"),
        ("state", "arm", np.array([[0, np.nan, 0]]), NonFiniteError, "NaN"),
        ("state", "arm", np.array([["a", "b", "c"]]), ShapeError, "expected numbers"),
        ("action", "arm", None, MissingStreamError, "there are: base"),
        ("action", "arm", np.zeros((3, 3)), ShapeError, r"expected shape \(4, 3\)"),
        ("action", "hand", np.full((4, 9), np.inf), NonFiniteError, "NaN"),
        ("action", "hand", np.zeros((4, 9)), DataError, "no rotation"),
    ],
)
def test_bad_input_names_group_and_embodiment(
    kind: str, key: str, value: np.ndarray | None, error: type[DataError], problem: str
) -> None:
    random = np.random.default_rng(7)
    groups = {"state": numbers(random, 1), "action": numbers(random, HORIZON)}
    if value is None:
        del groups[kind][key]
    else:
        groups[kind][key] = value

    def encode(both: StateActionProcessor) -> None:
        both.encode_states(groups["state"])
        both.encode_actions(groups["action"], groups["state"])

    with pytest.raises(error, match=problem) as raised:
        encode(made())
    assert raised.value.stream == f"{kind}.{key}"
    assert f"embodiment {TAG}" in str(raised.value)


def test_decoding_relative_actions_needs_states() -> None:
    encoded = {key: np.zeros((1, HORIZON, width)) for key, width in WIDTHS.items()}
    with pytest.raises(MissingStreamError, match=r"action.arm is relative to it") as raised:
        made().decode_actions(encoded, None)
    assert raised.value.stream == "state.arm"
    encoded["vec"][0, 0, 0] = np.nan
    with pytest.raises(NonFiniteError):
        made(ScalingOptions()).decode_actions(encoded, None)


def test_missing_and_misshaped_statistics_are_named() -> None:
    kept = statistics()
    no_arm = replace(kept, relative_action={})
    with pytest.raises(MissingStreamError, match="no statistics of it") as raised:
        StateActionProcessor(config(), no_arm, OPTIONS, Compat())
    assert raised.value.stream == "relative_action.arm"
    flat = replace(kept, state={**kept.state, "arm": group((2, 3))})
    with pytest.raises(ShapeError, match="one number for each dimension") as misshaped:
        StateActionProcessor(config(), flat, OPTIONS, Compat())
    assert misshaped.value.stream == "state.arm"
    short = replace(kept, relative_action={**kept.relative_action, "arm": group((2, 3))})
    with pytest.raises(ShapeError, match=r"shape \(2, 3\) for 4 steps"):
        StateActionProcessor(config(), short, OPTIONS, Compat())


def test_switches_are_read_and_unknown_ones_refused() -> None:
    assert Compat.from_json(Compat.public().to_json()) == Compat.public()
    assert all(Compat.public().to_json().values())
    with pytest.raises(ConfigError, match="did you mean 'letterbox'"):
        Compat.from_json({"leterbox": True})
    with pytest.raises(ConfigError, match="true or false"):
        Compat.from_json({"letterbox": 1})
