"""config.json of GR00T N1.6, and those of other generations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies.groot_n16 import GrootConfig
from robocache.policies.groot_n16.generations import require_n16_weights

NAMED = {"model_type": "Gr00tN1d6", "architectures": ["Gr00tN1d6"]}


def test_a_stored_configuration_survives(groot_oracle: Path) -> None:
    data = json.loads((groot_oracle / "full.json").read_text())
    whole = {**data["config"], **{k: data[k] for k in ("vision_config", "text_config")}}
    written = GrootConfig.from_json(whole).to_json()
    assert {name: written[name] for name in data["config"]} == data["config"]
    for part in ("vision_config", "text_config"):
        assert {name: written[part][name] for name in whole[part]} == whole[part]
    assert GrootConfig.from_json(written) == GrootConfig.from_json(whole)


def test_unknown_fields_are_kept() -> None:
    news = {"gemma_collator": False, "attn_implementation": None, "diffusion_model_cfg": {"x": 1}}
    written = GrootConfig.from_json({**NAMED, **news}).to_json()
    assert written["gemma_collator"] is False and written["attn_implementation"] is None
    assert written["diffusion_model_cfg"]["x"] == 1


def test_the_released_model_needs_no_sizes_of_its_backbone() -> None:
    written = GrootConfig().to_json()
    assert "vision_config" not in written and "text_config" not in written
    assert GrootConfig.from_json(written) == GrootConfig()
    assert (
        GrootConfig.from_json(json.loads(json.dumps(GrootConfig.tiny().to_json())))
        == GrootConfig.tiny()
    )


def test_what_config_json_leaves_out_is_what_the_public_code_assumes() -> None:
    sparse = GrootConfig.from_json(NAMED)
    assert (sparse.max_state_dim, sparse.max_action_dim, sparse.action_horizon) == (29, 29, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"select_layer": "16"}, "select_layer in config.json must be int, got '16'"),
        ({"max_state_dim": 29.5}, "must be int"),
        ({"use_vlln": 1}, "use_vlln in config.json must be bool"),
        ({"noise_s": True}, "noise_s in config.json must be float"),
        ({"text_config": 3}, "text_config in config.json must be an object"),
        ({"input_embedding_dim": 100}, "must be equal"),
        ({"hidden_size": 7}, "output_dim of diffusion_model_cfg is 1024"),
        ({"action_horizon": 2000}, "max_seq_len is 1024"),
        ({"state_dropout_prob": 1.5}, "0..1"),
        ({"diffusion_model_cfg": {"norm_type": "layer_norm"}}, "norm_type is 'layer_norm'"),
        ({"diffusion_model_cfg": {"interleave_self_attention": False}}, "use_alternate_vl_dit"),
    ],
)
def test_values_that_cannot_be_used(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GrootConfig.from_json({**NAMED, **change})


@pytest.mark.parametrize(
    ("data", "generation"),
    [
        ({"model_type": "gr00t_n1", "architectures": ["GR00T_N1"]}, "N1"),
        ({"backbone_cfg": {}, "action_head_cfg": {}}, "N1"),
        ({"model_type": "gr00t_n1_5", "architectures": ["GR00T_N1_5"]}, "N1.5"),
        (
            {
                "backbone_cfg": {},
                "action_head_cfg": {"use_vlln": True, "vl_self_attention_cfg": {"num_layers": 4}},
            },
            "N1.5",
        ),
        ({"model_type": "Gr00tN1d7"}, "N1.7"),
        ({"architectures": ["Gr00tN1d7"]}, "N1.7"),
    ],
)
def test_other_generations_are_named(data: dict[str, Any], generation: str) -> None:
    with pytest.raises(CheckpointError, match=f"is a GR00T {generation} checkpoint.*What to do"):
        GrootConfig.from_json(data)


def test_what_is_no_groot_is_said() -> None:
    with pytest.raises(CheckpointError, match=r"model_type='llama'.*expected Gr00tN1d6"):
        GrootConfig.from_json({"model_type": "llama"})


@pytest.mark.parametrize(
    ("shapes", "generation"),
    [
        (
            {
                "action_head.future_tokens.weight": (32, 1536),
                "action_head.vl_self_attention.transformer_blocks.0.attn1.to_q.bias": (2048,),
            },
            "N1.5",
        ),
        ({"action_head.future_tokens.weight": (32, 1536)}, "N1"),
        ({"backbone.eagle_model.mlp1.0.weight": (4608,)}, "N1.5"),
        ({"backbone.model.model.visual.blocks.0.attn.qkv.weight": (3, 1)}, "N1.7"),
        (
            {
                "action_head.vl_self_attention.transformer_blocks.0.attn1.to_q.weight": (1, 1),
                "action_head.state_encoder.layer1.W": (32, 132, 1024),
            },
            "N1.7",
        ),
    ],
)
def test_other_generations_are_known_by_their_weights(
    shapes: dict[str, tuple[int, ...]], generation: str
) -> None:
    with pytest.raises(CheckpointError, match=f"is a GR00T {generation} checkpoint"):
        require_n16_weights(shapes)
