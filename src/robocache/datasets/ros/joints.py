"""Joints and frames: messages whose parts are told apart by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from robocache.core.errors import DataError, ShapeError
from robocache.datasets.ros.cdr import Bytes, Fields, MessageType
from robocache.datasets.ros.numbers import POSE, XYZ, XYZW
from robocache.datasets.ros.samples import Output, Sample, has_fields, stamp_reader

_JOINT_UNITS = {"position": "rad or m", "velocity": "rad/s or m/s", "effort": "N m or N"}
_TRAJECTORY_UNITS = {
    "positions": "rad or m",
    "velocities": "rad/s or m/s",
    "accelerations": "rad/s^2 or m/s^2",
    "effort": "N m or N",
}


class Joints:
    """sensor_msgs/JointState: position, velocity and effort, in the first message's joint order."""

    needs: ClassVar[dict[str, str]] = {
        "name": "string[]",
        "position": "float64[]",
        "velocity": "float64[]",
        "effort": "float64[]",
    }

    def __init__(self, kind: MessageType) -> None:
        self.left_out: list[str] = []
        self._stamp = stamp_reader(kind)
        self._units = _JOINT_UNITS
        self._order = _JointOrder()
        self._outputs: dict[str, Output] = {}

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        yield from self._take(fields, fields["name"], self._stamp(fields))

    def _take(self, fields: Fields, names: list[str], stamp_ns: int) -> Iterator[Sample]:
        order = self._order.of(names)
        for part, unit in self._units.items():
            values = fields[part]
            if not len(values):
                continue
            if names and len(values) != len(names):
                raise ShapeError(f"{len(values)} values of {part} for {len(names)} joints")
            if part not in self._outputs:
                output = Output(f"/{part}", np.dtype(np.float64), unit, self._order.names)
                self._outputs[part] = output
            values = values if order is None else values[order]
            yield Sample(self._outputs[part], stamp_ns, values)


class Trajectory(Joints):
    """trajectory_msgs/JointTrajectory: its first point, in the first message's joint order."""

    needs: ClassVar[dict[str, str]] = {
        "joint_names": "string[]",
        "points": "trajectory_msgs/JointTrajectoryPoint[]",
    }

    def __init__(self, kind: MessageType) -> None:
        super().__init__(kind)
        self.left_out = ["points after the first"]
        layout = kind.messages["points"].layout
        self._units = {
            part: unit
            for part, unit in _TRAJECTORY_UNITS.items()
            if layout.get(part) == "float64[]"
        }

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        if fields["points"]:
            yield from self._take(fields["points"][0], fields["joint_names"], self._stamp(fields))


class Transforms:
    """tf2_msgs/TFMessage: one stream for each child frame, at its own stamps."""

    needs: ClassVar[dict[str, str]] = {"transforms": "geometry_msgs/TransformStamped[]"}
    _paths = tuple(
        f"transform.{part}.{axis}"
        for part, axes in (("translation", XYZ), ("rotation", XYZW))
        for axis in axes
    )

    def __init__(self, kind: MessageType) -> None:
        self.left_out: list[str] = []
        self._stamp = stamp_reader(kind.messages["transforms"])
        self._outputs: dict[str, Output] = {}
        self._parents: dict[str, str] = {}
        needed = dict.fromkeys(self._paths, "float64")
        needed |= {"child_frame_id": "string", "header.frame_id": "string"}
        if not has_fields(kind.messages["transforms"], needed):
            raise DataError("geometry_msgs/TransformStamped is not defined as usual")

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        for transform in fields["transforms"]:
            child, parent = transform["child_frame_id"], transform["header.frame_id"]
            if self._parents.setdefault(child, parent) != parent:
                raise DataError(
                    f"frame {child!r} hangs on {parent!r}, before on {self._parents[child]!r}"
                )
            if child not in self._outputs:
                fields_of = tuple(path.removeprefix("transform.") for path in self._paths)
                self._outputs[child] = Output(
                    f"/{child.strip('/')}", np.dtype(np.float64), POSE, fields_of
                )
            values = [transform[path] for path in self._paths]
            yield Sample(self._outputs[child], self._stamp(transform), values)


@dataclass
class _JointOrder:
    """Joints in the order of the first message that names them."""

    names: tuple[str, ...] = ()
    _seen: dict[tuple[str, ...], list[int] | None] = field(default_factory=dict)

    def of(self, names: Sequence[str]) -> list[int] | None:
        """How to pick values so that they are in the first order; None: they are."""
        key = tuple(names)
        if key not in self._seen:
            if len(set(key)) < len(key):
                raise DataError(f"joints named twice: {', '.join(key)}")
            if not self._seen:
                self.names = key
            if set(key) != set(self.names):
                raise DataError(
                    f"messages carry different joints: {', '.join(self.names) or 'unnamed'}; then "
                    f"{', '.join(key) or 'unnamed'}"
                )
            order = [key.index(name) for name in self.names]
            self._seen[key] = None if key == self.names else order
        return self._seen[key]
