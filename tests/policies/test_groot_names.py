"""Names of the numbers of an action, by group."""

from __future__ import annotations

from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import ActionGroup, EmbodimentSettings


def test_columns_are_named_by_their_group() -> None:
    groups = {"hand": ActionGroup((3, 4)), "left_arm": ActionGroup((0, 2))}
    settings = EmbodimentSettings(video={}, state={}, action=groups)
    assert Robot("t", settings, 5).action_names() == (
        "left_arm[0]",
        "left_arm[1]",
        "",
        "hand[0]",
        "",
    )
    whole = EmbodimentSettings(video={}, state={}, action={"all": ActionGroup()})
    assert Robot("t", whole, 2).action_names() == ("all[0]", "all[1]")
