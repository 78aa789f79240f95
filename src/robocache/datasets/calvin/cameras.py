"""Cameras and control rate from CALVIN's `.hydra/merged_config.yaml`, read as plain data.

CALVIN's cameras are PyBullet's: OpenGL axes, square pixels, principal point at half the size.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.calvin.arrays import read_file
from robocache.datasets.cameras import Camera

LARGEST_CONFIG = 2**17
MOST_BRACKETS = 1000
"""PyYAML takes quadratic time for nested brackets."""
LARGEST_PICTURE = 2**14


def read_config(path: Path, wrong: list[DataError]) -> tuple[float | None, dict[str, Camera]]:
    """Control rate in Hz (None: not told) and cameras by name; what is unusable goes to `wrong`."""
    if not path.is_file():
        return None, {}
    try:
        told = _plain_yaml(read_file(path, LARGEST_CONFIG))
    except DataError as error:
        wrong.append(error)
        return None, {}
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())
        wrong.append(CorruptFileError(f"not readable as YAML ({text})", file=path))
        return None, {}
    return _rate(_within(told, "env"), path, wrong), _cameras(_within(told, "cameras"), path, wrong)


def _plain_yaml(data: bytes) -> Any:
    """YAML without tags of Python and without aliases, which can make little text grow without end.

    Raises:
        ValueError, yaml.YAMLError: it is no such thing.
    """
    if data.count(b"[") + data.count(b"{") > MOST_BRACKETS:
        raise ValueError("too many brackets")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, yaml.SafeLoader)):
        raise ValueError("aliases are refused")
    return yaml.safe_load(data)


def look_at(
    eye: NDArray[np.float64], target: NDArray[np.float64], up: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(4, 4) pose in the world of an OpenGL camera at `eye` that looks at `target`."""
    back = eye - target
    back = back / np.linalg.norm(back)
    right = np.cross(up, back)
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, eye], axis=1)
    return pose


def _within(told: Any, name: str) -> dict[str, Any]:
    inner = told.get(name) if isinstance(told, dict) else None
    return inner if isinstance(inner, dict) else {}


def _rate(env: dict[str, Any], path: Path, wrong: list[DataError]) -> float | None:
    told = env.get("control_freq")
    if told is None:
        return None
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < 1e6:
        return float(told)
    wrong.append(CorruptFileError(f"env.control_freq is {told!r}, not a rate in Hz", file=path))
    return None


def _cameras(told: dict[str, Any], path: Path, wrong: list[DataError]) -> dict[str, Camera]:
    cameras = {}
    for name, settings in told.items():
        if not isinstance(settings, dict) or "fov" not in settings:
            continue  # the tactile sensor is listed here too
        try:
            cameras[str(name)] = _camera(settings)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            text = f"camera {name!a} cannot be used ({type(error).__name__}: {error})"
            wrong.append(CorruptFileError(text, file=path))
    return cameras


def _camera(told: dict[str, Any]) -> Camera:
    width, height, fov = (float(told[name]) for name in ("width", "height", "fov"))
    if not (0 < fov < 180 and 0 < width <= LARGEST_PICTURE and 0 < height <= LARGEST_PICTURE):
        raise ValueError(f"fov {fov} degrees, {width} x {height} pixels")
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    if "look_from" not in told:
        note = "field of view only: the camera is on the gripper and its pose is not stored"
        return Camera(intrinsics, None, "opengl", note)
    eye, target, up = (
        np.array(told[name], np.float64) for name in ("look_from", "look_at", "up_vector")
    )
    if any(vector.shape != (3,) for vector in (eye, target, up)):
        raise ValueError("look_from, look_at and up_vector are not of three numbers each")
    with np.errstate(all="ignore"):
        pose = look_at(eye, target, up)
    if not np.isfinite(pose).all():
        raise ValueError("look_from, look_at and up_vector give no pose")
    return Camera(intrinsics, pose, "opengl", "field of view, look_from, look_at and up_vector")
