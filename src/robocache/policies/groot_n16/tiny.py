"""A GR00T N1.6 of half a million random weights, for laptops and tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.settings import ProcessorSettings
from robocache.policies.groot_n16.processing.text import GrootTokenizer


def write_tiny(folder: Path, *, state_size: int = 64, action_size: int = 64, seed: int = 0) -> int:
    """Write a checkpoint with weights, processor and a tokenizer of bytes; how many weights.

    It has every part of the released model and the same keys but for the number of layers.
    Embodiment-specific weights are drawn with variance 1 / inputs: the released model's 0.02, made
    for 1,024 inputs, would let nothing through 32.

    Args:
        folder: is made.
        state_size, action_size: to which states and actions are padded.
        seed: of the weights.

    Raises:
        StorageError: it cannot be written.
        MissingDependencyError: transformers or tokenizers is not installed.
    """
    tokenizer = GrootTokenizer.bytes_only()
    config = GrootConfig.tiny(max_state_dim=state_size, max_action_dim=action_size)
    text = replace(
        config.text_config,
        vocab_size=tokenizer.vocabulary_size,
        image_token_id=tokenizer.image_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GrootN16(replace(config, text_config=text))
        _widen(model)
    model.save_pretrained(folder)
    settings = ProcessorSettings(max_state_dim=state_size, max_action_dim=action_size)
    GrootProcessor(settings, {}, {}, tokenizer).save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


@torch.no_grad()
def _widen(model: GrootN16) -> None:
    head = model.action_head
    for part in (head.state_encoder, head.action_encoder, head.action_decoder):
        for name, weight in part.named_parameters():
            if name.endswith("W"):
                weight.normal_(std=weight.shape[1] ** -0.5)
