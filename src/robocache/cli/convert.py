"""`robocache data convert | merge | split | trim | delete | rename`: edited copies of datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from robocache.cli.datasets import find_dataset
from robocache.cli.output import console
from robocache.core.errors import ConfigError
from robocache.datasets import Reader, editing
from robocache.datasets.editing import Target
from robocache.datasets.lerobot import LeRobotSettings, VideoSettings
from robocache.runs import RunStore


def convert(
    source: str,
    destination: str,
    *,
    to: str,
    fps: float | None = None,
    streams: Sequence[str] = (),
    cameras: str = "video",
    codec: str = "auto",
    crf: int = 30,
    robot: str | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Write a dataset in another format; what was done, as plain data.

    Args:
        source: a folder, or the name of a collection; so in all verbs here.
        on_error: `raise` at an episode that cannot be read, or `skip` such; so in all verbs here.
        destination: the new folder.
        to: "lerobot" or "episodes".
        fps: rate of a LeRobot folder; None: the one that all streams have.
        streams: which to write to a LeRobot folder; none: all.
        cameras: "video" or "image", codec: "auto", "av1" or "h264", crf: quality of a video.
        robot: its type, for meta/info.json.
    """
    settings = LeRobotSettings(
        fps=fps,
        robot_type=robot,
        cameras=cast(Literal["video", "image"], cameras),
        video=VideoSettings(codec=codec, crf=crf),
        streams=tuple(streams) or None,
    )
    return _write(_open(source, on_error), destination, Target(to, settings))


def merge(
    destination: str,
    sources: Sequence[str],
    *,
    prefix: bool = False,
    to: str | None = None,
    fps: float | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Write several datasets with the same streams as one; `prefix` names <dataset>/<key>."""
    datasets = [_open(source, on_error) for source in sources]
    if not datasets:
        raise ConfigError("name the datasets to merge after the new folder")
    target = _target(datasets[0], to, fps)
    made = editing.merge(datasets, Path(destination), target, prefix=prefix)
    return _told(made, destination, target)


def split(
    source: str,
    destination: str,
    parts: Sequence[str],
    *,
    to: str | None = None,
    fps: float | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Write parts of a dataset, named "train=0.9" (a share) or "train=90" (a number)."""
    dataset = _open(source, on_error)
    target = _target(dataset, to, fps)
    made = editing.split(dataset, Path(destination), parse_parts(parts), target)
    told = {n: _told(part, str(Path(destination) / n), target) for n, part in made.items()}
    rest = len(dataset) - sum(len(part) for part in made.values())
    if rest:
        console.print(f"in no part: {rest}")
    return {"parts": told, "left_over": rest}


def trim(
    source: str,
    destination: str,
    *,
    start: float = 0.0,
    end: float = 0.0,
    idle: float | None = None,
    action: str = "action",
    to: str | None = None,
    fps: float | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Take the first `start` and last `end` seconds off, and what is `idle` at both ends."""
    if not start and not end and idle is None:
        raise ConfigError("say what to trim: start, end (seconds) or idle (norm of the action)")
    dataset = _open(source, on_error)
    view = editing.trim(dataset, start_s=start, end_s=end, idle=idle, action=action)
    return _write(view, destination, _target(dataset, to, fps))


def delete(
    source: str,
    destination: str,
    keys: Sequence[str],
    *,
    to: str | None = None,
    fps: float | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Leave out the episodes with these keys, or keys like these (`episode_00001*`)."""
    dataset = _open(source, on_error)
    view = editing.delete(dataset, keys)
    console.print(f"{len(dataset) - len(view)} of {len(dataset)} episodes are left out")
    return _write(view, destination, _target(dataset, to, fps))


def rename(
    source: str,
    destination: str,
    names: Sequence[str],
    *,
    to: str | None = None,
    fps: float | None = None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Call streams otherwise: "old=new"."""
    dataset = _open(source, on_error)
    pairs = dict(_pair(text, "OLD=NEW") for text in names)
    view = editing.rename(dataset, pairs)
    return _write(view, destination, _target(dataset, to, fps))


def parse_parts(texts: Sequence[str]) -> dict[str, float]:
    """ "train=0.9,val=0.1", or the same as several texts, as name -> value.

    Raises:
        ConfigError: not of this form, or a name twice.
    """
    parts: dict[str, float] = {}
    for text in ",".join(texts).split(","):
        name, value = _pair(text, "NAME=SHARE or NAME=NUMBER")
        try:
            number = float(value)
        except ValueError:
            raise ConfigError(f"{value!r} in {text!r} is not a number") from None
        if name in parts:
            raise ConfigError(f"part {name!r} is named twice")
        parts[name] = number
    return parts


def _pair(text: str, form: str) -> tuple[str, str]:
    left, equals, right = (piece.strip() for piece in text.partition("="))
    if not (left and equals and right):
        raise ConfigError(f"expected {form}, got {text!r}")
    return left, right


def _open(source: str, on_error: str) -> Reader:
    return find_dataset(RunStore(), source, on_error=on_error)


def _target(dataset: Reader, to: str | None, fps: float | None) -> Target:
    return Target(to or editing.same_format(dataset), LeRobotSettings(fps=fps))


def _write(dataset: Reader, destination: str, target: Target) -> dict[str, Any]:
    made = editing.convert(dataset, Path(destination), target)
    return _told(made, destination, target)


def _told(made: Reader, destination: str, target: Target) -> dict[str, Any]:
    """Print what was written, and return it."""
    history = json.loads((Path(destination) / editing.PROVENANCE).read_text(encoding="utf-8"))
    report = made.report()
    count = f"{len(made)} episode" + ("" if len(made) == 1 else "s")
    console.print(f"{destination}: {count}, {report['format']}", markup=False)
    resampled: dict[str, Any] = report.get("resampled", {})
    for name, how in resampled.get("streams", {}).items():
        rate = "once" if how["from_hz"] is None else f"{how['from_hz']:g} Hz"
        console.print(f"  {name}: {rate} -> {report['fps']:g} Hz, {how['method']}", markup=False)
    console.print(f"  fingerprint {history['result']['fingerprint'][:12]}")
    return {"folder": destination, "to": target.to, "resampled": resampled, **history}
