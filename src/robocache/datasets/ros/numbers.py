"""Messages of numbers: which of their fields become which stream.

Quaternions are x, y, z, w and poses x, y, z and quaternion, as ROS has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from robocache.datasets.ros.cdr import Bytes, Fields, MessageType
from robocache.datasets.ros.samples import STAMPED, Output, Sample, stamp_reader

POSE, TWIST, WRENCH = "m, quaternion xyzw", "m/s, rad/s", "N, N m"
XYZ, XYZW = ("x", "y", "z"), ("x", "y", "z", "w")
_UNITS = {
    "geometry_msgs/Pose": POSE,
    "geometry_msgs/PoseStamped": POSE,
    "geometry_msgs/PoseWithCovariance": POSE,
    "geometry_msgs/PoseWithCovarianceStamped": POSE,
    "geometry_msgs/Transform": POSE,
    "geometry_msgs/TransformStamped": POSE,
    "geometry_msgs/Twist": TWIST,
    "geometry_msgs/TwistStamped": TWIST,
    "geometry_msgs/TwistWithCovariance": TWIST,
    "geometry_msgs/TwistWithCovarianceStamped": TWIST,
    "geometry_msgs/Wrench": WRENCH,
    "geometry_msgs/WrenchStamped": WRENCH,
}


class Numbers:
    """Any message: its single numbers as one stream, each of its arrays as another.

    Arrays must have the same length in every message; those that are always empty give no stream.
    """

    def __init__(self, kind: MessageType) -> None:
        self._stamp = stamp_reader(kind)
        groups, self._arrays = number_groups(kind)
        self.outputs = [_output(kind, suffix, paths) for suffix, paths in groups]
        self._paths = [paths for _, paths in groups]
        self.outputs += [_array_output(kind, suffix, path) for suffix, path in self._arrays]
        read = {path for paths in self._paths for path in paths}
        read |= {path for _, path in self._arrays}
        self.left_out = [
            path for path in kind.layout if path not in read and not path.startswith("header.")
        ]

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        stamp_ns = self._stamp(fields)
        for output, paths in zip(self.outputs, self._paths):
            yield Sample(output, stamp_ns, [fields[path] for path in paths])
        for output, (_, path) in zip(self.outputs[len(self._paths) :], self._arrays):
            values = _numbers(fields[path], data)
            if len(values):
                yield Sample(output, stamp_ns, values)


def _numbers(value: Any, data: Bytes) -> Any:
    """An array field as numbers; bytes come as a slice of the message."""
    return np.frombuffer(data[value], np.uint8) if isinstance(value, slice) else value


def _pose(prefix: str) -> list[str]:
    return [
        *(f"{prefix}position.{axis}" for axis in XYZ),
        *(f"{prefix}orientation.{axis}" for axis in XYZW),
    ]


def _twist(prefix: str) -> list[str]:
    return [f"{prefix}{part}.{axis}" for part in ("linear", "angular") for axis in XYZ]


_GROUPS: dict[str, list[tuple[str, list[str]]]] = {
    "sensor_msgs/Imu": [
        ("/orientation", [f"orientation.{axis}" for axis in XYZW]),
        ("/angular_velocity", [f"angular_velocity.{axis}" for axis in XYZ]),
        ("/linear_acceleration", [f"linear_acceleration.{axis}" for axis in XYZ]),
    ],
    "nav_msgs/Odometry": [("/pose", _pose("pose.pose.")), ("/twist", _twist("twist.twist."))],
    "geometry_msgs/PoseWithCovariance": [("", _pose("pose."))],
    "geometry_msgs/PoseWithCovarianceStamped": [("", _pose("pose.pose."))],
    "geometry_msgs/TwistWithCovariance": [("", _twist("twist."))],
    "geometry_msgs/TwistWithCovarianceStamped": [("", _twist("twist.twist."))],
}
_GROUP_UNITS = {
    "/orientation": "quaternion xyzw",
    "/angular_velocity": "rad/s",
    "/linear_acceleration": "m/s^2",
    "/pose": POSE,
    "/twist": TWIST,
}


def number_groups(
    kind: MessageType,
) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Streams of single numbers (suffix, paths), and of arrays (suffix, path)."""
    known = _GROUPS.get(kind.name, [])
    if known and all(path in kind.numbers for _, paths in known for path in paths):
        return known, []
    if kind.name.startswith("std_msgs/") and kind.name.endswith("MultiArray"):
        return [], [("", path) for path in kind.arrays if path == "data"]
    single = [path for path in kind.numbers if path not in STAMPED and not _is_filler(path)]
    arrays = [(f"/{path}", path) for path in kind.arrays]
    return ([("", single)] if single else []), arrays


def _is_filler(path: str) -> bool:
    return path.endswith("structure_needs_at_least_one_member")


def _output(kind: MessageType, suffix: str, paths: list[str]) -> Output:
    dtype = np.result_type(*(kind.numbers[path] for path in paths))
    unit = _GROUP_UNITS.get(suffix) or _UNITS.get(kind.name, "")
    return Output(suffix, dtype, unit, tuple(paths))


def _array_output(kind: MessageType, suffix: str, path: str) -> Output:
    return Output(suffix, kind.arrays[path])
