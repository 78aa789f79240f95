"""Streams as groups: parts of them, and numbers that a robot does not have."""

from __future__ import annotations

import numpy as np
import pytest

from robocache.core import StreamSpec
from robocache.core.errors import ConfigError
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import ActionGroup, EmbodimentSettings, StateGroup

SPECS = {"arm": StreamSpec((7,), rate_hz=5.0)}
ROBOT = Robot(
    "widowx",
    EmbodimentSettings(
        video={},
        state={
            "pose": StateGroup("arm", (0, 6)),
            "pad": StateGroup(zeros=2),
            "gripper": StateGroup("arm", (6, 7)),
            "all": StateGroup("arm"),
        },
        action={"all": ActionGroup()},
    ),
    7,
)


def test_groups_are_columns_or_zeros() -> None:
    ROBOT.check(SPECS)
    assert ROBOT.state_widths(SPECS) == {"pose": 6, "pad": 2, "gripper": 1, "all": 7}
    arm = np.arange(14.0).reshape(2, 7)
    found = ROBOT.states({"arm": arm})
    assert list(found) == ["pose", "pad", "gripper", "all"]
    np.testing.assert_array_equal(found["pose"], arm[:, :6])
    np.testing.assert_array_equal(found["pad"], np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(found["gripper"], arm[:, 6:])
    np.testing.assert_array_equal(found["all"], arm)


@pytest.mark.parametrize("wrong", [{}, {"stream": "arm", "zeros": 1}, {"zeros": -1}])
def test_a_group_is_one_of_both(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="a state group has a stream or zeros"):
        StateGroup(**wrong)  # type: ignore[arg-type]
