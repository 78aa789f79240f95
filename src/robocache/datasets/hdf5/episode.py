"""One demonstration of an HDF5 file as an episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    TimesError,
)
from robocache.core.optional import require
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.cameras import Camera
from robocache.datasets.hdf5.demos import DemoFile, camera_info, demo_number, ep_meta
from robocache.datasets.hdf5.files import (
    attribute,
    check_numbers,
    child,
    datasets,
    names,
    native_errors,
    opened,
    read_numbers,
)
from robocache.datasets.hdf5.frames import Hdf5Frames

RENAMED = {"actions": "action", "actions_abs": "action_abs", "rewards": "reward", "dones": "done"}
KNOWN_LATER = ("action", "reward", "done", "datagen_info/target_pose", "datagen_info/gripper")
PER_STEP = ("actions", "actions_abs", "action_dict/", "rewards", "dones", "states", "obs/")
"""What must have as many samples as there are actions; the rest is read where it has."""
LARGEST_VECTOR = 4096
"""Samples with more numbers than this are pictures, and stay on disk."""


@dataclass(frozen=True)
class Demo:
    """Which demonstration, and how it is read.

    Attributes:
        file: the file it is in.
        name: "demo_7".
        key: of the episode.
        dataset: name of the dataset.
        source: path of the file within the dataset.
        upright: turn pictures that are stored upside down.
    """

    file: DemoFile
    name: str
    key: str
    dataset: str
    source: str
    upright: bool = True


@dataclass(frozen=True)
class Reading:
    """A demonstration and everything found on the way.

    Attributes:
        episode: with the streams that are sound.
        wrong: what is not.
        stored_as: stream -> dtype in the file.
        not_read: names in the file that are no stream.
        num_samples: what the attribute says; None when it is absent.
    """

    episode: Episode
    wrong: list[DataError]
    stored_as: Mapping[str, str]
    not_read: list[str]
    num_samples: Any


def read_demo(demo: Demo) -> Reading:
    """A demonstration; streams that are wrong are told of and not in it.

    Raises:
        DataError: the demonstration, or its actions, cannot be read at all.
    """
    path = demo.file.path
    try:
        with opened(path) as handle, native_errors(path, "cannot be read"):
            return _read(demo, _group(handle, path, demo.name))
    except DataError as error:
        raise error.located(file=path, episode=demo.key) from error


def demo_steps(demo: Demo) -> int:
    """Number of actions of a demonstration; reads none.

    Raises:
        DataError: it cannot be read.
    """
    path = demo.file.path
    with opened(path) as handle, native_errors(path, "cannot be read"):
        return _steps(_group(handle, path, demo.name), path)


def read_cameras(file: DemoFile, name: str) -> tuple[dict[str, Camera], list[DataError]]:
    """Cameras that `camera_info` of a demonstration tells of; and what is wrong with it."""
    path, cameras = file.path, {}
    wrong: list[DataError] = []
    with opened(path) as handle, native_errors(path, "cannot be read"):
        told = camera_info(_group(handle, path, name), path, wrong)
    for camera, numbers in told.items():
        try:
            cameras[camera] = _camera(camera, numbers)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            text = f"camera_info of {camera!r} cannot be used ({type(error).__name__}: {error})"
            wrong.append(CorruptFileError(text, file=path))
    return cameras, wrong


def _camera(name: str, numbers: Mapping[str, Any]) -> Camera:
    intrinsics = np.array(numbers["intrinsics"], np.float64)
    extrinsics = np.array(numbers["extrinsics"], np.float64)
    if intrinsics.shape != (3, 3) or extrinsics.shape != (4, 4):
        raise ValueError(f"shapes {intrinsics.shape} and {extrinsics.shape}")
    if not (np.isfinite(intrinsics).all() and np.isfinite(extrinsics).all()):
        raise ValueError("not finite")
    mounted = "eye_in_hand" in name or "wrist" in name
    note = "camera_info; pixels of upright pictures, pose in the world"
    if mounted:
        note = "camera_info; on the hand: its pose changes and is not stored as such"
    return Camera(intrinsics, None if mounted else extrinsics, "opencv", note)


def _group(handle: Any, path: Path, demo: str) -> Any:
    h5py = require("h5py", "hdf5")
    data = child(handle, "data", path)
    group = child(data, demo, path) if isinstance(data, h5py.Group) else None
    if not isinstance(group, h5py.Group):
        raise CorruptFileError(f"/data/{demo} is not a group", file=path)
    return group


def _read(demo: Demo, group: Any) -> Reading:
    file, path = demo.file, demo.file.path
    wrong: list[DataError] = []
    steps = _steps(group, path)
    streams, stored_as, not_read = {}, {}, []
    times = np.arange(steps) / file.rate_hz
    later = (np.arange(steps) + 1) / file.rate_hz  # exactly the time of the next sample
    for name, values in _stored(group, path, wrong):
        stream = RENAMED.get(name, name)
        if values.shape is None or values.shape[:1] != (steps,):
            if name.startswith(PER_STEP):
                wrong.append(TimesError(f"{values.shape} for {steps} actions", stream=stream))
            else:
                not_read.append(name)
            continue
        try:
            samples = _samples(values, demo, name)
        except DataError as error:
            wrong.append(error.located(stream=stream))
            continue
        stored_as[stream] = str(values.dtype)
        streams[stream] = Stream(
            values=samples,
            times_s=times,
            spec=_spec(stream, file, samples),
            available_s=later if stream.startswith(KNOWN_LATER) else None,
        )
    words = ep_meta(group, path, wrong).get("lang")
    episode = Episode(
        key=demo.key,
        streams=streams,
        instruction=words.strip() if isinstance(words, str) else file.words,
        outcome=Outcome(steps=steps, reward=_reward(streams)),
        provenance=Provenance(
            dataset=demo.dataset,
            source=demo.source,
            task=file.task,
            index=demo_number(demo.name) or 0,
            simulator=file.simulator,
        ),
    )
    told = attribute(group, "num_samples", path)
    located = [error.located(file=path, episode=demo.key) for error in wrong]
    return Reading(episode, located, stored_as, not_read, told)


def _steps(group: Any, path: Path) -> int:
    """Number of actions of a demonstration."""
    h5py = require("h5py", "hdf5")
    actions = child(group, "actions", path)
    if not isinstance(actions, h5py.Dataset):
        raise MissingStreamError("has no actions", stream="action")
    check_numbers(actions, path)
    if actions.shape[0] == 0:
        raise TimesError("has no samples", stream="action")
    return int(actions.shape[0])


def _spec(stream: str, file: DemoFile, samples: FrameArray) -> StreamSpec:
    metres = stream.endswith("_depth") and file.kind != "libero"
    return StreamSpec(
        shape=tuple(samples.shape[1:]),
        dtype=samples.dtype.name,
        rate_hz=file.rate_hz,
        unit="m" if metres else "",
        clock="synthetic",
        privileged=_privileged(stream, file, samples),
    )


def _stored(group: Any, path: Path, wrong: list[DataError]) -> Iterator[tuple[str, Any]]:
    """Everything stored of a demonstration but next_obs, which holds obs again, one step on."""
    h5py = require("h5py", "hdf5")
    for name in names(group, path):
        if name == "next_obs":
            continue
        try:
            member = child(group, name, path)
            if isinstance(member, h5py.Group):
                yield from datasets(member, path, f"{name}/")
            elif isinstance(member, h5py.Dataset):
                yield name, member
        except DataError as error:
            wrong.append(error.located(stream=name))


def _samples(values: Any, demo: Demo, name: str) -> FrameArray:
    """Pictures stay on disk, vectors are read.

    Raises:
        NonFiniteError: a vector with NaN or infinity.
        ShapeError, CorruptFileError: not numbers, or more of them than are stored.
    """
    path, shape = demo.file.path, tuple(values.shape)
    check_numbers(values, path)
    colours = len(shape) == 4 and values.dtype == np.uint8
    if colours or (len(shape) >= 3 and int(np.prod(shape[1:])) > LARGEST_VECTOR):
        place = ("data", demo.name, *name.split("/"))
        reverse_rows = demo.upright and demo.file.upside_down
        return Hdf5Frames(path, place, shape, values.dtype, reverse_rows)
    array = read_numbers(values, path)
    if array.dtype.kind == "f":
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            raise NonFiniteError(f"sample {int(np.argmin(finite))} is NaN or infinite")
    return array


def _privileged(stream: str, file: DemoFile, samples: FrameArray) -> bool:
    """Whether only a simulator knows it: its state, and where the objects are."""
    if stream == "states" or stream.startswith("datagen_info/"):
        return True
    if not stream.startswith("obs/") or isinstance(samples, Hdf5Frames):
        return False
    if stream == "obs/object":
        return True
    robosuite = file.env.get("type") == 1 and file.kind != "libero"
    return robosuite and not stream.startswith("obs/robot")


def _reward(streams: Mapping[str, Stream]) -> float | None:
    return float(np.sum(streams["reward"].values[:])) if "reward" in streams else None
