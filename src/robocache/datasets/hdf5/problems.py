"""Where HDF5 demonstrations do not hold what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.core.optional import require
from robocache.core.stream import Stream, StreamSpec
from robocache.datasets.hdf5.demos import DemoFile
from robocache.datasets.hdf5.episode import (
    Demo,
    Reading,
    demo_steps,
    read_cameras,
    read_demo,
)
from robocache.datasets.hdf5.files import attribute, child, native_errors, opened
from robocache.datasets.hdf5.frames import Hdf5Frames

FRAMES_AT_ONCE = 64
LONGEST_NAME = 255  # bytes that file systems allow


def all_problems(files: Mapping[str, DemoFile], demos: list[Demo]) -> Iterator[DataError]:
    """Everything wrong with the files and these demonstrations; reads every picture."""
    for file in files.values():
        yield from file.problems
        yield from _wrong_masks(file)
        yield from _wrong_total(file)
    seen: dict[tuple[str, str], StreamSpec] = {}
    for demo in demos:
        try:
            reading = read_demo(demo)
        except DataError as error:
            yield error
            continue
        yield from reading.wrong
        for problem in _in_demo(demo, reading, seen):
            yield problem.located(file=demo.file.path, episode=demo.key)


def _in_demo(
    demo: Demo, reading: Reading, seen: dict[tuple[str, str], StreamSpec]
) -> Iterator[DataError]:
    """What is wrong with a demonstration that can be read."""
    steps, told = reading.episode.outcome.steps, reading.num_samples
    if _differs(told, steps):
        yield TimesError(f"num_samples is {told}, but there are {steps} actions")
    streams = reading.episode.streams
    if demo.file.kind != "raw" and not any(name.startswith("obs/") for name in streams):
        yield MissingStreamError("has no observations (no group obs)", stream="obs")
    for name, stream in streams.items():
        like = seen.setdefault((demo.source, name), stream.spec)
        if (stream.spec.shape, stream.spec.dtype) != (like.shape, like.dtype):
            yield ShapeError(
                f"{stream.spec.shape} {stream.spec.dtype}, in demonstrations before "
                f"{like.shape} {like.dtype}",
                stream=name,
            )
        if isinstance(stream.values, Hdf5Frames):
            yield from _wrong_pictures(name, stream)
    yield from read_cameras(demo.file, demo.name)[1]
    yield from _missing_model(demo)


def _wrong_pictures(name: str, stream: Stream) -> Iterator[DataError]:
    """Pictures that cannot be read, are black, or depth that is no number."""
    black: list[int] = []
    broken: list[int] = []
    for first in range(0, len(stream), FRAMES_AT_ONCE):
        try:
            frames = stream.values[first : first + FRAMES_AT_ONCE]
        except DataError as error:
            yield error
            return
        flat = frames.reshape(len(frames), -1)
        if flat.dtype.kind == "f":
            broken += (first + np.flatnonzero(~np.isfinite(flat).all(axis=1))).tolist()
        else:
            black += (first + np.flatnonzero(~flat.any(axis=1))).tolist()
    if black:
        yield CorruptFileError(f"{len(black)} pictures are black, first {black[0]}", stream=name)
    if broken:
        yield NonFiniteError(
            f"{len(broken)} pictures hold NaN or infinity, first {broken[0]}", stream=name
        )


def _wrong_masks(file: DemoFile) -> Iterator[DataError]:
    """Masks that name what is not there, or that share what they must not."""
    there = set(file.demos)
    for mask, demos in file.masks.items():
        absent = [demo for demo in demos if demo not in there]
        if absent:
            yield CorruptFileError(
                f"mask {mask!r} names {len(absent)} demonstrations that are not there, first "
                f"{absent[0]!a}",
                file=file.path,
            )
        if len(set(demos)) < len(demos):
            yield CorruptFileError(f"mask {mask!r} names demonstrations twice", file=file.path)
    shared = set(file.masks.get("train", ())) & set(file.masks.get("valid", ()))
    if shared:
        yield CorruptFileError(
            f"{len(shared)} demonstrations are in both masks, train and valid, among them "
            f"{min(shared)!a}",
            file=file.path,
        )


def _wrong_total(file: DemoFile) -> Iterator[DataError]:
    """The number of samples or demonstrations that the file tells of, and that is not so."""
    path = file.path
    if not file.demos:
        yield MissingStreamError("holds no demonstrations", file=path)
    try:
        with opened(path) as handle, native_errors(path):
            data = child(handle, "data", path)
            total, count = (attribute(data, name, path) for name in ("total", "num_demos"))
        lengths = [demo_steps(Demo(file, name, name, "", "")) for name in file.demos]
    except DataError:
        return  # told of where the demonstration is read
    if _differs(total, sum(lengths)):
        yield TimesError(f"total is {total}, but there are {sum(lengths)} samples", file=path)
    if _differs(count, len(file.demos)):
        yield CorruptFileError(f"num_demos is {count}, but there are {len(file.demos)}", file=path)


def _differs(told: Any, found: int) -> bool:
    """Whether an attribute, whatever it holds, is there and is not this number."""
    return told is not None and (np.ndim(told) > 0 or told != found)


def _missing_model(demo: Demo) -> Iterator[DataError]:
    """A model that is kept by name and is not beside the file."""
    h5py = require("h5py", "hdf5")
    path = demo.file.path
    with opened(path) as handle, native_errors(path):
        group = child(child(handle, "data", path), demo.name, path)
        told = attribute(group, "model_file", path) if isinstance(group, h5py.Group) else None
    if not isinstance(told, str) or told.lstrip().startswith("<"):
        return
    beside = [path.parent / told, path.parent / "models" / told]
    if Path(told).name != told or len(told.encode(errors="replace")) > LONGEST_NAME:
        yield CorruptFileError(
            f"model_file {told[:80]!a} is no name of a file; one beside this file is expected"
        )
    elif not any(model.is_file() for model in beside):
        yield CorruptFileError(f"model_file {told!a} is not beside the file")
