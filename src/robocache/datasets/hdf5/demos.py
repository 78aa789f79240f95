"""What an HDF5 file of demonstrations says of itself: robomimic and those who write like it.

robomimic   /data attribute env_args; obs, next_obs, masks, camera_info
raw         robosuite's collection: states and actions only, env_info, demos from 1
LIBERO      problem_info (words of the task), macros_image_convention (pictures upside down)
MimicGen    datagen_info, src_demo_inds, src_demo_labels
RoboCasa    ep_meta of each demo, with the words under "lang"
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robocache.core.errors import CorruptFileError, DataError
from robocache.core.optional import require
from robocache.datasets.hdf5.files import attribute, child, native_errors, opened
from robocache.datasets.hdf5.files import datasets as datasets_of

USUAL_RATE_HZ = 20.0
"""Control rate of robosuite, used where a file names none."""


@dataclass(frozen=True)
class DemoFile:
    """One file, looked through from above.

    Attributes:
        path: the file.
        kind: who writes like this: "raw", "robomimic", "libero", "mimicgen" or "robocasa".
        demos: names of the demonstrations by their number.
        rate_hz, rate_source: control rate, and where it was found.
        env: what env_args (or env_info) says.
        words: the file's own words for its task; "".
        upside_down: pictures are stored with the bottom row first.
        masks: filter -> names of demonstrations, as stored.
        problems: what is wrong with all this.
    """

    path: Path
    kind: str
    demos: tuple[str, ...]
    rate_hz: float
    rate_source: str
    env: Mapping[str, Any]
    words: str
    upside_down: bool
    masks: Mapping[str, tuple[str, ...]]
    problems: tuple[DataError, ...]

    @property
    def task(self) -> str:
        """Name of the task: of the environment."""
        for name in ("problem_name", "env_name"):
            if isinstance(self.env.get(name), str):
                return str(self.env[name])
        return ""

    @property
    def simulator(self) -> str:
        """Simulator and version."""
        version = self.env.get("env_version")
        version = version if isinstance(version, str) else ""
        robosuite = self.env.get("type") == 1 or self.kind == "raw"
        return f"robosuite {version}".strip() if robosuite else version


def read_demo_file(path: Path) -> DemoFile:
    """The attributes and the list of demonstrations of a file; reads no array but the masks.

    Raises:
        CorruptFileError: not HDF5, truncated, or without `/data`.
    """
    h5py = require("h5py", "hdf5")
    wrong: list[DataError] = []
    with opened(path) as file, native_errors(path):
        data = child(file, "data", path)
        if not isinstance(data, h5py.Group):
            raise CorruptFileError("has no group /data, so it holds no demonstrations", file=path)
        demos = _numbered(data, path, wrong)
        env = {
            "env_version": attribute(data, "repository_version", path),
            **_json(data, "env_info", path, wrong),
            **_json(data, "env_args", path, wrong),
        }
        rate_hz, source = _rate(env, path, wrong)
        problem = _json(data, "problem_info", path, wrong)
        convention = attribute(data, "macros_image_convention", path)
        kind = "libero" if problem or convention is not None else _kind(data, demos, path)
        return DemoFile(
            path=path,
            kind=kind,
            demos=demos,
            rate_hz=rate_hz,
            rate_source=source,
            env=env,
            words=_words(problem.get("language_instruction")),
            upside_down=isinstance(convention, str) and convention == "opengl",
            masks=_masks(file, path, wrong),
            problems=tuple(wrong),
        )


def demo_number(name: str) -> int | None:
    """7 of "demo_7"; None: not a demonstration."""
    digits = name.removeprefix("demo_")
    return int(digits) if digits != name and digits.isdecimal() and len(digits) < 12 else None


def ep_meta(demo: Any, path: Path, wrong: list[DataError]) -> Mapping[str, Any]:
    """What RoboCasa keeps of an episode; empty: nothing."""
    return _json(demo, "ep_meta", path, wrong)


def camera_info(demo: Any, path: Path, wrong: list[DataError]) -> Mapping[str, Any]:
    return _json(demo, "camera_info", path, wrong)


def _numbered(data: Any, path: Path, wrong: list[DataError]) -> tuple[str, ...]:
    with native_errors(path):
        found = list(data.keys())
    numbers = {name: demo_number(name) for name in found}
    wrong += [
        CorruptFileError(f"/data/{name!a} is not called demo_<number>", file=path)
        for name in sorted(name for name, number in numbers.items() if number is None)
    ]
    known = [(number, name) for name, number in numbers.items() if number is not None]
    return tuple(name for _, name in sorted(known))


def _json(item: Any, name: str, path: Path, wrong: list[DataError]) -> dict[str, Any]:
    """A JSON attribute as a mapping; empty when it is absent or, as `wrong` tells, unusable."""
    try:
        text = attribute(item, name, path)
        value = json.loads(text) if isinstance(text, str) else text
    except DataError as error:
        wrong.append(error)
        return {}
    except (ValueError, RecursionError) as error:
        wrong.append(CorruptFileError(f"attribute {name!r} is not JSON ({error})", file=path))
        return {}
    if value is not None and not isinstance(value, dict):
        wrong.append(CorruptFileError(f"attribute {name!r} is not a JSON mapping", file=path))
    return value if isinstance(value, dict) else {}


def _rate(env: Mapping[str, Any], path: Path, wrong: list[DataError]) -> tuple[float, str]:
    settings = env.get("env_kwargs")
    settings = settings if isinstance(settings, dict) else {}
    for where, told in (
        ("env_args.env_kwargs.control_freq", settings.get("control_freq")),
        ("env_info.control_freq", env.get("control_freq")),
    ):
        if told is None:
            continue
        if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < 1e6:
            return float(told), where
        wrong.append(CorruptFileError(f"{where} is {told!r}, not a rate in Hz", file=path))
    return USUAL_RATE_HZ, "assumed: the file names no control_freq, robosuite's usual rate is used"


def _words(told: Any) -> str:
    """LIBERO writes a text, sometimes quoted, sometimes as a list of words."""
    if isinstance(told, list):
        told = " ".join(word for word in told if isinstance(word, str))
    return told.strip().strip('"').strip() if isinstance(told, str) else ""


def _kind(data: Any, demos: tuple[str, ...], path: Path) -> str:
    """Who wrote a file, judged by its first demonstration."""
    h5py = require("h5py", "hdf5")
    if not demos:
        return "robomimic"
    demo = child(data, demos[0], path)
    if not isinstance(demo, h5py.Group):
        return "robomimic"
    with native_errors(path):
        members, told = set(demo.keys()), set(demo.attrs.keys())
    if "ep_meta" in told:
        return "robocasa"
    if "datagen_info" in members:
        return "mimicgen"
    return "robomimic" if "obs" in members else "raw"


def _masks(file: Any, path: Path, wrong: list[DataError]) -> dict[str, tuple[str, ...]]:
    h5py = require("h5py", "hdf5")
    masks: dict[str, tuple[str, ...]] = {}
    try:
        group = child(file, "mask", path)
        listed = datasets_of(group, path) if isinstance(group, h5py.Group) else []
        for name, dataset in listed:
            masks[name] = tuple(_texts(dataset, path))
    except DataError as error:
        wrong.append(error.located(file=path))
    return masks


def _texts(dataset: Any, path: Path) -> Iterator[str]:
    """The names in a mask."""
    h5py = require("h5py", "hdf5")
    with native_errors(path, f"{dataset.name} cannot be read"):
        text = dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None
        if not text or len(dataset.shape) != 1 or dataset.external or dataset.is_virtual:
            raise ValueError("not a list of names")
        if dataset.size * dataset.dtype.itemsize > path.stat().st_size:
            raise ValueError("promises more names than the file can hold")
        values = np.asarray(dataset[()])
    for value in values.tolist():
        yield value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
