"""The layers of a GR00T N1.6 in the order they are computed, and what each costs in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torch import nn

from robocache.core.errors import ConfigError
from robocache.policies.groot_n16 import activations as formulas
from robocache.policies.groot_n16.activations import FLOAT, Arithmetic, Learning
from robocache.policies.groot_n16.dit import Block
from robocache.policies.groot_n16.embodiment import EmbodimentLinear
from robocache.policies.groot_n16.model import GrootN16


@dataclass(frozen=True)
class Pass:
    """What goes through the network at once, and how it is computed.

    Attributes:
        batch: samples.
        views: pictures of a sample, all steps together.
        text_tokens: tokens of a prompt that are no picture: 37 for two views and a short sentence.
        image_side: pixels of a side, as the processor gives them.
        state_steps: states of a sample.
        arithmetic: which numbers are computed with.
    """

    batch: int = 1
    views: int = 1
    text_tokens: int = 37
    image_side: int = 252
    state_steps: int = 1
    arithmetic: Arithmetic = field(default_factory=Arithmetic)

    def __post_init__(self) -> None:
        for name in ("batch", "views", "state_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.text_tokens < 1 or self.image_side < 1 or self.image_side % 28:
            raise ConfigError("text_tokens must be at least 1, image_side a multiple of 28")


@dataclass(frozen=True)
class LayerCost:
    """Bytes of one layer.

    Attributes:
        part: it belongs to.
        kept: for the backward pass.
        inputs: what is kept instead where it is computed again; None: it never is.
        copies: bfloat16 copies of its float32 matrices, which autocast makes.
        gradient: of its weights.
        working: that the backward pass takes beside that.
    """

    part: str
    kept: int
    inputs: int | None = None
    copies: int = 0
    gradient: int = 0
    working: int = 0


def layer_costs(model: GrootN16, through: Pass) -> list[LayerCost]:
    """Costs of every layer, in the order of the forward pass.

    Args:
        model: on any device; what trains in it is chosen, adapters are in.
        through: what goes through it.
    """
    return [*_vision(model, through), *_language(model, through), *_head(model, through)]


def _vision(model: GrootN16, through: Pass) -> Iterator[LayerCost]:
    a, config = through.arithmetic, model.config.vision_config
    tower = model.backbone.model.vision_model.vision_model
    patches = through.batch * through.views * (through.image_side // config.patch_size) ** 2
    width, stream = config.hidden_size, tower.embeddings.patch_embedding.weight.dtype.itemsize
    learning = _learning(tower.embeddings, False)
    given = 3 * config.patch_size**2 * learning.fed(a, 1, FLOAT)
    yield LayerCost("vision", patches * given, gradient=_gradient(tower.embeddings))
    reached = bool(learning)
    for layer in tower.encoder.layers:
        learning = _learning(layer, reached)
        sizes = {"D": width, "F": config.intermediate_size, "h": config.num_attention_heads}
        kept = patches * formulas.vision_layer(a, learning, s=stream, **sizes)
        yield _cost("vision", layer, through, kept, patches * width * stream)
        reached = bool(learning)
    after, mlp1 = tower.post_layernorm, model.backbone.model.mlp1
    learning = _learning(after, reached)
    n = a.normed(stream)
    yield _cost("vision", after, through, patches * (width * n + 2 * FLOAT) * bool(learning))
    learning = _learning(mlp1, bool(learning))
    out = model.config.text_config.hidden_size
    norm = 4 * width * (n + learning.fed(a, 1, n)) + 2 * FLOAT
    kept = patches // 4 * (norm + out * (a.c + learning.own(a))) * bool(learning)
    yield _cost("projector of images", mlp1, through, kept)


def _language(model: GrootN16, through: Pass) -> Iterator[LayerCost]:
    a, config = through.arithmetic, model.config.text_config
    network = model.backbone.model.language_model.model
    length = sequence_length(model, through)
    tokens, stream = through.batch * length, network.embed_tokens.weight.dtype.itemsize
    pictures = model.backbone.model.mlp1
    reached = any(_trains(part) for part in (model.backbone.model.vision_model, pictures))
    reached = reached or _trains(network.embed_tokens)
    yield _cost("language", network.embed_tokens, through, 0)
    begun = False
    for layer in network.layers:
        learning = _learning(layer, reached)
        kept = tokens * formulas.language_layer(
            a,
            learning,
            s=stream,
            D=config.hidden_size,
            F=config.intermediate_size,
            Q=config.num_attention_heads * config.head_dim,
            K=config.num_key_value_heads * config.head_dim,
            h=config.num_attention_heads,
            kv=config.num_key_value_heads,
        )
        mask = through.batch * length**2 * a.c * bool(learning)
        rotary = 0 if begun else length * 2 * config.head_dim * stream * bool(learning)
        begun = begun or bool(learning)
        inputs = tokens * config.hidden_size * stream
        yield _cost("language", layer, through, kept + mask + rotary, inputs)
        reached = bool(learning)
    learning = _learning(network.norm, reached)
    norm = config.hidden_size * (FLOAT * learning.reached + stream * learning.trains) + FLOAT
    yield _cost("language", network.norm, through, tokens * norm * bool(learning))


def _head(model: GrootN16, through: Pass) -> Iterator[LayerCost]:
    a, config, head = through.arithmetic, model.config, model.action_head
    dit, sizes = head.model, config.diffusion_model_cfg
    width, features = sizes.width, config.backbone_embedding_dim
    seen = through.batch * sequence_length(model, through)
    acted = through.batch * (through.state_steps + config.action_horizon)
    stream = dit.proj_out_2.weight.dtype.itemsize
    reached = _trains(model.backbone)
    learning = _learning(head.vlln, reached)
    normed = a.normed(next(head.vlln.parameters(), dit.proj_out_2.weight).dtype.itemsize)
    norm = (normed * features + 2 * FLOAT) * (config.use_vlln and bool(learning))
    yield _cost("DiT", head.vlln, through, seen * norm)
    reached = bool(learning)
    blocks = [block for block in dit.transformer_blocks if isinstance(block, Block)]
    crosses = [block for block, cross in zip(blocks, dit.cross, strict=True) if cross]
    shared = not a.autocast
    for block in crosses:
        learning = _learning(block.attn1.to_k, reached)
        kept = seen * formulas.keys_values(a, learning, D=width, E=features)
        kept += seen * features * learning.fed(a, 1, FLOAT) if shared else 0
        shared = False
        copies = _copies(through, block.attn1.to_k, block.attn1.to_v) * bool(learning)
        yield LayerCost("keys and values", kept, None, copies)
    yield from _embodiment(model, through)
    around = (dit.timestep_encoder, dit.proj_out_1, dit.proj_out_2)
    time = dit.timestep_encoder.timestep_embedder.linear_2
    copies = _copies(through, time, dit.proj_out_1, dit.proj_out_2) * _trains(dit.proj_out_1)
    yield LayerCost("DiT", 0, None, copies, sum(map(_gradient, around)))
    entering = any(_trains(part) for part in (head.state_encoder, head.action_encoder))
    entering = entering or _trains(dit.timestep_encoder)
    dropouts = (7 if sizes.final_dropout else 5) if sizes.dropout and _trains(dit) else 0
    into = entering
    for block, cross in zip(blocks, dit.cross, strict=True):
        learning = _learning(block, into or (cross and reached))
        once = through.batch * formulas.dit_block_once(a, learning, D=width)
        each = formulas.dit_block(
            a,
            learning,
            s=stream,
            D=width,
            h=sizes.num_attention_heads,
            cross=cross,
            dropouts=dropouts,
        )
        cost = _cost("DiT", block, through, acted * each + once, acted * width * stream)
        outside = _copies(through, block.attn1.to_k, block.attn1.to_v) if cross and cost.kept else 0
        yield replace(cost, copies=cost.copies - outside)
        into = bool(learning)
    yield _leaving(model, through, into)


def _embodiment(model: GrootN16, through: Pass) -> Iterator[LayerCost]:
    """State and action encoder: each sample gathers the weights of its embodiment."""
    a, config, head = through.arithmetic, model.config, model.action_head
    alone = [p for p in head.parameters(recurse=False) if p.requires_grad]
    if config.add_pos_embed:
        alone += [p for p in head.position_embedding.parameters() if p.requires_grad]
    yield LayerCost("embodiment", 0, gradient=sum(p.numel() * FLOAT for p in alone))
    states, actions = through.batch * through.state_steps, through.batch * config.action_horizon
    width, hidden = config.input_embedding_dim, config.hidden_size
    if _trains(head.state_encoder):
        kept = states * (a.c * (config.max_state_dim + hidden) + FLOAT * hidden)
        yield _gathering(head.state_encoder, through, kept, first=1)
    if _trains(head.action_encoder):
        kept = actions * (a.c * (config.max_action_dim + 3 * width) + FLOAT * width)
        yield _gathering(head.action_encoder, through, kept, first=1)


def _leaving(model: GrootN16, through: Pass, reached: bool) -> LayerCost:
    """Output of the DiT, action decoder, loss."""
    a, config, head = through.arithmetic, model.config, model.action_head
    width, hidden = config.input_embedding_dim, config.hidden_size
    learning = _learning(head.model.proj_out_2, reached)
    n = a.normed(head.model.proj_out_2.weight.dtype.itemsize)
    tokens = through.batch * (through.state_steps + config.action_horizon)
    kept = tokens * (width * (n + n * learning.trains + learning.fed(a, 1, n)) + 2 * FLOAT)
    trains = _trains(head.action_decoder)
    biased = max(a.c, head.action_decoder.layer1.b.dtype.itemsize)
    kept += tokens * hidden * (2 * a.c * trains + biased)
    kept += through.batch * config.action_horizon * config.max_action_dim * 3 * FLOAT
    return _gathering(head.action_decoder, through, kept * bool(reached or trains))


def _gathering(module: nn.Module, through: Pass, kept: int, first: int = 0) -> LayerCost:
    """Each sample has weights of its own; those before `first` are not needed again."""
    sizes = [m.W[0].numel() for m in module.modules() if isinstance(m, EmbodimentLinear)]
    itemsize = through.arithmetic.c
    gathered = through.batch * sum(sizes[first:]) * itemsize
    working = through.batch * max(sizes) * (FLOAT + itemsize) if _trains(module) else 0
    return LayerCost("embodiment", kept + gathered, None, 0, _gradient(module), working)


def sequence_length(model: GrootN16, through: Pass) -> int:
    """Tokens of a prompt with its pictures: four patches are one token."""
    side = through.image_side // model.config.vision_config.patch_size
    return through.text_tokens + through.views * side**2 // 4


def _cost(
    part: str, module: nn.Module, through: Pass, kept: int, inputs: int | None = None
) -> LayerCost:
    """`inputs` counts where anything is kept at all."""
    if not kept:
        return LayerCost(part, 0, None, 0, _gradient(module))
    return LayerCost(part, kept, inputs, _copies(through, module), _gradient(module))


def _copies(through: Pass, *modules: nn.Module) -> int:
    if not through.arithmetic.autocast:
        return 0
    return sum(
        2 * linear.weight.numel()
        for module in modules
        for linear in module.modules()
        if isinstance(linear, nn.Linear) and linear.weight.dtype.itemsize == FLOAT
    )


def _gradient(module: nn.Module) -> int:
    return sum(p.numel() * p.dtype.itemsize for p in module.parameters() if p.requires_grad)


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _learning(module: nn.Module, reached: bool) -> Learning:
    """Whether own weights or adapters train; adapters of one model are of one rank."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    ranks = [p.shape[0] for name, p in named if ".lora_A." in name or name.startswith("lora_A.")]
    own = any("lora_" not in name for name, _ in named)
    return Learning(trains=own, rank=max(ranks, default=0), reached=reached)
