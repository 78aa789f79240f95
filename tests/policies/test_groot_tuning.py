"""What trains of a GR00T N1.6: flags, gradient checkpointing, LoRA."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_groot import noise_for, small_config, small_inputs, small_model
from torch import Tensor, nn

from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16 import GrootInputs, GrootN16
from robocache.policies.groot_n16.lora import (
    LoraSettings,
    adapter_state,
    add_lora,
    load_adapter,
    load_adapter_state,
    merge_lora,
    save_adapter,
)
from robocache.policies.groot_n16.tune import set_gradient_checkpointing, set_trainable

NOTHING = {
    "tune_llm": False,
    "tune_visual": False,
    "tune_top_llm_layers": 0,
    "tune_projector": False,
    "tune_diffusion_model": False,
    "tune_vlln": False,
}
ALL_PLACES = ("language", "vision", "diffusion")


def trained(model: GrootN16) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def backward(model: GrootN16, inputs: GrootInputs) -> Tensor:
    torch.manual_seed(5)  # dropout
    loss = model.loss(inputs, Draws.seeded(3)).loss
    loss.backward()
    return loss.detach()


@torch.no_grad()
def act(model: GrootN16, inputs: GrootInputs) -> Tensor:
    return model.sample(model.encode(inputs), inputs.state, inputs.embodiment_id, noise_for(inputs))


@pytest.mark.parametrize(
    ("flags", "prefixes"),
    [
        ({}, ()),
        (
            {"tune_visual": True},
            (
                "backbone.model.vision_model.vision_model.embeddings.",
                "backbone.model.vision_model.vision_model.encoder.",
                "backbone.model.vision_model.vision_model.post_layernorm.",
                "backbone.model.mlp1.",
            ),
        ),
        ({"tune_llm": True}, ("backbone.model.language_model.",)),
        (
            {"tune_top_llm_layers": 2},
            tuple(f"backbone.model.language_model.model.layers.{n}." for n in (1, 2)),
        ),
        (
            {"tune_projector": True},
            tuple(
                f"action_head.{name}"
                for name in (
                    "state_encoder.",
                    "action_encoder.",
                    "action_decoder.",
                    "position_embedding.",
                    "mask_token",
                )
            ),
        ),
        ({"tune_diffusion_model": True}, ("action_head.model.",)),
        ({"tune_vlln": True}, ("action_head.vlln.",)),
    ],
)
def test_a_flag_trains_its_part_and_nothing_else(
    flags: dict[str, Any], prefixes: tuple[str, ...]
) -> None:
    config = small_config(state_dropout_prob=0.5)
    with torch.device("meta"):
        model = GrootN16(config)
    set_trainable(model, replace(config, **{**NOTHING, **flags}))
    names = {name for name, _ in model.named_parameters()}
    assert trained(model) == {name for name in names if name.startswith(prefixes) and prefixes}
    assert model.config == replace(config, **{**NOTHING, **flags})
    model.train()
    for part in (model.backbone.model.vision_model, *model.action_head.children()):
        assert part.training == any(p.requires_grad for p in part.parameters())


def test_gradients_reach_exactly_what_trains() -> None:
    model = small_model(tune_top_llm_layers=1)
    set_trainable(model)
    backward(model.train(), small_inputs(model.config))
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == trained(model)


def test_a_frozen_dit_has_no_dropout() -> None:
    model = small_model(**{**NOTHING, "tune_projector": True})
    set_trainable(model)
    inputs = small_inputs(model.config)
    quiet = backward(model, inputs)
    model.train()
    assert all(torch.equal(backward(model, inputs), quiet) for _ in range(2))


def test_more_layers_than_there_are() -> None:
    model = small_model()
    with pytest.raises(ConfigError, match=r"tune_top_llm_layers must lie in 0\.\.3, got 4"):
        set_trainable(model, small_config(tune_top_llm_layers=4))


@pytest.mark.parametrize("frozen", [False, True], ids=["all trains", "only vision trains"])
def test_gradient_checkpointing_gives_the_same_gradients(frozen: bool) -> None:
    flags = {**NOTHING, "tune_visual": True} if frozen else {"tune_visual": True, "tune_llm": True}
    grads, calls = [], []
    for enabled in (False, True):
        model = small_model(**flags)
        set_trainable(model)
        set_gradient_checkpointing(model, enabled)
        count: Counter[str] = Counter()
        eagle = model.backbone.model
        watched: dict[str, nn.Module] = {
            "vision": eagle.vision_model.vision_model.encoder.layers[0].mlp,
            "language": eagle.language_model.model.layers[0].mlp,
            "diffusion": model.action_head.model.transformer_blocks[0],
        }
        for name, module in watched.items():
            module.register_forward_pre_hook(lambda *_, name=name, c=count: c.update([name]))
        loss = backward(model.train(), small_inputs(model.config))
        found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        grads.append({"loss": loss, **found})
        calls.append(count)
    assert calls == [dict.fromkeys(watched, 1), dict.fromkeys(watched, 2)]
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-6, atol=1e-7, msg=name)


def test_gradient_checkpointing_lets_no_gradient_into_what_is_frozen() -> None:
    """Else all that frozen layers compute is kept, and more memory is needed than without."""
    model = small_model(tune_top_llm_layers=1)
    set_trainable(model)
    set_gradient_checkpointing(model, True)
    seen: list[bool] = []
    frozen = model.train().backbone.model.language_model.model.layers[0]
    frozen.register_forward_hook(lambda *given: seen.append(given[2].requires_grad))
    model.loss(small_inputs(model.config), Draws.seeded(0))
    assert seen == [False]


def test_gradient_checkpointing_can_be_switched_off() -> None:
    model = small_model()
    set_gradient_checkpointing(model, True)
    set_gradient_checkpointing(model, False)
    layers = model.backbone.model.language_model.model.layers
    assert not any(layer.gradient_checkpointing for layer in layers)
    assert not model.action_head.model.gradient_checkpointing


def with_adapters(seed: int = 0, **settings: Any) -> GrootN16:
    model = small_model()
    torch.manual_seed(seed)
    add_lora(model, LoraSettings(rank=3, alpha=6, **{"targets": ALL_PLACES, **settings}))
    return model


def disturb(model: GrootN16) -> None:
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=0.1)


def test_fresh_adapters_change_nothing() -> None:
    plain = small_model()
    inputs = small_inputs(plain.config)
    assert torch.equal(act(with_adapters(), inputs), act(plain, inputs))


@pytest.mark.parametrize(
    ("targets", "count"), [(("language",), 3 * 7), (("vision",), 2 * 6), (("diffusion",), 4 * 6)]
)
def test_each_linear_layer_of_a_target_gets_an_adapter(
    targets: tuple[str, ...], count: int
) -> None:
    assert len(trained(with_adapters(targets=targets))) == 2 * count


def test_only_adapters_change() -> None:
    model = with_adapters(dropout=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.train()
    for _ in range(2):  # the first step moves B, which starts at zero, the second A too
        optimizer.zero_grad()
        backward(model, small_inputs(model.config))
        optimizer.step()
    changed = {name for name, v in model.state_dict().items() if not torch.equal(v, before[name])}
    adapters = {name for name in before if ".lora_" in name}
    assert changed == adapters == trained(model)


def test_whole_parts_beside_the_adapters() -> None:
    model = with_adapters(whole=("projector", "vlln"))
    others = {name for name in trained(model) if ".lora_" not in name}
    assert {name.split(".")[1] for name in others} == {
        "state_encoder",
        "action_encoder",
        "action_decoder",
        "position_embedding",
        "vlln",
    }
    assert set(adapter_state(model)) >= others


def test_merged_weights_give_what_the_adapters_gave() -> None:
    model = with_adapters()
    inputs = small_inputs(model.config)
    disturb(model)
    expected = act(model, inputs)
    merge_lora(model)
    assert model.state_dict().keys() == small_model().state_dict().keys()
    torch.testing.assert_close(act(model, inputs), expected, atol=2e-6, rtol=1e-5)
    assert not torch.allclose(act(small_model(), inputs), expected, atol=1e-2)
    add_lora(model, LoraSettings(rank=2))  # once more is possible


def test_adapters_alone_are_saved_and_loaded(tmp_path: Path) -> None:
    settings = LoraSettings(rank=3, alpha=6, targets=ALL_PLACES, whole=("vlln",))
    model = small_model()
    add_lora(model, settings)
    disturb(model)
    with torch.no_grad():
        model.action_head.vlln.bias.add_(1)
    save_adapter(model, tmp_path / "adapter", settings)
    size = sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir())
    assert size < 0.5 * sum(tensor.nbytes for tensor in small_model().state_dict().values())
    again = small_model()
    assert load_adapter(again, tmp_path / "adapter") == settings
    inputs = small_inputs(model.config)
    assert torch.equal(act(again, inputs), act(model, inputs))
    (tmp_path / "adapter" / "adapter.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds no adapter"):
        load_adapter(small_model(), tmp_path / "adapter")


def test_adapters_of_another_rank_do_not_fit() -> None:
    state = adapter_state(with_adapters())
    other = small_model()
    add_lora(other, LoraSettings(rank=2, targets=("diffusion",)))
    with pytest.raises(CheckpointError, match="the adapter does not fit the model"):
        load_adapter_state(other, state)


def test_adapters_on_bfloat16_weights_are_float32() -> None:
    model = small_model().to(torch.bfloat16)
    add_lora(model, LoraSettings(rank=3, targets=ALL_PLACES))
    dtypes = {parameter.dtype for name, parameter in model.named_parameters() if "lora_" in name}
    assert dtypes == {torch.float32}
    inputs = small_inputs(model.config).to(dtype=torch.bfloat16)
    assert backward(model.train(), inputs).isfinite()


def test_adapters_have_no_place_in_the_public_format(tmp_path: Path) -> None:
    model = with_adapters()
    with pytest.raises(ConfigError, match="merge_lora first"):
        model.save_pretrained(tmp_path / "a")
    with pytest.raises(ConfigError, match="has LoRA adapters already"):
        add_lora(model, LoraSettings())
    merge_lora(model)
    model.save_pretrained(tmp_path / "a")
    with pytest.raises(ConfigError, match="no LoRA adapters to merge"):
        merge_lora(model)


def test_an_adapter_that_is_not_finite_is_not_merged() -> None:
    model = with_adapters()
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if ".lora_B." in n).fill_(float("nan"))
        next(p for n, p in model.named_parameters() if ".lora_A." in n).fill_(1.0)
    with pytest.raises(CheckpointError, match="cannot be merged"):
        merge_lora(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank of at least 1"),
        ({"dropout": 1.0}, "dropout in"),
        ({"targets": ("dit",)}, r"targets of LoRA may be \['diffusion', 'language', 'vision'\]"),
        ({"targets": ()}, "needs targets"),
        ({"whole": ("llm",)}, "whole of LoRA may be"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoraSettings(**settings)
