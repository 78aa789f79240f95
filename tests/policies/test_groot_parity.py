"""Our GR00T N1.6 against tensors that the public model gave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from robocache.core.errors import DataError
from robocache.policies.groot_n16 import GrootConfig, GrootN16
from robocache.policies.groot_n16.oracle import (
    StoredTensors,
    action_head_stages,
    compare_action_head,
    compare_full,
    model_stages,
    read_configuration,
)
from robocache.policies.groot_n16.stages import Stage, relative_error


@pytest.fixture(scope="module")
def stages(groot_oracle: Path) -> dict[str, Stage]:
    return {stage.name: stage for stage in model_stages(groot_oracle)}


def test_every_stage_is_within_its_bound(stages: dict[str, Stage]) -> None:
    assert [stage for stage in stages.values() if not stage.passed] == []
    assert all(stage.bound <= 1e-6 for stage in stages.values())


def test_no_stage_is_left_out(stages: dict[str, Stage]) -> None:
    blocks = [f"dit/block_{number}" for number in range(8)]
    alone = ["weights", "state_encoder", "action_encoder", "timestep", "dit/tokens", *blocks]
    alone += ["dit/output", "velocity", "velocity/end_to_end", "loss", "noise", "sample"]
    whole = ["weights", "language_head", "grids", "vision", "projector", "language", "loss"]
    whole += ["noise", "sample", "language/end_to_end", "loss/end_to_end", "sample/end_to_end"]
    expected = [f"action_head/{name}" for name in alone] + [f"full/{name}" for name in whole]
    assert list(stages) == expected


# Tensor, an element of it (flat), and the stages that must notice when that element changes.
ALONE = [
    ("inputs.state", 5, ["state_encoder", "loss", "sample"]),
    ("inputs.embodiment_id", 1, ["state_encoder", "action_encoder", "velocity", "sample"]),
    ("state_dict.state_encoder.layer2.b", 3, ["state_encoder"]),
    ("out.state_features", 7, ["state_encoder", "dit/tokens"]),
    ("inputs.action", 11, ["action_encoder", "velocity/end_to_end", "loss"]),
    ("out.t", 2, ["action_encoder", "timestep", "velocity/end_to_end"]),
    ("out.action_features", 100, ["action_encoder", "dit/tokens"]),
    ("out.temb", 40, ["timestep", "dit/block_0", "dit/block_7", "dit/output"]),
    ("state_dict.position_embedding.weight", 33, ["dit/tokens", "velocity/end_to_end"]),
    ("inputs.vl", 70, ["dit/block_0", "dit/block_4", "loss", "sample"]),
    ("inputs.img", 1, ["dit/block_0", "dit/block_2", "sample"]),
    ("state_dict.model.transformer_blocks.3.attn1.to_v.bias", 0, ["dit/block_3", "sample"]),
    ("state_dict.model.transformer_blocks.6.norm1.linear.weight", 9, ["dit/block_6"]),
    ("state_dict.model.proj_out_1.bias", 1, ["dit/output", "velocity/end_to_end"]),
    ("out.dit_out", 500, ["dit/output", "velocity"]),
    ("out.velocity", 77, ["velocity", "velocity/end_to_end"]),
    ("state_dict.action_decoder.layer2.b", 4, ["velocity", "loss", "sample"]),
    ("inputs.action_mask", 0, ["loss"]),
    ("out.loss_seed7", 0, ["loss"]),
    ("out.action_loss_seed7", 20, ["loss"]),
    ("out.noise_seed11", 3, ["noise", "sample"]),
    ("out.action_pred_seed11", 200, ["sample"]),
]


@pytest.mark.parametrize(("name", "element", "noticing"), ALONE, ids=[row[0] for row in ALONE])
def test_the_action_head_notices_one_changed_element(
    groot_oracle: Path, name: str, element: int, noticing: list[str]
) -> None:
    stored = StoredTensors(groot_oracle / "action_head.safetensors")
    change(stored, name, element)
    data = read_configuration(groot_oracle / "action_head.json")
    failed = failing(compare_action_head(stored, data))
    assert {f"action_head/{stage}" for stage in noticing} <= failed


@pytest.mark.parametrize("block", range(8))
def test_every_block_notices_one_changed_element(groot_oracle: Path, block: int) -> None:
    stored = StoredTensors(groot_oracle / "action_head.safetensors")
    hidden = stored["out.dit_hidden"]
    change(stored, "out.dit_hidden", (block + 1) * hidden[0].numel() + 5)
    data = read_configuration(groot_oracle / "action_head.json")
    assert f"action_head/dit/block_{block}" in failing(compare_action_head(stored, data))


# All outputs of the second file at once: each of its stages must fail by its own.
WHOLE = {
    "state_dict_rows.backbone.model.language_model.lm_head.weight": ["language_head"],
    "batch.image_sizes": ["grids"],
    "out.vision_last_hidden_state": ["vision", "projector"],
    "out.vit_embeds": ["projector", "language"],
    "out.backbone_backbone_features": ["language", "language/end_to_end"],
    "out.loss_seed5": ["loss", "loss/end_to_end"],
    "out.noise_seed6": ["noise", "sample", "sample/end_to_end"],
}
INPUTS = {
    "batch.pixel_values.3": ["vision", "language/end_to_end", "sample/end_to_end"],
    "batch.input_ids": ["language", "language/end_to_end"],
    "batch.state": ["loss", "sample", "sample/end_to_end"],
    "batch.action_mask": ["loss", "loss/end_to_end"],
}


@pytest.mark.parametrize("changes", [WHOLE, INPUTS], ids=["outputs", "inputs"])
def test_the_whole_notices_changed_elements(
    groot_oracle: Path, changes: dict[str, list[str]]
) -> None:
    stored = StoredTensors(groot_oracle / "full.safetensors")
    for name in changes:
        change(stored, name, -1)
    failed = failing(compare_full(stored, read_configuration(groot_oracle / "full.json")))
    assert {f"full/{stage}" for stages in changes.values() for stage in stages} <= failed


def test_a_missing_tensor_is_named(groot_oracle: Path) -> None:
    stored = StoredTensors(groot_oracle / "action_head.safetensors")
    del stored.tensors["out.temb"]
    with pytest.raises(DataError, match=r"has no tensor 'out\.temb'"):
        list(compare_action_head(stored, read_configuration(groot_oracle / "action_head.json")))


def test_a_missing_weight_is_named(groot_oracle: Path) -> None:
    stored = StoredTensors(groot_oracle / "action_head.safetensors")
    del stored.tensors["state_dict.vlln.bias"]
    data = read_configuration(groot_oracle / "action_head.json")
    first = next(compare_action_head(stored, data))
    assert not first.passed and "vlln: missing (1): bias" in first.detail


def test_a_folder_without_oracle(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"action_head\.json"):
        list(action_head_stages(tmp_path))


def test_the_released_keys_and_shapes(groot_oracle: Path) -> None:
    with torch.device("meta"):
        ours = GrootN16(GrootConfig()).state_dict()
    stored: dict[str, Any] = json.loads((groot_oracle / "full_size_keys.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == stored
    assert sum(tensor.numel() for tensor in ours.values()) * 2 == 6_573_217_664


def test_errors_of_what_is_not_a_number() -> None:
    one = torch.tensor([1.0, 2.0])
    assert relative_error(one, torch.tensor([1.0, 4.0])) == 0.5
    for wrong in ([1.0, float("nan")], [1.0, float("inf")], [1.0]):
        assert relative_error(one, torch.tensor(wrong)) == float("inf")
        assert relative_error(torch.tensor(wrong), one) == float("inf")
    assert not Stage("nan", float("nan"), 1.0).passed


def change(stored: StoredTensors, name: str, element: int) -> None:
    """Another value in one place: another id or truth value, or a little more."""
    flat = stored.tensors[name].clone().reshape(-1)
    if flat.dtype == torch.bool:
        flat[element] = ~flat[element]
    elif flat.is_floating_point():
        flat[element] += 0.1 + 0.1 * flat[element].abs()
    else:
        flat[element] = flat[element] - 1
    stored.tensors[name] = flat.reshape(stored.tensors[name].shape)


def failing(stages: Iterator[Stage]) -> set[str]:
    return {stage.name for stage in stages if not stage.passed}
