"""Which interpreter reads which type of message."""

from __future__ import annotations

from typing import Any

from robocache.datasets.ros.cdr import MessageType
from robocache.datasets.ros.joints import Joints, Trajectory, Transforms
from robocache.datasets.ros.numbers import Numbers, number_groups
from robocache.datasets.ros.pictures import CompressedImage, Image
from robocache.datasets.ros.samples import Interpreter, has_fields

_SPECIAL: dict[str, Any] = {
    "sensor_msgs/JointState": Joints,
    "trajectory_msgs/JointTrajectory": Trajectory,
    "tf2_msgs/TFMessage": Transforms,
    "sensor_msgs/Image": Image,
    "sensor_msgs/CompressedImage": CompressedImage,
}


def why_not_read(kind: MessageType) -> str:
    """Why no stream can be made of such messages; "" when one can."""
    if kind.name == "sensor_msgs/PointCloud2":
        return "a point cloud has another number of points in each message"
    if _special(kind) is None and not any(number_groups(kind)):
        text = any(declared.startswith("string") for declared in kind.layout.values())
        return "its messages are text" if text else "its messages hold no numbers"
    return ""


def interpreter(kind: MessageType) -> Interpreter:
    """What makes samples of messages of this type."""
    special = _special(kind)
    return Numbers(kind) if special is None else special(kind)


def _special(kind: MessageType) -> Any:
    special = _SPECIAL.get(kind.name)
    return special if special is not None and has_fields(kind, special.needs) else None
