"""Samples to actions: the backbone once, then Euler steps from noise.

Letters: B samples, H horizon, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.seeding import generator
from robocache.policies.groot_n16.encoding import encode
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.settings import GrootSettings

Groups = dict[str, NDArray[np.float32]]


class Actor:
    """What a policy acts with.

    Args:
        model: the network.
        processor: knows the embodiments.
        settings: steps, and how many samples are computed together.
    """

    def __init__(self, model: GrootN16, processor: GrootProcessor, settings: GrootSettings) -> None:
        self.model, self.processor, self.settings = model, processor, settings

    @torch.inference_mode()
    def predict(self, samples: Sequence[Sample], seeds: Sequence[int], tag: str) -> list[Groups]:
        """Of each sample of an embodiment: action group -> (H, D), in the robot's units.

        Blocks of exactly `batch_rows` samples whose prompts have one length are computed together,
        so no answer depends on the other samples.
        """
        found: dict[int, Groups] = {}
        by_length: dict[tuple[object, ...], list[int]] = {}
        for number, sample in enumerate(samples):
            by_length.setdefault(self._length(sample, tag), []).append(number)
        rows = self.settings.batch_rows
        for numbers in by_length.values():
            for start in range(0, len(numbers), rows):
                part = numbers[start : start + rows]
                filled = [*part, *[part[0]] * (rows - len(part))]
                groups = self._predict(
                    [samples[n] for n in filled], [seeds[n] for n in filled], tag
                )
                found.update({n: {k: v[i] for k, v in groups.items()} for i, n in enumerate(part)})
        return [found[number] for number in range(len(samples))]

    def _length(self, sample: Sample, tag: str) -> tuple[object, ...]:
        """Samples that agree in this have prompts of one length."""
        text = self.processor.encoder(tag).text(sample)
        sizes = tuple(np.shape(video)[:3] for video in sample["video"].values())
        return self.processor.tokenizer.encode([text], [[]])[0].shape[1], sizes

    def _predict(self, samples: Sequence[Sample], seeds: Sequence[int], tag: str) -> Groups:
        config = self.model.config
        shape = (config.action_horizon, config.max_action_dim)
        noise = np.stack([generator(seed, "groot-noise").standard_normal(shape) for seed in seeds])
        device = self.model.device
        inputs = encode(self.processor, samples, [tag] * len(samples), None, device)
        actions = self.model.sample(
            self.model.context(self.model.encode(inputs)),
            inputs.state,
            inputs.embodiment_id,
            torch.from_numpy(noise.astype(np.float32)).to(device),
            self.settings.flow_steps,
        )
        return self.processor.decode_actions(actions, [s["state"] for s in samples], tag)
