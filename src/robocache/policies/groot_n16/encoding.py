"""Samples as inputs of the network, on its device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from robocache.policies.groot_n16.backbone import BackboneFeatures
from robocache.policies.groot_n16.inputs import GrootInputs
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample


def encode(
    processor: GrootProcessor,
    samples: Sequence[Sample],
    tags: Sequence[str],
    random: Sequence[np.random.Generator] | None,
    device: torch.device,
) -> GrootInputs:
    """Everything of samples.

    Args:
        tags: embodiment of each.
        random: one generator for each sample, for training; None: pictures as they are.
    """
    encoded = dict(processor.encode(samples, tags, random=random))
    del encoded["image_sizes"]
    return GrootInputs(**encoded).to(device)  # type: ignore[arg-type]


def encode_numbers(
    processor: GrootProcessor,
    samples: Sequence[Sample],
    tags: Sequence[str],
    features: BackboneFeatures,
    device: torch.device,
) -> GrootInputs:
    """States and actions of samples whose instructions and pictures are features already."""
    return GrootInputs(
        input_ids=torch.zeros_like(features.mask, dtype=torch.int64),
        attention_mask=features.mask,
        pixel_values=[],
        **processor.encode_numbers(samples, tags),
    ).to(device)
