"""Dataset conventions: the table, and each rule on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rlds_writer import example, group, marks, tensor, text, write_dataset

from robocache.core.errors import ConfigError, MissingStreamError, ShapeError
from robocache.datasets.rlds import RLDSDataset
from robocache.datasets.rlds.conventions import _table, convention_named, convention_of
from robocache.datasets.rlds.standard import (
    GRIPPERS,
    binarized_backwards,
    kept_steps,
    open_from_relative_closing,
)


@pytest.mark.parametrize(
    ("moves", "opening"),
    [
        ([0, 0, 1, 0, 0, -1, 0], [1, 1, 0, 0, 0, 1, 1]),
        ([0, -1, 0, 1], [0, 1, 1, 0]),
        ([0, 0.05, -0.09], [1, 1, 1]),
        ([1, 1, -0.4], [0, 0, 1]),
        ([], []),
    ],
)
def test_relative_gripper(moves, opening):
    assert open_from_relative_closing(np.array(moves, np.float32)).tolist() == opening


@pytest.mark.parametrize(
    ("values", "opening"),
    [
        ([1, 0.6, 0.3, 0, 0.2, 0.9, 1], [1, 0, 0, 0, 1, 1, 1]),
        ([0, 0.5, 0.5], [0, 0.5, 0.5]),
        ([0.4], [0.4]),
        ([], []),
    ],
)
def test_gripper_on_its_way_becomes_where_it_goes(values, opening):
    result = binarized_backwards(np.array(values, np.float32))
    np.testing.assert_array_equal(result, np.array(opening, np.float32))


def test_other_grippers():
    def made(kind: str, *values: float) -> list[float]:
        return GRIPPERS[kind](np.array(values)).tolist()

    assert made("closed", 0, 1, 0.25, 1.5, -1) == [1, 0, 0.75, 0, 1]
    assert made("open", 0, 1) == [0, 1]
    assert made("open_clipped", -1, 0.5, 2) == [0, 0.5, 1]
    assert made("open_minus_one", -1, 1, 0) == [1, 0, 0.5]


def test_the_table():
    table, aliases = _table()
    rates = {
        "fractal20220817_data": 3,
        "bridge": 5,
        "bridge_orig": 5,
        "droid": 15,
        "language_table": 10,
        "fmb": 10,
        "asu_table_top_converted_externally_to_rlds": 12.5,
        "dobbe": 3.75,
        "berkeley_rpt_converted_externally_to_rlds": 30,
        "libero_10_no_noops": 20,
    }
    assert {name: convention_of(name).rate_hz for name in rates} == rates
    assert len(table) > 60 and not set(aliases) & set(table)
    for name, entry in table.items():
        assert all(gripper.kind in GRIPPERS for gripper in entry.grippers), name
        assert name == "" or 0 < entry.rate_hz <= 50
        assert entry.language
    assert convention_of("nobody knows it").rate_hz is None
    with pytest.raises(ConfigError, match="did you mean 'bridge_dataset'"):
        convention_named("bridge_datasets")


def stored(tmp_path, name, steps, lists, episode=None, **kwargs):
    folder = write_dataset(
        tmp_path / name,
        steps,
        {"train": [[example({**marks(len(lists["steps/x"])), **lists})]]},
        name=name,
        episode=episode,
    )
    return RLDSDataset(folder, **kwargs)


def test_rt1(tmp_path):
    dataset = stored(
        tmp_path,
        "fractal20220817_data",
        {
            "action": group(
                gripper_closedness_action=tensor("float32", 1), world_vector=tensor("float32", 3)
            ),
            "observation": group(natural_language_instruction=text()),
            "x": tensor("int64"),
        },
        {
            "steps/x": [0, 1, 2, 3],
            "steps/action/gripper_closedness_action": [0.0, 1.0, 0.0, -1.0],
            "steps/action/world_vector": [float(k) for k in range(12)],
            "steps/observation/natural_language_instruction": ["pick can"] * 4,
            "aspects/success": [1],
            "aspects/has_aspects": [1],
        },
        {"aspects": group(success=tensor("bool"), has_aspects=tensor("bool"))},
        conventions="standard",
    )
    episode = dataset[0]
    gripper = episode.streams["action/gripper_closedness_action"]
    assert gripper.values.tolist() == [[1], [0], [0], [1]] and gripper.spec.unit == "1 = open"
    assert episode.streams["action/world_vector"].values[3].tolist() == [9, 10, 11]
    assert (episode.instruction, episode.outcome.success) == ("pick can", True)
    np.testing.assert_array_equal(gripper.times_s, np.arange(4) / 3)
    np.testing.assert_array_equal(gripper.available_s, np.arange(1, 5) / 3)
    assert episode.streams["x"].available_s is None
    step = dataset.rlds_episode(0).steps[1]
    assert list(step.action) == ["gripper_closedness_action", "world_vector"]
    assert step.action["gripper_closedness_action"].tolist() == [1.0]  # as it is stored


def test_bridge_of_open_x(tmp_path):
    state = np.cumsum(np.arange(28.0).reshape(4, 7), axis=0)
    dataset = stored(
        tmp_path,
        "bridge",
        {
            "action": group(
                world_vector=tensor("float32", 3),
                rotation_delta=tensor("float32", 3),
                open_gripper=tensor("bool"),
            ),
            "observation": group(state=tensor("float32", 7)),
            "x": tensor("int64"),
        },
        {
            "steps/x": [0, 1, 2, 3],
            "steps/action/world_vector": [0.5] * 12,
            "steps/action/rotation_delta": [0.25] * 12,
            "steps/action/open_gripper": [0, 1, 0, 1],
            "steps/observation/state": state,
        },
        conventions="standard",
    )
    streams = dataset[0].streams
    assert streams["x"].values.tolist() == [1, 2]
    assert streams["action/world_vector"].values.tolist() == [[14, 15, 16], [21, 22, 23]]
    assert streams["action/rotation_delta"].values.tolist() == [[17, 18, 19], [24, 25, 26]]
    assert streams["action/open_gripper"].values.tolist() == [1, 0]
    assert streams["action/open_gripper"].values.dtype == np.float32
    assert kept_steps(dataset.convention, 1) == slice(1, 1)


@pytest.mark.parametrize(
    ("path", "success"),
    [("/r2d2/success/2023/a.h5", True), ("/r2d2/failure/x", False), ("/other", None)],
)
def test_droid(tmp_path, path, success):
    lists = {
        "steps/x": [0, 1],
        "steps/language_instruction": ["", ""],
        "steps/language_instruction_2": ["wipe", "wipe"],
        "steps/action": [0.5] * 6 + [0.25] + [0.5] * 6 + [1.0],
        "steps/action_dict/gripper_position": [0.25, 1.0],
        "steps/observation/gripper_position": [0.0, 0.5],
        "episode_metadata/file_path": [path],
    }
    steps = {
        "x": tensor("int64"),
        "language_instruction": text(),
        "language_instruction_2": text(),
        "action": tensor("float64", 7),
        "action_dict": group(gripper_position=tensor("float64", 1)),
        "observation": group(gripper_position=tensor("float64", 1)),
    }
    metadata = {"episode_metadata": group(file_path=text())}
    dataset = stored(tmp_path, "droid", steps, lists, metadata, conventions="standard")
    episode = dataset[0]
    assert (episode.instruction, episode.outcome.success) == ("wipe", success)
    assert episode.streams["action"].values[:, 6].tolist() == [0.75, 0.0]
    assert episode.streams["action"].values.dtype == np.float64
    assert episode.streams["observation/gripper_position"].values.ravel().tolist() == [1, 0.5]
    assert episode.streams["action"].spec.rate_hz == 15


def test_a_stream_that_the_conventions_need(tmp_path):
    lists = {"steps/x": [0, 1], "steps/action": [0.5] * 6}
    steps = {"x": tensor("int64"), "action": tensor("float32", 3)}
    dataset = stored(tmp_path, "bridge_dataset", steps, lists, conventions="standard")
    with pytest.raises(ShapeError, match="column 6, the samples are") as caught:
        dataset[0]
    assert caught.value.stream == "action" and caught.value.episode == "train/000000"
    dataset = stored(tmp_path, "bridge", steps, lists, conventions="standard")
    with pytest.raises(MissingStreamError, match='conventions="as_stored"') as caught:
        dataset[0]
    assert caught.value.stream == "action/open_gripper"
    assert [str(p) for p in dataset.problems()] == [str(caught.value)]
    assert stored(tmp_path, "bridge", steps, lists)[0].outcome.steps == 2


def test_rates(tmp_path):
    lists, steps = {"steps/x": [0, 1]}, {"x": tensor("int64")}
    unknown = stored(tmp_path, "mine", steps, lists)
    assert unknown.report()["rate_source"] == "rate unknown, 1 Hz assumed; give rate_hz"
    given = stored(tmp_path, "mine", steps, lists, rate_hz=4.0)
    assert given[0].streams["x"].times_s.tolist() == [0, 0.25]
    assert given[0].streams["x"].spec.clock == "synthetic"
    known = stored(tmp_path, "mine", steps, lists, known_as="viola")
    assert known.report()["rate_source"] == "table of conventions (viola)"
    assert len({unknown.fingerprint, given.fingerprint, known.fingerprint}) == 3
    with pytest.raises(ConfigError, match="rate_hz must be positive"):
        stored(tmp_path, "mine", steps, lists, rate_hz=0)
    with pytest.raises(ConfigError, match="conventions"):
        stored(tmp_path, "mine", steps, lists, conventions="standart")
