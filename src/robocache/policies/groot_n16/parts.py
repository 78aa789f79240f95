"""The parts of a GR00T N1.6, as people speak of them."""

from __future__ import annotations

from collections import defaultdict

from robocache.policies.groot_n16.model import GrootN16

PARTS = {
    "backbone.model.vision_model.": "vision tower",
    "backbone.model.mlp1.": "projector of images",
    "backbone.model.language_model.": "language model",
    "action_head.model.": "DiT",
    "action_head.state_encoder.": "embodiment layers",
    "action_head.action_encoder.": "embodiment layers",
    "action_head.action_decoder.": "embodiment layers",
    "action_head.": "norm, positions, mask token",
    "fusion.": "fusion",
}
"""Beginning of a parameter's name -> part; the first that fits."""


def part_of(name: str) -> str:
    """The part that a parameter belongs to."""
    return next((part for prefix, part in PARTS.items() if name.startswith(prefix)), "other")


def parameters_by_part(model: GrootN16) -> dict[str, int]:
    """Part -> number of parameters; the tied head of the language model counts once."""
    counts: dict[str, int] = defaultdict(int)
    for name, parameter in model.named_parameters():
        counts[part_of(name)] += parameter.numel()
    return dict(counts)
