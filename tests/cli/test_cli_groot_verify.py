"""`robocache groot verify`: the table, and one changed number in every stage is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Said, robocache
from safetensors.torch import load_file, save_file
from torch import Tensor

from robocache.policies.groot_n16.verify import verify

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("cv2", reason="opencv is not installed")

BLOCKS = [f"action_head/dit/block_{number}" for number in range(8)]

# File, tensor, an element of it (flat), and exactly the stages that compare it or start from it.
HEAD, FULL, CASES = "action_head", "full", "processing"
CHANGES: list[tuple[str, str, int, list[str]]] = [
    (HEAD, "out.state_features", 7, ["action_head/state_encoder", "action_head/dit/tokens"]),
    (HEAD, "out.action_features", 100, ["action_head/action_encoder", "action_head/dit/tokens"]),
    (HEAD, "out.temb", 40, ["action_head/timestep", *BLOCKS, "action_head/dit/output"]),
    (HEAD, "out.dit_out", 500, ["action_head/dit/output", "action_head/velocity"]),
    (HEAD, "out.velocity", 77, ["action_head/velocity", "action_head/velocity/end_to_end"]),
    (HEAD, "out.loss_seed7", 0, ["action_head/loss"]),
    (HEAD, "out.noise_seed11", 3, ["action_head/noise", "action_head/sample"]),
    (HEAD, "out.action_pred_seed11", 200, ["action_head/sample"]),
    (
        FULL,
        "state_dict_rows.backbone.model.language_model.lm_head.weight",
        9,
        ["full/language_head"],
    ),
    (FULL, "out.spatial_shapes", 3, ["full/grids", "full/projector"]),
    (FULL, "batch.image_sizes", 1, ["full/grids", "processing/image_sizes"]),
    (FULL, "out.vision_last_hidden_state", 60, ["full/vision", "full/projector"]),
    (FULL, "out.vit_embeds", 21, ["full/projector", "full/language"]),
    (
        FULL,
        "out.backbone_backbone_features",
        -1,
        ["full/language", "full/language/end_to_end", "full/loss", "full/sample"],
    ),
    (FULL, "out.loss_seed5", 0, ["full/loss", "full/loss/end_to_end"]),
    (FULL, "out.noise_seed6", 5, ["full/noise", "full/sample", "full/sample/end_to_end"]),
    (
        FULL,
        "batch.input_ids",
        -1,
        [
            "processing/input_ids",
            "full/language",
            "full/language/end_to_end",
            "full/loss/end_to_end",
            "full/sample/end_to_end",
        ],
    ),
    (FULL, "out.decoded_action.yaw", 2, ["processing/decoded_action.yaw"]),
    (
        CASES,
        "percentiles1_clip0_relative1.state.arm",
        1,
        ["processing/percentiles1_clip0_relative1.state.arm"],
    ),
    (
        CASES,
        "percentiles0_clip1_relative1.action_back.eef6",
        4,
        ["processing/percentiles0_clip1_relative1.action_back.eef6"],
    ),
]
QUICK = [
    "out.state_features",
    "out.velocity",
    "out.loss_seed7",
    "out.vision_last_hidden_state",
    "out.backbone_backbone_features",
    "batch.input_ids",
    "out.decoded_action.yaw",
    "percentiles1_clip0_relative1.state.arm",
]
"""One tensor for each group of stages."""


@pytest.fixture
def words(shared_data: Path) -> Path:
    return shared_data / "qwen2_tokenizer"


def test_all_stages_are_within_their_bounds(groot_oracle: Path, words: Path) -> None:
    said = ask(groot_oracle, words)
    assert said.code == 0, said.err
    assert "193 of 193 stages within their bounds" in said.out
    assert "full/sample/end_to_end" in said.out and "DIFFERS" not in said.out


def test_json_has_every_stage(
    groot_oracle: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROOT_ORACLE", str(groot_oracle))
    said = robocache("groot", "verify", "--tokenizer", str(words), "--json")
    result = json.loads(said.out.splitlines()[-1])
    assert said.code == 0 and result["passed"] and result["failing"] == []
    assert len(result["stages"]) == 193 and 0 < result["largest_error"] <= 1e-6
    assert set(result["stages"][0]) == {"name", "error", "bound", "passed", "detail"}


def test_without_a_tokenizer_tokens_are_not_compared(groot_oracle: Path) -> None:
    said = robocache("groot", "verify", "--oracle", str(groot_oracle))
    assert said.code == 4
    assert "not run, for lack of a tokenizer: processing/input_ids" in said.out
    said = robocache("groot", "verify", "--oracle", str(groot_oracle), "--without-tokens")
    assert said.code == 0 and "191 of 191" in said.out


def test_without_an_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROOT_ORACLE", raising=False)
    said = robocache("groot", "verify")
    assert said.code == 3 and "give --oracle FOLDER" in said.err
    said = robocache("groot", "verify", "--oracle", str(tmp_path / "nothing"))
    assert said.code == 3 and "is not a folder" in said.err
    said = robocache("groot", "verify", "--oracle", str(tmp_path))
    assert said.code == 3 and "action_head.json" in said.err


@pytest.mark.parametrize("name", QUICK)
def test_a_changed_number_is_named(
    groot_oracle: Path, words: Path, tmp_path: Path, name: str
) -> None:
    ((file, _, element, stages),) = [row for row in CHANGES if row[1] == name]
    said = ask(changed(groot_oracle, tmp_path, file, name, element), words, "--json")
    result = json.loads(said.out.splitlines()[-1])
    assert said.code == 4 and not result["passed"]
    assert sorted(result["failing"]) == sorted(stages)


def test_the_table_names_what_differs(groot_oracle: Path, words: Path, tmp_path: Path) -> None:
    folder = changed(groot_oracle, tmp_path, HEAD, "out.dit_hidden", -1)
    said = ask(folder, words)
    assert said.code == 4 and "191 of 193" in said.out
    assert "DIFFERS action_head/dit/block_7: " in said.out
    assert "DIFFERS action_head/dit/output: " in said.out


def test_a_weight_of_another_shape_is_named(
    groot_oracle: Path, words: Path, tmp_path: Path
) -> None:
    name = "state_dict.backbone.model.mlp1.1.bias"
    folder = copied(groot_oracle, tmp_path, FULL, {name: None})
    failing = {stage.name: stage.detail for stage in verify(folder, words).failing}
    assert "full/weights" in failing and "mlp1" in failing["full/weights"]


@pytest.mark.slow
@pytest.mark.parametrize("row", CHANGES, ids=[row[1] for row in CHANGES])
def test_each_tensor_is_noticed_by_its_stages(
    groot_oracle: Path, words: Path, tmp_path: Path, row: tuple[str, str, int, list[str]]
) -> None:
    file, name, element, stages = row
    found = verify(changed(groot_oracle, tmp_path, file, name, element), words)
    assert sorted(stage.name for stage in found.failing) == sorted(stages)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_each_block_is_noticed(groot_oracle: Path, words: Path, tmp_path: Path, block: int) -> None:
    size = load_file(groot_oracle / "action_head.safetensors")["out.dit_hidden"][0].numel()
    folder = changed(groot_oracle, tmp_path, HEAD, "out.dit_hidden", (block + 1) * size + 5)
    after = [*BLOCKS, "action_head/dit/output"][block + 1]
    failing = {stage.name for stage in verify(folder, words).failing}
    assert failing == {BLOCKS[block], after}


@pytest.mark.slow
def test_every_processing_stage_is_noticed_alone(
    groot_oracle: Path, words: Path, tmp_path: Path
) -> None:
    """One element of one tensor at a time: all states and decoded actions, pixels and the rest."""
    whole = ["attention_mask", "embodiment_id", "action_mask", "state", "action"]
    whole += [f"pixel_values.{number}" for number in range(4)]
    tensors = load_file(groot_oracle / "processing.safetensors")
    kinds = (".state.", ".action.", ".action_back.")
    stages = [(FULL, f"batch.{name}", f"processing/{name}") for name in whole]
    stages += [
        (CASES, name, f"processing/{name}") for name in tensors if any(k in name for k in kinds)
    ]
    for number, (file, name, stage) in enumerate(stages):
        folder = changed(groot_oracle, tmp_path / str(number), file, name, 0)
        failing = {found.name for found in verify(folder, words).failing}
        others = {found for found in failing - {stage} if not found.startswith("full/")}
        assert stage in failing, name
        assert others <= {stage.replace(".action.", ".action_back.")}, name


def ask(folder: Path, words: Path, *more: str) -> Said:
    return robocache("groot", "verify", "--oracle", str(folder), "--tokenizer", str(words), *more)


def changed(oracle: Path, place: Path, file: str, name: str, element: int) -> Path:
    """A copy of an oracle with another value in one place."""
    tensor = load_file(oracle / f"{file}.safetensors")[name]
    flat = tensor.clone().reshape(-1)
    if flat.is_floating_point():
        flat[element] += 0.1 + 0.1 * flat[element].abs()
    else:
        flat[element] = 1 - flat[element] if flat.max() <= 1 else flat[element] - 1
    return copied(oracle, place, file, {name: flat.reshape(tensor.shape)})


def copied(oracle: Path, place: Path, file: str, tensors: dict[str, Tensor | None]) -> Path:
    """A copy of an oracle with other tensors in one file; None: without it."""
    place.mkdir(exist_ok=True)
    for path in oracle.iterdir():
        if path.name != f"{file}.safetensors":
            (place / path.name).symlink_to(path)
    mixed = {**load_file(oracle / f"{file}.safetensors"), **tensors}
    kept = {name: value for name, value in mixed.items() if value is not None}
    save_file(kept, place / f"{file}.safetensors")
    return place
