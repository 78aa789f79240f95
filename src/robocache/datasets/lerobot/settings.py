"""What can be asked of a LeRobot folder that is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import av

from robocache.core.errors import ConfigError

ENCODERS = {"av1": "libsvtav1", "h264": "libx264"}


@dataclass(frozen=True)
class VideoSettings:
    """How cameras are encoded.

    Attributes:
        codec: "av1", "h264", or "auto": AV1 where this PyAV can write it, else H.264.
        crf: constant quality, lower is better and larger.
        keyframe_every: frames between two at which decoding can start.
        file_megabytes: a file that would grow beyond this is followed by the next.
    """

    codec: str = "auto"
    crf: int = 30
    keyframe_every: int = 2
    file_megabytes: float = 200.0

    def __post_init__(self) -> None:
        if self.codec not in ("auto", *ENCODERS):
            raise ConfigError(f"codec {self.codec!r} is not one of auto, {', '.join(ENCODERS)}")

    def resolve(self) -> str:
        """The codec that is written.

        Raises:
            ConfigError: this PyAV cannot write it.
        """
        if self.codec == "auto":
            return "av1" if _can_encode("av1") else "h264"
        if not _can_encode(self.codec):
            raise ConfigError(f"this PyAV has no encoder {ENCODERS[self.codec]} for {self.codec}")
        return self.codec

    def options(self, codec: str) -> dict[str, str]:
        """Options of the encoder, those that the lerobot package gives."""
        options = {"g": str(self.keyframe_every), "crf": str(self.crf)}
        return {**options, "preset": "12"} if codec == "av1" else options


def _can_encode(codec: str) -> bool:
    try:
        av.codec.Codec(ENCODERS[codec], "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class LeRobotSettings:
    """What `write_lerobot` can be asked for; see there."""

    fps: float | None = None
    robot_type: str | None = None
    cameras: Literal["video", "image"] = "video"
    video: VideoSettings = field(default_factory=VideoSettings)
    streams: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.cameras not in ("video", "image"):
            raise ConfigError(f"cameras are written as 'video' or 'image', not {self.cameras!r}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ConfigError(f"fps must be a positive number, got {self.fps}")
