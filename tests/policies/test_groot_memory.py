"""The memory budget: its formulas against tensors that are really kept for the backward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_groot import small_inputs

from robocache.core.errors import ConfigError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16 import GrootConfig, GrootInputs, GrootN16
from robocache.policies.groot_n16.activations import Arithmetic
from robocache.policies.groot_n16.beginning import config_changes, make_trainable
from robocache.policies.groot_n16.layer_costs import LayerCost, Pass, layer_costs, sequence_length
from robocache.policies.groot_n16.lora import LoraSettings
from robocache.policies.groot_n16.memory import budget_of, training_budget, worst_moment
from robocache.policies.groot_n16.settings import EmbodimentSettings, GrootSettings
from robocache.policies.groot_n16.sizes import DiffusionConfig, TextConfig, VisionConfig

pytest.importorskip("transformers", reason="transformers is not installed")

DIT = 1_091_722_240  # as published
# Weights and biases of state encoder, action encoder and decoder, in 32 rows.
EMBODIMENT = 32 * (
    (128 + 1 + 1024 + 1) * 1024
    + (1024 + 1 + 128 + 1 + 3072 + 1 + 1536 + 1) * 1536
    + (1024 + 1) * 128
)
# q and o, k and v, gated feed-forward layer, norms of 2048 and of heads of 128.
LANGUAGE_LAYER = 2 * 2048**2 + 2 * 2048 * 1024 + 3 * 2048 * 6144 + 2 * 2048 + 2 * 128
LORA = {"lora": LoraSettings(rank=4)}
WITH_HEAD = LoraSettings(rank=4, whole=("projector", "vlln"))
EVERYWHERE = LoraSettings(rank=4, targets=("vision", "language", "diffusion"))
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "head, float32": ({"dtype": "float32", "tune_top_llm_layers": 0}, False),
    "default, float32": ({"dtype": "float32", "tune_top_llm_layers": 1}, False),
    "default": ({"tune_top_llm_layers": 1}, True),
    "everything, float32": ({"dtype": "float32", "tune_visual": True, "tune_llm": True}, False),
    "everything": ({"tune_visual": True, "tune_llm": True}, True),
    "vision": ({"tune_visual": True, "tune_top_llm_layers": 0}, True),
    "LoRA, float32": ({"dtype": "float32", **LORA}, False),
    "LoRA": (LORA, True),
    "LoRA and head": ({"lora": WITH_HEAD}, True),
    "LoRA everywhere": ({"lora": EVERYWHERE}, True),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("medium", [False, True], ids=["tiny", "medium"])
def test_kept_bytes_are_those_of_the_formulas(name: str, medium: bool) -> None:
    """Within 2 % for widths of 32, where what is left out weighs most; 1 % for wider ones."""
    changes, autocast = CASES[name]
    config = medium_config() if medium else tiny_config()
    model = trainable(config, given(**{"tune_top_llm_layers": 1, **changes}))
    through = passing(Arithmetic(autocast, cuda=False), side=112 if medium else 56)
    real = kept_bytes(model, inputs(config, through), autocast=autocast)
    costs = layer_costs(model, through)
    formula = sum(cost.kept + cost.copies for cost in costs)
    assert formula == pytest.approx(real, rel=0.01 if medium else 0.02)


@pytest.mark.parametrize("name", ["default", "LoRA"])
def test_what_is_computed_again_is_not_kept(name: str) -> None:
    changes, _ = CASES[name]
    settings = given(**{"tune_top_llm_layers": 1, **changes}, gradient_checkpointing=True)
    model = trainable(medium_config(), settings)
    through = passing(Arithmetic(autocast=True, cuda=False), side=112)
    real = kept_bytes(model, inputs(medium_config(), through), autocast=True)
    costs = layer_costs(model, through)
    again = sum(cost.inputs for cost in costs if cost.inputs is not None)
    others = sum(cost.kept + cost.copies for cost in costs if cost.inputs is None)
    # Keys and values of 4 blocks are handed over in a tuple, which the hooks do not see.
    real += 4 * 2 * 2 * 192 * through.batch * sequence_length(model, through)
    assert again + others == pytest.approx(real, rel=0.01)


@pytest.mark.parametrize("name", CASES)
def test_every_gradient_belongs_to_a_layer(name: str) -> None:
    settings = given(**{"tune_top_llm_layers": 1, **CASES[name][0]}, state_dropout=0.0)
    model = trainable(tiny_config(), settings)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    costs = layer_costs(model, passing(Arithmetic(), side=56))
    assert sum(cost.gradient for cost in costs) == trained


def test_the_worst_moment_by_hand() -> None:
    first = LayerCost("a", kept=10, inputs=2, copies=1, gradient=4)
    second = LayerCost("b", kept=6, inputs=None, copies=1, gradient=30, working=5)
    # Forward: 10 + 6 + 2. Second layer: all of it, its gradient and what it works with.
    assert worst_moment([first, second], again=False) == 18 + 30 + 5
    # Forward: 2 + 6 + 2. Second: 2 + 6 + 1 + 35. First, again: 2 + 11 and both gradients.
    assert worst_moment([first, second], again=True) == max(10, 44, 2 + 11 + 34)


def test_the_released_size() -> None:
    """By hand: 1.62 billion train, 16 bytes each with an average; the rest is bfloat16."""
    full = training_budget(GrootConfig(), given(), Pass(views=2), averaged=True)
    assert full.parameters == 2_975_968_192
    assert full.training == DIT + EMBODIMENT + 1024 * 1536 + 2 * 2048 + 4 * LANGUAGE_LAYER
    assert full.trained == 4 * full.training and full.frozen == 2 * (
        full.parameters - full.training
    )
    assert full.optimizer == 8 * full.training and full.average == full.trained
    assert full.fits(40) and not full.fits(24)
    eight = Pass(batch=8, views=2)
    settings = given(lora=LoraSettings(), gradient_checkpointing=True)
    lora = training_budget(GrootConfig(), settings, eight, averaged=True)
    assert lora.fits(24) and lora.total < full.total / 3


def test_more_samples_need_more_and_checkpointing_less() -> None:
    def passing_bytes(batch: int, again: bool) -> int:
        settings = given(**LORA, gradient_checkpointing=again)
        through = Pass(batch=batch, views=2)
        return training_budget(GrootConfig(), settings, through, averaged=False).passing

    assert passing_bytes(8, False) > 4 * passing_bytes(8, True)
    assert passing_bytes(32, True) > 3 * passing_bytes(8, True)


def test_what_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match="batch must be at least 1"):
        Pass(batch=0)
    with pytest.raises(ConfigError, match="multiple of 28"):
        Pass(image_side=250)


@pytest.mark.gpu
@pytest.mark.parametrize("again", [False, True], ids=["kept", "again"])
@pytest.mark.parametrize("name", ["default", "LoRA"])
def test_the_card_has_what_the_budget_says(name: str, again: bool) -> None:
    changes, _ = CASES[name]
    config = medium_config(4)
    settings = given(**{"tune_top_llm_layers": 1, **changes}, gradient_checkpointing=again)
    through = replace(passing(Arithmetic(), side=252), batch=16)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    model = trainable(config, settings).cuda()
    batch = inputs(config, through).to("cuda")
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, fused=True)
    average = [p.detach().clone() for p in weights]
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = model.loss(batch, Draws.seeded(0)).loss
        loss.backward()
        optimizer.step()
    peak = torch.cuda.max_memory_allocated() - before
    budget = budget_of(model, through, averaged=bool(average), again=again)
    assert peak == pytest.approx(budget.tensors, rel=0.15)


def given(**changes: Any) -> GrootSettings:
    robot = EmbodimentSettings(video={}, state={}, action={})
    return GrootSettings(base="none", embodiments={"new_embodiment": robot}, **changes)


def tiny_config() -> GrootConfig:
    config = GrootConfig.tiny(max_num_embodiments=4)
    text = replace(config.text_config, vocab_size=100, image_token_id=90)
    return replace(config, text_config=text)


def medium_config(factor: int = 1) -> GrootConfig:
    """Shapes as of the released model, at an eighth of its widths, or `factor` times that."""
    return GrootConfig(
        backbone_embedding_dim=256 * factor,
        select_layer=4,
        tune_top_llm_layers=1,
        max_state_dim=32,
        max_action_dim=32,
        action_horizon=50,
        hidden_size=192 * factor,
        input_embedding_dim=192 * factor,
        max_seq_len=64,
        max_num_embodiments=4,
        diffusion_model_cfg=DiffusionConfig(
            num_layers=8,
            num_attention_heads=8,
            attention_head_dim=24 * factor,
            output_dim=192 * factor,
        ),
        vision_config=VisionConfig(
            hidden_size=144 * factor,
            intermediate_size=538 * factor,
            num_hidden_layers=3,
            num_attention_heads=4,
        ),
        text_config=TextConfig(
            hidden_size=256 * factor,
            intermediate_size=768 * factor,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=32 * factor,
            vocab_size=100,
            image_token_id=90,
        ),
    )


def trainable(config: GrootConfig, settings: GrootSettings) -> GrootN16:
    torch.manual_seed(0)
    model = GrootN16(replace(config, **config_changes(settings)))
    model.to(getattr(torch, settings.dtype))
    make_trainable(model, settings)
    return model.train()


def passing(arithmetic: Arithmetic, side: int) -> Pass:
    return Pass(batch=3, views=2, text_tokens=7, image_side=side, arithmetic=arithmetic)


def inputs(config: GrootConfig, through: Pass) -> GrootInputs:
    """A batch with two pictures for each sample."""
    one = small_inputs(config, batch=through.batch, side=through.image_side)
    tokens = (through.image_side // 28) ** 2
    ids = torch.cat([one.input_ids, torch.full((through.batch, tokens), 90)], dim=1)
    pictures = [picture for picture in one.pixel_values for _ in range(through.views)]
    return replace(one, input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pictures)


def kept_bytes(model: GrootN16, batch: GrootInputs, *, autocast: bool) -> int:
    """Bytes of all memory that the backward pass of a loss needs, beside the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        model.loss(batch, Draws.seeded(0))
    return sum(sizes.values())
