"""The fifty tasks of Meta-World 3.1.1 and the scenes with two possible instructions."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

ALL_TASKS = (
    "assembly",
    "basketball",
    "bin-picking",
    "box-close",
    "button-press",
    "button-press-topdown",
    "button-press-topdown-wall",
    "button-press-wall",
    "coffee-button",
    "coffee-pull",
    "coffee-push",
    "dial-turn",
    "disassemble",
    "door-close",
    "door-lock",
    "door-open",
    "door-unlock",
    "drawer-close",
    "drawer-open",
    "faucet-close",
    "faucet-open",
    "hammer",
    "hand-insert",
    "handle-press",
    "handle-press-side",
    "handle-pull",
    "handle-pull-side",
    "lever-pull",
    "peg-insert-side",
    "peg-unplug-side",
    "pick-out-of-hole",
    "pick-place",
    "pick-place-wall",
    "plate-slide",
    "plate-slide-back",
    "plate-slide-back-side",
    "plate-slide-side",
    "push",
    "push-back",
    "push-wall",
    "reach",
    "reach-wall",
    "shelf-place",
    "soccer",
    "stick-pull",
    "stick-push",
    "sweep",
    "sweep-into",
    "window-close",
    "window-open",
)

MT10 = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)

# Tasks with a `goal` stream: the place is drawn for each episode apart from the objects, so
# neither the instruction nor `object_pose` tells it. Elsewhere the goal is fixed, or follows from
# where the object stands (a button, a drawer, a dial), and there is no such stream.
GOALS = MappingProxyType(
    {
        "assembly": "the peg that the nut goes onto",
        "basketball": "the hoop",
        "box-close": "the box that the lid goes onto",
        "coffee-pull": "where the mug is to stand",
        "coffee-push": "the place under the coffee machine",
        "hand-insert": "the hole in the table",
        "peg-insert-side": "the hole in the box",
        "pick-out-of-hole": "a free point for the puck",
        "pick-place": "a free point for the puck",
        "pick-place-wall": "a free point for the puck",
        "plate-slide": "the cabinet",
        "plate-slide-back": "a place on the table for the plate",
        "plate-slide-back-side": "a place on the table for the plate",
        "plate-slide-side": "the cabinet",
        "push": "a place on the table for the puck",
        "push-back": "a place on the table for the puck",
        "push-wall": "a place on the table for the puck",
        "reach": "a free point for the hand",
        "reach-wall": "a free point for the hand",
        "shelf-place": "the place on the shelf",
        "soccer": "the goal of the ball",
        "stick-pull": "a place on the table for the thermos",
        "stick-push": "a place on the table for the thermos",
    }
)

# Tasks whose observation turns a rotation matrix of the first object into a quaternion
# (x, y, z, w): the kind and name of what it belongs to. Elsewhere the observation holds the
# quaternion of a body (w, x, y, z), or zeros.
OBJECT_ROTATIONS = MappingProxyType(
    {
        "coffee-pull": ("geom", "mug"),
        "coffee-push": ("geom", "mug"),
        "door-close": ("geom", "handle"),
        "door-open": ("geom", "handle"),
        "lever-pull": ("geom", "objGeom"),
        "peg-insert-side": ("site", "pegGrasp"),
        "pick-place": ("geom", "objGeom"),
        "pick-place-wall": ("geom", "objGeom"),
        "plate-slide": ("geom", "puck"),
        "plate-slide-back": ("geom", "puck"),
        "plate-slide-back-side": ("geom", "puck"),
        "plate-slide-side": ("geom", "puck"),
        "push": ("geom", "objGeom"),
        "push-back": ("geom", "objGeom"),
        "push-wall": ("geom", "objGeom"),
        "reach": ("geom", "objGeom"),
        "reach-wall": ("geom", "objGeom"),
        "shelf-place": ("geom", "objGeom"),
        "soccer": ("body", "soccer_ball"),
        "stick-pull": ("body", "stick"),
        "stick-push": ("body", "stick"),
        "sweep-into": ("geom", "objGeom"),
    }
)


class Scene(NamedTuple):
    """One direction of a scene in which two instructions are possible.

    Attributes:
        base: Meta-World task that the scene is built from, the same for both directions.
        joint: sliding joint of the drawer or window.
        closed_m, open_m: joint positions at both ends, in metres.
        tolerance_m: the end counts as reached within this distance.
        towards_open: whether the instruction is to open.
        expert: Meta-World task whose scripted expert acts.
    """

    base: str
    joint: str
    closed_m: float
    open_m: float
    tolerance_m: float
    towards_open: bool
    expert: str


def _directions(kind: str, joint: str, open_m: float, tolerance_m: float) -> dict[str, Scene]:
    return {
        f"scene-{kind}-{verb}": Scene(
            base=f"{kind}-open",
            joint=joint,
            closed_m=0.0,
            open_m=open_m,
            tolerance_m=tolerance_m,
            towards_open=verb == "open",
            expert=f"{kind}-{verb}",
        )
        for verb in ("open", "close")
    }


# Ends are the joint limits. Tolerances are Meta-World's for drawer-open and for the window; the
# start lies between 35 % and 65 % of the travel, outside both.
SCENES = MappingProxyType(
    _directions("drawer", "goal_slidey", -0.16, 0.03)
    | _directions("window", "window_slide", 0.2, 0.05)
)
