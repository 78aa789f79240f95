"""What the network of GR00T N1.6 promises, on a small one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from small_groot import IMAGE, noise_for, small_config, small_inputs, small_model
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16 import BackboneFeatures, GrootConfig, GrootInputs, GrootN16
from robocache.policies.groot_n16.dit import CrossContext
from robocache.policies.groot_n16.vision import flatten_patches


@pytest.fixture(scope="module")
def model() -> GrootN16:
    return small_model()


@torch.no_grad()
def act(model: GrootN16, inputs: GrootInputs) -> Tensor:
    return model.sample(model.encode(inputs), inputs.state, inputs.embodiment_id, noise_for(inputs))


def row(inputs: GrootInputs, number: int) -> GrootInputs:
    """One sample of a batch with one image each."""
    assert inputs.action is not None and inputs.action_mask is not None
    part = slice(number, number + 1)
    return GrootInputs(
        inputs.input_ids[part],
        inputs.attention_mask[part],
        [inputs.pixel_values[number]],
        inputs.state[part],
        inputs.embodiment_id[part],
        inputs.action[part],
        inputs.action_mask[part],
    )


def test_no_fusion_and_one_that_does_nothing_give_the_same_bits(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    expected = act(model, inputs)
    seen: list[BackboneFeatures] = []

    def nothing(features: BackboneFeatures) -> BackboneFeatures:
        seen.append(features)
        return features

    fused = GrootN16(model.config, fusion=nothing).eval()
    fused.load_state_dict(model.state_dict())
    assert torch.equal(act(fused, inputs), expected)
    assert len(seen) == 1 and fused.state_dict().keys() == model.state_dict().keys()


def test_a_fusion_may_add_tokens(model: GrootN16) -> None:
    """They count as what they are declared: image, text, or padding."""
    inputs = small_inputs(model.config)
    with torch.no_grad():
        features = model.encode(inputs)
        found = []
        for real, image in ((False, False), (True, False), (True, True)):
            extra = torch.full((2, 1), real), torch.full((2, 1), image)
            longer = BackboneFeatures(
                torch.cat([features.features, torch.ones(2, 1, 32).cumsum(2)], dim=1),
                torch.cat([features.mask, extra[0]], dim=1),
                torch.cat([features.image_mask, extra[1]], dim=1),
            )
            noise = noise_for(inputs)
            found.append(model.sample(longer, inputs.state, inputs.embodiment_id, noise))
    torch.testing.assert_close(found[0], act(model, inputs))
    assert all(not torch.allclose(found[0], other, atol=1e-3) for other in found[1:])
    assert not torch.allclose(found[1], found[2], atol=1e-3)


def test_keys_and_values_kept_over_the_steps_change_nothing(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    ids, noise = inputs.embodiment_id, noise_for(inputs)
    with torch.no_grad():
        features = model.encode(inputs)
        kept = model.sample(model.context(features), inputs.state, ids, noise)
        x, head = noise, model.action_head
        for bucket in (0, 250, 500, 750):  # everything computed anew at each step
            state = head.encode_state(inputs.state, ids)
            context = head.context(features)
            x = x + head.velocity(x, torch.full((2,), bucket), state, context, ids) / 4
    assert torch.equal(kept, x)
    assert torch.equal(kept, act(model, inputs))


def test_the_context_has_what_each_block_sees(model: GrootN16) -> None:
    inputs = small_inputs(model.config, padding=3)
    context = model.context(model.encode(inputs))
    assert isinstance(context, CrossContext)
    text, images = context.masks[0], context.masks[2]
    assert text is not None and images is not None
    assert text[0, 0, 0].tolist() == 3 * [False] + 7 * [True] + 4 * [False]
    assert images[0, 0, 0].tolist() == 10 * [False] + 4 * [True]
    assert context.keys_values.keys() == {0, 2}


def test_padding_and_company_change_nothing(model: GrootN16) -> None:
    """A sample alone, in a batch, and with padding before it, whatever lies in the padding."""
    inputs = small_inputs(model.config, batch=3)
    expected = act(model, inputs)
    padded = small_inputs(model.config, batch=3, padding=5)
    padded.input_ids[:, :5] = 77
    noise = noise_for(inputs)
    for number in range(3):
        single = row(inputs, number)
        alone = model.sample(
            model.encode(single), single.state, single.embodiment_id, noise[number : number + 1]
        )
        torch.testing.assert_close(alone[0], expected[number], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(act(model, padded), expected, atol=1e-5, rtol=1e-4)


def test_features_of_padding_are_finite(model: GrootN16) -> None:
    features = model.encode(small_inputs(model.config, padding=5))
    assert not features.mask[:, :5].any()
    assert features.features.isfinite().all()


def test_without_images_the_image_blocks_see_nothing(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    text = replace(
        inputs,
        input_ids=inputs.input_ids[:, :7],
        attention_mask=inputs.attention_mask[:, :7],
        pixel_values=[],
    )
    assert act(model, text).isfinite().all()


def test_images_of_several_sizes_keep_their_order(model: GrootN16) -> None:
    backbone = model.backbone
    sides = (56, 84, 56, 112, 84)
    images = [torch.randn(3, side, side) for side in sides]
    with torch.no_grad():
        single = [backbone.image_tokens([image]) for image in images]
        together = backbone.image_tokens(images)
        batched = backbone.image_tokens([torch.stack([images[0], images[2]]), images[1]])
    assert [len(tokens) for tokens in single if tokens is not None] == [4, 9, 4, 16, 9]
    assert together is not None and batched is not None
    torch.testing.assert_close(together, torch.cat([t for t in single if t is not None]))
    torch.testing.assert_close(batched[:8], together[[*range(4), *range(13, 17)]])


def test_an_image_that_is_not_square(model: GrootN16) -> None:
    """Rows and columns of patches are not mixed up: patches of one colour stay where they are."""
    image = torch.zeros(1, 3, 28, 84)
    image[..., 56:] = 1
    changed = image.clone()
    changed[..., 60:70] = -1
    tower = model.backbone.model.vision_model
    positions = tower.positions((2, 6))
    assert positions.shape == (12, 32)
    patches = tower.vision_model.embeddings.patch_embedding
    one, other = (patches(flatten_patches(i, 14)) for i in (image, changed))
    differs = (one != other).any(dim=2)[0]
    assert differs.tolist() == [False] * 4 + [True] + [False] * 5 + [True] + [False]
    tokens = model.backbone.image_tokens([image])
    assert tokens is not None and len(tokens) == 3


def test_each_sample_uses_the_weights_of_its_embodiment(model: GrootN16) -> None:
    inputs = small_inputs(model.config, batch=2)
    same = replace(inputs, embodiment_id=torch.tensor([0, 0]))
    mixed, alike = act(model, inputs), act(model, same)
    torch.testing.assert_close(mixed[0], alike[0])
    assert not torch.allclose(mixed[1], alike[1], atol=1e-3)


def test_the_loss_follows_from_its_generator(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    one, same, other = (model.loss(inputs, Draws.seeded(seed)).loss for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    features = model.backbone(inputs.input_ids, inputs.attention_mask, inputs.pixel_values)
    known = model.loss(inputs, Draws.seeded(3), features=features)
    assert torch.equal(known.loss, one)


def test_only_what_the_mask_holds_counts(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    assert inputs.action_mask is not None
    flow = model.loss(inputs, Draws.seeded(3))
    assert not flow.elements[inputs.action_mask == 0].any()
    expected = flow.elements.sum() / inputs.action_mask.sum()
    torch.testing.assert_close(flow.loss, expected)


def test_dropout_acts_in_training_only(model: GrootN16) -> None:
    inputs = small_inputs(model.config)

    def losses(net: GrootN16) -> list[Tensor]:
        return [net.loss(inputs, Draws.seeded(3)).loss for _ in range(2)]

    one, two = losses(model)
    assert torch.equal(one, two)
    one, two = losses(model.train())
    model.eval()
    assert not torch.equal(one, two)


def test_dropped_states_are_the_learned_token() -> None:
    inputs = small_inputs(small_config())
    other = replace(inputs, state=inputs.state + 1)
    always, never = small_model(state_dropout_prob=1.0), small_model(state_dropout_prob=0.0)

    def loss(net: GrootN16, given: GrootInputs, state_dropout: bool = True) -> Tensor:
        random = Draws.seeded(3)
        return net.loss(given, random, state_dropout=state_dropout).loss

    assert torch.equal(loss(always, inputs), loss(always, other))
    assert not torch.equal(loss(always, inputs, False), loss(always, other, False))
    assert not torch.equal(loss(never, inputs), loss(never, other))


def test_noise_on_states_is_for_training() -> None:
    noisy = small_model(
        state_additive_noise_scale=1.0,
        diffusion_model_cfg=replace(small_config().diffusion_model_cfg, dropout=0.0),
    )
    inputs = small_inputs(noisy.config)
    quiet = noisy.loss(inputs, Draws.seeded(3)).loss
    loud = noisy.train().loss(inputs, Draws.seeded(3)).loss
    assert not torch.equal(quiet, loud)


def test_without_alternation_padding_is_seen() -> None:
    """As in the public code; therefore not what anyone should train."""
    plain = small_model(use_alternate_vl_dit=False)
    context = plain.context(plain.encode(small_inputs(plain.config)))
    assert set(context.masks.values()) == {None}
    assert act(plain, small_inputs(plain.config)).isfinite().all()


def test_parts_that_a_configuration_leaves_out() -> None:
    bare = small_model(use_vlln=False, add_pos_embed=False)
    gone = small_model().state_dict().keys() - bare.state_dict().keys()
    assert gone == {
        "action_head.vlln.weight",
        "action_head.vlln.bias",
        "action_head.position_embedding.weight",
    }
    assert act(bare, small_inputs(bare.config)).isfinite().all()


def test_bfloat16_leaves_the_rotary_frequencies_whole(model: GrootN16) -> None:
    half = GrootN16(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16)
    assert not list(half.buffers())
    rotary = half.backbone.model.language_model.model.rotary_emb
    positions = torch.arange(300)[None]
    cosine, _ = rotary(torch.zeros(1), positions)
    expected = torch.cos(torch.arange(300) * 1e6 ** (-2 / 8))
    torch.testing.assert_close(cosine[0, :, 1], expected, atol=1e-4, rtol=0)
    inputs = small_inputs(half.config).to(dtype=torch.bfloat16)
    assert inputs.input_ids.dtype == torch.int64
    rough = act(half.eval(), replace(inputs, action=small_inputs(half.config).action))
    fine = act(model, small_inputs(model.config))
    assert (rough.float() - fine).abs().max() < 0.1 * fine.abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_values": [torch.zeros(3, 60, 56)] * 2}, "60 x 56 pixels; both must be multiples"),
        ({"pixel_values": [torch.zeros(1, 56, 56)] * 2}, r"pixel_values\[0\] must be \(3, H, W\)"),
        ({"pixel_values": [torch.zeros(3, 56, 56)]}, "the images give 4 tokens, but .* 8 places"),
        ({"state": torch.zeros(2, 16)}, r"state must be \(2, T, 16\), got \(2, 16\)"),
        ({"state": torch.zeros(2, 1, 15)}, r"state must be \(2, T, 16\)"),
        ({"embodiment_id": torch.tensor([0, 4])}, r"embodiment_id must lie in 0\.\.3, got 0\.\.4"),
        ({"embodiment_id": torch.tensor([-1, 0])}, "embodiment_id must lie in"),
        ({"embodiment_id": torch.tensor([0])}, r"embodiment_id must be \(2,\)"),
        ({"input_ids": torch.full((2, 11), 100)}, r"input_ids must lie in 0\.\.99"),
        ({"attention_mask": torch.ones(2, 5)}, "must both be"),
        ({"action": torch.zeros(2, 6, 15)}, r"action must be \(2, H, 16\)"),
    ],
)
def test_inputs_that_do_not_fit(model: GrootN16, change: dict[str, Tensor], message: str) -> None:
    inputs = replace(small_inputs(model.config), **change)
    with pytest.raises(ShapeError, match=message):
        model.encode(inputs)


def test_calls_that_do_not_fit(model: GrootN16) -> None:
    inputs = small_inputs(model.config)
    features = model.encode(inputs)
    with pytest.raises(ShapeError, match="needs action"):
        model.loss(replace(inputs, action=None), Draws.seeded(0))
    with pytest.raises(ShapeError, match=r"noise must be \(2, 6, 16\), got \(2, 5, 16\)"):
        model.sample(features, inputs.state, inputs.embodiment_id, noise_for(inputs)[:, :5])
    with pytest.raises(ConfigError, match="at least one step"):
        model.sample(features, inputs.state, inputs.embodiment_id, noise_for(inputs), steps=0)


def test_sizes_that_do_not_fit_each_other() -> None:
    with pytest.raises(ConfigError, match="language model is 32 wide"):
        GrootN16(small_config(backbone_embedding_dim=64))
    with pytest.raises(ConfigError, match=r"select_layer=9 must lie in 1\.\.4"):
        GrootN16(small_config(select_layer=9))


def test_the_default_is_the_released_size() -> None:
    with torch.device("meta"):
        model = GrootN16(GrootConfig())
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e9, 3) == 2.976
    assert sum(p.numel() for p in model.action_head.model.parameters()) == 1_091_722_240
    assert small_config().text_config.vocab_size > IMAGE


def test_importing_it_is_light() -> None:
    """transformers takes seconds; what only names the package does not wait for it."""
    names = ("loading", "saving", "lora", "tune", "oracle")
    imports = ", ".join(f"robocache.policies.groot_n16.{name}" for name in names)
    code = f"import sys, {imports}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"transformers", "peft", "huggingface_hub"} & set(done.stdout.split())
