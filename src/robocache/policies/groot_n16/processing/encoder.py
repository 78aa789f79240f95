"""One sample of one embodiment for the network, and its actions back.

Letters: B samples, T steps, H horizon, A padded action dimensions, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, DataError, MissingStreamError, ShapeError
from robocache.policies.groot_n16.processing.augment import draw_augmentation
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.images import check_frames, process_frame
from robocache.policies.groot_n16.processing.modality import EmbodimentConfig
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.processing.settings import ProcessorSettings
from robocache.policies.groot_n16.processing.state_action import StateActionProcessor, as_array
from robocache.policies.groot_n16.processing.statistics import EmbodimentStatistics
from robocache.policies.groot_n16.processing.text import formalize_language


class SampleEncoder:
    """Encodes samples of one embodiment.

    Args:
        config: its modalities.
        statistics: what it is normalised with.
        settings: of the processor.
        compat: what is done as in the public code.

    Raises:
        ConfigError: its actions do not fit in the network's.
        MissingStreamError, ShapeError: statistics are missing or of another horizon.
    """

    def __init__(
        self,
        config: EmbodimentConfig,
        statistics: EmbodimentStatistics,
        settings: ProcessorSettings,
        compat: Compat,
    ) -> None:
        self.config, self.settings, self.compat = config, settings, compat
        self.numbers = StateActionProcessor(config, statistics, settings.scaling(), compat)
        self._images = settings.images(compat)
        width = sum(self.numbers.action_widths.values())
        if config.horizon > settings.max_action_horizon or width > settings.max_action_dim:
            raise ConfigError(
                f"embodiment {config.tag}: actions of {config.horizon} steps and {width} "
                f"dimensions do not fit in the network's {settings.max_action_horizon} and "
                f"{settings.max_action_dim}"
            )

    def text(self, sample: Sample) -> str:
        """The instruction as the network reads it.

        Raises:
            DataError: there is none, or nothing is left of it.
        """
        place = f"language.{self.config.language_key}"
        text = sample.get("language")
        if not isinstance(text, str):
            raise self._wrong(f"expected an instruction, got {text!r}", place)
        written = formalize_language(text) if self.settings.formalize_language else text
        if not written.strip():
            raise self._wrong(f"the instruction {text!r} is empty", place)
        return written

    def state(self, sample: Sample) -> NDArray[np.float32]:
        """(T, max_state_dim).

        Raises:
            DataError: a group is missing, misshaped or not finite, or all are too wide.
        """
        groups = self.numbers.encode_states(self._groups(sample, "state"))
        nothing = np.zeros((len(self.config.state.delta_indices), 0), np.float32)
        joined = np.concatenate([nothing, *groups.values()], axis=1)
        room = self.settings.max_state_dim - joined.shape[1]
        if room < 0:
            raise self._misshaped(
                f"{joined.shape[1]} dimensions do not fit in the network's "
                f"{self.settings.max_state_dim}",
                "state",
            )
        return np.pad(joined, ((0, 0), (0, room)))

    def action(self, sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Action and mask, each (H, A).

        Raises:
            DataError: a group is missing, misshaped or not finite.
        """
        shape = (self.settings.max_action_horizon, self.settings.max_action_dim)
        groups = self.numbers.encode_actions(
            self._groups(sample, "action"), self._groups(sample, "state")
        )
        joined = np.concatenate(list(groups.values()), axis=1).astype(np.float32)
        action, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        steps, width = joined.shape
        action[:steps, :width] = joined
        mask[:steps, :width] = 1
        valid = sample.get("action_valid")
        if valid is not None:
            if np.shape(valid) != (steps,):
                got = np.shape(valid)
                raise self._misshaped(f"expected shape ({steps},), got {got}", "action_valid")
            if not self.compat.count_padded_steps:
                mask[:steps] *= np.asarray(valid, bool)[:, None]
        return action, mask

    def pictures(
        self, sample: Sample, random: np.random.Generator | None
    ) -> list[NDArray[np.uint8]]:
        """Pictures of the network's size: by time, then by view.

        Args:
            sample: with its views.
            random: for training; None: evaluation.

        Raises:
            DataError: a view is missing or misshaped.
        """
        modality, options = self.config.video, self._images
        views = self._groups(sample, "video")
        frames = {}
        for view in modality.modality_keys:
            if view not in views:
                have = ", ".join(sorted(map(str, views))) or "none"
                raise MissingStreamError(
                    f"embodiment {self.config.tag} needs it; there are: {have}",
                    stream=f"video.{view}",
                )
            frames[view] = as_array(views[view], self.config.tag, f"video.{view}")
            check_frames(frames[view], len(modality.delta_indices), self.config.tag, view)
        augmentation = None
        if random is not None:
            angle, jitter = options.random_rotation_angle, options.color_jitter_params
            augmentation = draw_augmentation(random, rotation_deg=angle, jitter=jitter)
        return [
            process_frame(frames[view][step], options, augmentation)
            for step in range(len(modality.delta_indices))
            for view in modality.modality_keys
        ]

    def decode_actions(
        self,
        actions_BHA: NDArray[Any],
        states: Sequence[Mapping[str, NDArray[Any]]] | None,
    ) -> dict[str, NDArray[np.float32]]:
        """Group -> (B, horizon, D) float32 absolute actions; see `GrootProcessor`."""
        horizon, widths = self.config.horizon, self.numbers.action_widths
        total = sum(widths.values())
        shape = actions_BHA.shape
        if len(shape) != 3 or shape[1] < horizon or shape[2] < total:
            raise self._misshaped(
                f"expected (B, at least {horizon}, at least {total}), got {shape}", "action"
            )
        ends = np.cumsum(list(widths.values()))
        parts = {
            key: actions_BHA[:, :horizon, end - width : end]
            for (key, width), end in zip(widths.items(), ends)
        }
        if states is not None and len(states) != len(actions_BHA):
            raise self._misshaped(f"{len(states)} states for {len(actions_BHA)} actions", "state")
        decoded = self.numbers.decode_actions(parts, states)
        return {key: value.astype(np.float32) for key, value in decoded.items()}

    def _groups(self, sample: Sample, kind: str) -> Mapping[str, NDArray[Any]]:
        groups: object = sample.get(kind, {})
        if not isinstance(groups, Mapping):
            raise self._wrong(f"expected arrays by name, got {type(groups).__name__}", kind)
        return groups

    def _wrong(self, problem: str, stream: str) -> DataError:
        return DataError(f"embodiment {self.config.tag}: {problem}", stream=stream)

    def _misshaped(self, problem: str, stream: str) -> ShapeError:
        return ShapeError(f"embodiment {self.config.tag}: {problem}", stream=stream)
