"""Writes LeRobot v3.0 folders as the lerobot package writes them, from episodes of any origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.datasets.lerobot.dataset import LeRobotDataset
from robocache.datasets.lerobot.settings import LeRobotSettings, VideoSettings
from robocache.datasets.lerobot.writer import FolderWriter
from robocache.datasets.new_folder import new_folder


def write_lerobot(
    episodes: Iterable[Episode],
    folder: str | Path,
    *,
    fps: float | None = None,
    robot_type: str | None = None,
    cameras: Literal["video", "image"] = "video",
    video: VideoSettings | None = None,
    streams: Sequence[str] | None = None,
) -> LeRobotDataset:
    """Write a LeRobot v3.0 folder; it is there whole, or not at all.

    Streams (H, W, 3) uint8 become videos or PNG pictures, all others columns. Streams with several
    clocks are brought to `fps` by `datasets.alignment`; meta/info.json says which, under
    "robocache", and keeps what LeRobot has no place for. A "/" in a name becomes ".".

    Args:
        episodes: a dataset, or episodes; each is read once and let go.
        folder: must not exist.
        fps: frames per second; None: the one rate that all streams have.
        robot_type: name of the robot for info.json.
        cameras: "video" (smaller, changes pixels) or "image" (exact).
        video: codec, quality, keyframes and size of files.
        streams: which to write; None: those of the first episode.

    Raises:
        ConfigError: no episodes, no common rate and no `fps`, or a stream that LeRobot cannot hold.
        DataError: an episode lacks a stream, or has another shape or a NaN; names both.
        StorageError: the folder exists, or the disk is full; nothing is left behind.
    """
    settings = LeRobotSettings(
        fps=fps,
        robot_type=robot_type,
        cameras=cameras,
        video=video or VideoSettings(),
        streams=None if streams is None else tuple(streams),
    )
    with new_folder(Path(folder)) as temporary:
        fill_folder(temporary, episodes, settings)
    return LeRobotDataset(folder)


def fill_folder(folder: Path, episodes: Iterable[Episode], settings: LeRobotSettings) -> None:
    """Write episodes to an empty folder; see `write_lerobot`, which makes it whole or nothing."""
    writer: FolderWriter | None = None
    try:
        for episode in episodes:
            writer = writer or FolderWriter(folder, episode, settings)
            writer.add(episode)
        if writer is None:
            raise ConfigError("there are no episodes to write")
        writer.finish()
    finally:
        if writer is not None:
            writer.abandon()
