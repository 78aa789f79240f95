"""Samples to batches of the network, and its actions back to the robot's.

Letters: B samples, T steps, H horizon, A padded action dimensions, D dimensions of a group.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.embodiments import projector_id
from robocache.policies.groot_n16.processing.encoder import SampleEncoder
from robocache.policies.groot_n16.processing.files import read_folder, write_folder
from robocache.policies.groot_n16.processing.images import image_tokens, network_pixels
from robocache.policies.groot_n16.processing.modality import EmbodimentConfig
from robocache.policies.groot_n16.processing.samples import GrootBatch, Sample
from robocache.policies.groot_n16.processing.settings import ProcessorSettings
from robocache.policies.groot_n16.processing.statistics import EmbodimentStatistics
from robocache.policies.groot_n16.processing.text import GrootTokenizer


@cache
def _pool() -> ThreadPoolExecutor:
    """For pictures; the libraries that change them let other threads run meanwhile."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), "groot-pictures")


class GrootProcessor:
    """Input and output processing of a GR00T N1.6 policy.

    Args:
        settings: of the processor.
        embodiments: tag -> modalities.
        statistics: tag -> what it is normalised with.
        tokenizer: for instructions.
        embodiment_ids: tag -> projector id; what is missing is filled in from the code's table.
        compat: what is done as in the public code.
    """

    def __init__(
        self,
        settings: ProcessorSettings,
        embodiments: Mapping[str, EmbodimentConfig],
        statistics: Mapping[str, EmbodimentStatistics],
        tokenizer: GrootTokenizer,
        *,
        embodiment_ids: Mapping[str, int] | None = None,
        compat: Compat | None = None,
    ) -> None:
        self.settings = settings
        self.embodiments = dict(embodiments)
        self.statistics = dict(statistics)
        self.tokenizer = tokenizer
        self.embodiment_ids = dict(embodiment_ids or {})
        self.compat = compat or Compat()
        self._encoders: dict[str, SampleEncoder] = {}

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        tokenizer: GrootTokenizer | str | Path | None = None,
        compat: Compat | None = None,
        **changes: Any,
    ) -> Self:
        """Read processor_config.json, statistics.json and embodiment_id.json.

        Args:
            folder: a checkpoint.
            tokenizer: a tokenizer or its folder; None: the files in `folder`.
            compat: None: what the folder was saved with; of a folder by the public code,
                `Compat.for_public_weights()`.
            changes: settings that are to have other values, e.g. `max_action_dim`.

        Raises:
            CheckpointError: a file is missing.
            CorruptFileError: a file is damaged.
            ConfigError: of another model, an unknown setting, or there is no tokenizer.
            DataError: statistics that cannot be used.
        """
        content = read_folder(Path(folder), changes)
        if not isinstance(tokenizer, GrootTokenizer):
            tokenizer = GrootTokenizer.from_folder(tokenizer or folder)
        return cls(
            content.settings,
            content.embodiments,
            content.statistics,
            tokenizer,
            embodiment_ids=content.embodiment_ids,
            compat=compat or content.compat,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the public files, the switches of `compat` and the tokenizer beside them.

        Raises:
            OSError: they cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ids = {tag: self.embodiment_id(tag) for tag in self.embodiments}
        write_folder(
            folder,
            settings=self.settings,
            embodiments=self.embodiments,
            statistics=self.statistics,
            embodiment_ids={**self.embodiment_ids, **ids},
            compat=self.compat,
        )
        self.tokenizer.save(folder)

    def with_embodiment(
        self,
        config: EmbodimentConfig,
        statistics: EmbodimentStatistics,
        embodiment_id: int | None = None,
    ) -> Self:
        """A processor that also knows this embodiment, or knows it anew.

        Args:
            config: its modalities; the tag is in it.
            statistics: what it is normalised with, see `choose_statistics`.
            embodiment_id: its projector id; None: as it is known.

        Raises:
            ConfigError: the id is not known.
        """
        ids = dict(self.embodiment_ids)
        ids[config.tag] = projector_id(config.tag, ids) if embodiment_id is None else embodiment_id
        return type(self)(
            self.settings,
            {**self.embodiments, config.tag: config},
            {**self.statistics, config.tag: statistics},
            self.tokenizer,
            embodiment_ids=ids,
            compat=self.compat,
        )

    def embodiment_id(self, tag: str) -> int:
        """Projector id of an embodiment."""
        return projector_id(tag, self.embodiment_ids)

    def encoder(self, tag: str) -> SampleEncoder:
        """What encodes the samples of one embodiment.

        Raises:
            ConfigError: it is not known, or its actions do not fit in the network's.
            MissingStreamError, ShapeError: statistics are missing or of another horizon.
        """
        if tag not in self._encoders:
            if tag not in self.embodiments:
                raise unknown_name("embodiment", tag, self.embodiments)
            statistics = self.statistics.get(tag, EmbodimentStatistics())
            self._encoders[tag] = SampleEncoder(
                self.embodiments[tag], statistics, self.settings, self.compat
            )
        return self._encoders[tag]

    def encode(
        self,
        samples: Sequence[Sample],
        embodiment: str | Sequence[str],
        *,
        random: Sequence[np.random.Generator] | None = None,
    ) -> GrootBatch:
        """A batch of samples for the network; tensors are on the CPU.

        Args:
            samples: at least one; all with actions, or all without.
            embodiment: tag of all, or of each.
            random: one generator for each sample, for training; None: evaluation.

        Raises:
            ConfigError: an embodiment is not known.
            DataError: a sample cannot be used; names the modality's key and the embodiment.
        """
        tags = self._tags(samples, embodiment)
        if random is not None and len(random) != len(samples):
            raise ConfigError(f"{len(samples)} samples, but {len(random)} random generators")
        if random is not None and self.settings.extra.get("extra_augmentation_config"):
            raise ConfigError("extra_augmentation_config is not supported in training")
        encoders = [self.encoder(tag) for tag in tags]
        texts = [encoder.text(sample) for encoder, sample in zip(encoders, samples)]
        draws = [None] * len(samples) if random is None else list(random)
        pictures = list(_pool().map(SampleEncoder.pictures, encoders, samples, draws))
        sizes = [[picture.shape[:2] for picture in of_sample] for of_sample in pictures]
        ids, mask = self.tokenizer.encode(texts, [[image_tokens(*s) for s in of] for of in sizes])
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "pixel_values": [
                torch.from_numpy(network_pixels(p)) for of_sample in pictures for p in of_sample
            ],
            "image_sizes": torch.tensor([s for of in sizes for s in of], dtype=torch.int64),
            **self.encode_numbers(samples, tags),
        }
        return cast(GrootBatch, batch)

    def encode_numbers(
        self, samples: Sequence[Sample], embodiment: str | Sequence[str]
    ) -> dict[str, Tensor]:
        """What `encode` gives but for instructions and pictures, which are not looked at."""
        tags = self._tags(samples, embodiment)
        encoders = [self.encoder(tag) for tag in tags]
        states = [encoder.state(sample) for encoder, sample in zip(encoders, samples)]
        if len({len(state) for state in states}) > 1:
            raise ShapeError("embodiments with different numbers of state steps in one batch")
        numbers = {
            "state": torch.from_numpy(np.stack(states)),
            "embodiment_id": torch.tensor([self.embodiment_id(tag) for tag in tags]),
        }
        with_actions = ["action" in sample for sample in samples]
        if any(with_actions) and not all(with_actions):
            raise DataError(f"sample {with_actions.index(False)} of the batch has no action")
        if all(with_actions):
            actions = [encoder.action(sample) for encoder, sample in zip(encoders, samples)]
            numbers["action"] = torch.from_numpy(np.stack([action for action, _ in actions]))
            numbers["action_mask"] = torch.from_numpy(np.stack([mask for _, mask in actions]))
        return numbers

    def _tags(self, samples: Sequence[Sample], embodiment: str | Sequence[str]) -> list[str]:
        tags = [embodiment] * len(samples) if isinstance(embodiment, str) else list(embodiment)
        if not samples or len(tags) != len(samples):
            raise ConfigError(f"{len(samples)} samples of {len(tags)} embodiments")
        return tags

    def decode_actions(
        self,
        actions: Tensor | NDArray[Any],
        states: Sequence[Mapping[str, NDArray[Any]]] | None,
        embodiment: str,
    ) -> dict[str, NDArray[np.float32]]:
        """Group -> (B, horizon, D) float32 absolute actions.

        Args:
            actions: (B, H, A) from the network, of any floating dtype.
            states: the samples' states, group -> (T, D); needed for relative actions only.
            embodiment: tag of all.

        Raises:
            ConfigError: the embodiment is not known.
            DataError: actions or states cannot be used; names key and embodiment.
        """
        values = actions.detach().float().cpu().numpy() if isinstance(actions, Tensor) else actions
        return self.encoder(embodiment).decode_actions(values, states)
