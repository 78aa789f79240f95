"""Where the public implementation does something we think wrong: a switch for each.

The table with reasons is docs/groot/differences.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from robocache.core.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Compat:
    """Behaviour of the processor where ours and the public one's differ; defaults are ours.

    Attributes:
        letterbox: pictures are made square with black bars first. The public code does so since
            2026-02-24 and before kept the aspect ratio; no setting of a checkpoint says which.
        clip_z_scores: actions scaled by mean and standard deviation are cut at one standard
            deviation for training.
        delta_as_absolute: actions declared DELTA are given to the network as they are.
        relative_by_range: relative actions are scaled by minimum and maximum also with
            `use_percentiles`.
        always_clip_decoded: decoded actions stay within the statistics also without
            `clip_outliers`.
        count_padded_steps: action steps that a sample marks as not valid (past the end of an
            episode) count in the loss.
    """

    letterbox: bool = True
    clip_z_scores: bool = False
    delta_as_absolute: bool = False
    relative_by_range: bool = False
    always_clip_decoded: bool = False
    count_padded_steps: bool = False

    @classmethod
    def public(cls) -> Self:
        """The public behaviour exactly (of 2026-02-24 and later)."""
        return cls(**dict.fromkeys((field.name for field in fields(cls)), True))

    @classmethod
    def for_public_weights(cls) -> Self:
        """Ours, but for what weights trained by the public code have learned to expect.

        It decodes as `public` does; what concerns only further training is ours.
        """
        return cls(delta_as_absolute=True, relative_by_range=True, always_clip_decoded=True)

    def to_json(self) -> dict[str, bool]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """
        Raises:
            ConfigError: an unknown switch, or one that is not true or false.
        """
        known = [field.name for field in fields(cls)]
        for name, value in data.items():
            if name not in known:
                raise unknown_name("switch of compat", name, known)
            if not isinstance(value, bool):
                raise ConfigError(f"the switch {name} of compat is true or false, got {value!r}")
        return cls(**data)
