"""Changes of episodes by name: hand examples, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError, DataError, ShapeError, TimesError
from robocache.datasets.transforms import (
    TRANSFORMS,
    GripperConversion,
    Instruction,
    JoinedStreams,
    KeptColumns,
    Scaling,
    find_transform,
)


def stream(values, *, late_s: float | None = None, **spec) -> Stream:
    array = np.array(values)
    times = np.arange(len(array)) / 10
    declared = StreamSpec(array.shape[1:], array.dtype.name, 10.0, **spec)
    return Stream(array, times, declared, None if late_s is None else times + late_s)


def episode(**streams: Stream) -> Episode:
    return Episode("one", streams)


@pytest.mark.parametrize(
    ("kind", "stored", "made"),
    [
        ("open", [0, 1, 0.5], [0, 1, 0.5]),
        ("closed", [0, 1, 0.25], [1, 0, 0.75]),
        ("open_minus_one", [-1, 1, 0], [1, 0, 0.5]),
        ("closed_minus_one", [-1, 1, 2], [0, 1, 1]),
        ("relative_closing", [0, 1, 0], [1, 0, 0]),
    ],
)
def test_grippers_become_one_open_zero_closed(kind, stored, made):
    before = episode(action=stream([[7.0, one, 8.0] for one in stored]))
    after = GripperConversion(kind, column=1)(before).stream("action")
    np.testing.assert_allclose(after.values, [[7, one, 8] for one in made])
    assert before.stream("action").values[1, 1] == stored[1]
    same = GripperConversion(kind, column=-2)(before).stream("action")
    np.testing.assert_array_equal(same.values, after.values)


def test_columns_are_scaled_and_kept():
    before = episode(action=stream([[1, 2, 3], [4, 5, 6]]), state=stream([[2.0, 4.0]]))
    scaled = Scaling(0.5, columns=(0, 2))(before).stream("action")
    np.testing.assert_array_equal(scaled.values, [[0.5, 2, 1.5], [2, 5, 3]])
    assert scaled.spec.dtype == "float32"  # of whole numbers
    everything = Scaling(2, stream="state")(before).stream("state")
    np.testing.assert_array_equal(everything.values, [[4, 8]])
    kept = KeptColumns((2, 0))(before).stream("action")
    np.testing.assert_array_equal(kept.values, [[3, 1], [6, 4]])
    assert kept.spec.shape == (2,)
    kept.check()


def test_streams_are_joined():
    before = episode(
        position=stream([[1.0, 2.0], [3.0, 4.0]], unit="m", late_s=0.1),
        finger=stream(np.float32([5, 6]), late_s=0.3, privileged=True),
        once=stream([[1.0, 2.0]]),
    )
    after = JoinedStreams(("position", "finger"), "state")(before)
    state = after.stream("state")
    np.testing.assert_array_equal(state.values, [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_allclose(state.usable_s(), [0.3, 0.4])  # when the last of them is there
    assert state.spec.privileged and state.spec.unit == "" and set(after.streams) > {"position"}
    state.check()
    with pytest.raises(TimesError, match="stream once: was not sampled when 'position' was"):
        JoinedStreams(("position", "once"), "state")(before)
    moved = replace(before.stream("finger"), times_s=np.array([0.0, 0.11]))
    with pytest.raises(TimesError, match="stream finger"):
        JoinedStreams(("position", "finger"), "state")(
            episode(**{**before.streams, "finger": moved})
        )
    with pytest.raises(ConfigError, match="has a stream 'once' already"):
        JoinedStreams(("position", "finger"), "once")(before)


def test_only_episodes_without_an_instruction_get_one():
    silent, told = Episode("a", {}), Episode("b", {}, "open")
    assert [Instruction("lift")(one).instruction for one in (silent, told)] == ["lift", "open"]


def test_what_cannot_be_is_refused():
    before = episode(action=stream([[1.0, 2.0]]), camera=stream(np.zeros((2, 4, 4, 3), np.uint8)))
    for change in (
        KeptColumns((2,)),
        Scaling(2, columns=(-3,)),
        GripperConversion("closed", column=5),
        GripperConversion("closed", stream="camera"),
    ):
        with pytest.raises(
            ShapeError, match=r"episode one, stream \w+: .* do not have the columns"
        ):
            change(before)
    with pytest.raises(DataError, match="stream state: not recorded"):
        KeptColumns((0,), "state")(before)
    with pytest.raises(ConfigError, match="unknown meaning of a gripper 'shut'"):
        GripperConversion("shut")
    for nothing in (lambda: KeptColumns(()), lambda: JoinedStreams((), "state")):
        with pytest.raises(ConfigError, match="name the"):
            nothing()
    with pytest.raises(ConfigError, match="unknown transform 'rotatoin'; did you mean 'rotation'"):
        find_transform("rotatoin")
    assert find_transform("gripper") is TRANSFORMS["gripper"] is GripperConversion
