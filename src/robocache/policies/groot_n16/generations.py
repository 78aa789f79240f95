"""Other generations of GR00T, recognised by their configuration or their weights, and refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robocache.core.errors import CheckpointError

ADVICE = {
    "N1": "fine-tune a GR00T N1.6 checkpoint (nvidia/GR00T-N1.6-3B) on your data, or run this one "
    "with the public Isaac-GR00T code of its time",
    "N1.5": "fine-tune a GR00T N1.6 checkpoint (nvidia/GR00T-N1.6-3B) on your data, or run this "
    "one with the public Isaac-GR00T code of its time",
    "N1.7": "use a GR00T N1.6 checkpoint (nvidia/GR00T-N1.6-3B), or run this one with the public "
    "Isaac-GR00T code; its backbone (Cosmos-Reason2, Qwen3-VL) is another network",
}

# model_type and architectures, lower-cased without separators.
NAMES = {
    "gr00tn1": "N1",
    "gr00tn15": "N1.5",
    "gr00tn1d5": "N1.5",
    "gr00tn1d7": "N1.7",
    "gr00tn17": "N1.7",
}


def require_n16_config(data: Mapping[str, Any]) -> None:
    """Raise CheckpointError unless a parsed `config.json` is one of GR00T N1.6."""
    architectures = data.get("architectures") or []
    names = [data.get("model_type"), *(architectures if isinstance(architectures, list) else [])]
    given = [name for name in names if isinstance(name, str)]
    plain = [name.lower().replace("_", "").replace("-", "").replace(".", "") for name in given]
    if "gr00tn1d6" in plain:
        return
    old = {"backbone_cfg", "action_head_cfg"} <= data.keys()
    generation = next((NAMES[name] for name in plain if name in NAMES), None)
    if old:
        generation = _old_generation(data, generation)
    if generation is None:
        raise CheckpointError(
            f"config.json names model_type={data.get('model_type')!r}, "
            f"architectures={data.get('architectures')!r}; expected Gr00tN1d6. Give the folder of "
            f"a GR00T N1.6 checkpoint"
        )
    _refuse(generation, f"config.json names {', '.join(given) or 'an older layout'}")


def require_n16_weights(shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise CheckpointError if keys and shapes of the weights are those of another generation.

    Args:
        shapes: state-dict key -> shape.
    """
    if any(name.startswith("action_head.future_tokens.") for name in shapes):
        newer = any(name.startswith("action_head.vl_self_attention.") for name in shapes)
        _refuse("N1.5" if newer else "N1", "the weights have action_head.future_tokens")
    if any(name.startswith("backbone.eagle_model.") for name in shapes):
        _refuse("N1.5", "the weights lie under backbone.eagle_model")
    state = next(
        (shape for name, shape in shapes.items() if name.endswith("state_encoder.layer1.W")), ()
    )
    if any(name.startswith("backbone.model.model.visual.") for name in shapes) or (
        any(".visual.blocks." in name for name in shapes)
    ):
        _refuse("N1.7", "the weights have the vision tower of Qwen3-VL")
    if any(name.startswith("action_head.vl_self_attention.") for name in shapes):
        wide = len(state) == 3 and state[1] == 132
        _refuse("N1.7" if wide else "N1.5", "the weights have action_head.vl_self_attention")


def _old_generation(data: Mapping[str, Any], named: str | None) -> str:
    """N1 and N1.5 share a layout; N1.5 came with attention over vision and language."""
    head = data["action_head_cfg"]
    newer = isinstance(head, Mapping) and head.get("use_vlln") and "vl_self_attention_cfg" in head
    return "N1.5" if newer else named or "N1"


def _refuse(generation: str, evidence: str) -> None:
    raise CheckpointError(
        f"this is a GR00T {generation} checkpoint ({evidence}); only N1.6 is built here. "
        f"What to do: {ADVICE[generation]}"
    )
