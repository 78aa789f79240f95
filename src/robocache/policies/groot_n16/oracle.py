"""Parity with tensors stored by the public model, stage by stage.

The layout of an oracle folder is in its README: `action_head.safetensors` holds the action head
alone, `full.safetensors` everything, each with its configuration in a JSON file beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robocache.core.errors import CorruptFileError, DataError, RoboCacheError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.action_head import ActionHead
from robocache.policies.groot_n16.backbone import BackboneFeatures
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.inputs import GrootInputs
from robocache.policies.groot_n16.keys import compare_keys
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.stages import Stage, relative_error

BOUND = 1e-6
"""Largest error of a stage in float32."""

EXACT = ("grids", "language_head", "noise")
"""Stages in which nothing may differ."""

Pairs = list[tuple[Tensor, Tensor]]


def model_stages(folder: Path) -> Iterator[Stage]:
    """Stages of the action head alone, then of the whole network; each is computed when asked for.

    Every stage starts from stored tensors; those named `end_to_end` start from the inputs.

    Raises:
        DataError: the folder holds no oracle, or one that is damaged.
        MissingDependencyError: transformers is not installed.
    """
    yield from action_head_stages(folder)
    yield from full_stages(folder)


def action_head_stages(folder: Path) -> Iterator[Stage]:
    """State and action encoder, every DiT block, velocity, seeded loss and sample."""
    data = read_configuration(folder / "action_head.json")
    yield from compare_action_head(StoredTensors(folder / "action_head.safetensors"), data)


def full_stages(folder: Path) -> Iterator[Stage]:
    """Vision, projector, language model, then loss and sample, from images and token ids."""
    data = read_configuration(folder / "full.json")
    yield from compare_full(StoredTensors(folder / "full.safetensors"), data)


def compare_action_head(stored: StoredTensors, data: Mapping[str, Any]) -> Iterator[Stage]:
    """The stages of `action_head_stages` from tensors in memory."""
    config = GrootConfig.from_json(data["config"])
    with torch.device("meta"):
        head = ActionHead(config).eval()
    yield _load("action_head/weights", head, lambda: stored.under("state_dict."))
    ids, bucket = stored["inputs.embodiment_id"], stored["out.t"]
    state, action = stored["inputs.state"], stored["inputs.action"]
    mask, hidden = stored["inputs.action_mask"], stored["out.dit_hidden"]
    features = BackboneFeatures(stored["inputs.vl"], stored["inputs.attn"], stored["inputs.img"])
    states, actions = stored["out.state_features"], stored["out.action_features"]
    temb, dit_out, velocity = stored["out.temb"], stored["out.dit_out"], stored["out.velocity"]
    dit = head.model

    def tokens() -> Pairs:
        return [(torch.cat([states, head.add_positions(actions)], dim=1), hidden[0])]

    def block(number: int) -> Pairs:
        after = dit.run_block(number, hidden[number], temb, head.context(features))
        return [(after, hidden[number + 1])]

    def end_to_end() -> Pairs:
        encoded = head.encode_state(state, ids)
        return [(head.velocity(action, bucket, encoded, head.context(features), ids), velocity)]

    def loss() -> Pairs:
        flow = head.loss(features, state, action, mask, ids, Draws.seeded(7))
        elements = stored["out.action_loss_seed7"]
        return [(flow.loss, stored["out.loss_seed7"]), (flow.elements, elements)]

    def sample() -> Pairs:
        noise, steps = stored["out.noise_seed11"], config.num_inference_timesteps
        found = head.sample(head.context(features), state, ids, noise, steps)
        return [(found, stored["out.action_pred_seed11"])]

    stages: dict[str, Callable[[], Pairs]] = {
        "state_encoder": lambda: [(head.encode_state(state, ids), states)],
        "action_encoder": lambda: [(head.action_encoder(action, bucket, ids), actions)],
        "timestep": lambda: [(dit.timestep_encoder(bucket), temb)],
        "dit/tokens": tokens,
        **{f"dit/block_{n}": partial(block, n) for n in range(len(hidden) - 1)},
        "dit/output": lambda: [(dit.leave(hidden[-1], temb), dit_out)],
        "velocity": lambda: [(head.decode(dit_out, ids)[:, -action.shape[1] :], velocity)],
        "velocity/end_to_end": end_to_end,
        "loss": loss,
        "noise": lambda: [_noise(11, stored["out.noise_seed11"])],
        "sample": sample,
    }
    for name, compute in stages.items():
        yield _compare(f"action_head/{name}", compute)


def compare_full(stored: StoredTensors, data: Mapping[str, Any]) -> Iterator[Stage]:
    """The stages of `full_stages` from tensors in memory."""
    parts = {name: data.get(name) for name in ("vision_config", "text_config")}
    with torch.device("meta"):
        model = GrootN16(GrootConfig.from_json({**data["config"], **parts})).eval()
    config, backbone = model.config, model.backbone
    rows = stored.under("state_dict_rows.")

    def weights() -> dict[str, Tensor]:
        found = stored.under("state_dict.")
        for name, given in rows.items():
            found[name] = torch.zeros(config.text_config.vocab_size, given.shape[1])
            found[name][stored["used_token_ids"]] = given
        return found

    yield _load("full/weights", model, weights)
    images = [stored[f"batch.pixel_values.{n}"] for n in range(len(stored["batch.image_sizes"]))]
    inputs = GrootInputs(
        input_ids=stored["batch.input_ids"],
        attention_mask=stored["batch.attention_mask"],
        pixel_values=images,
        state=stored["batch.state"],
        embodiment_id=stored["batch.embodiment_id"],
        action=stored["batch.action"],
        action_mask=stored["batch.action_mask"],
    )
    features = BackboneFeatures(
        stored["out.backbone_backbone_features"],
        stored["out.backbone_backbone_attention_mask"],
        stored["out.backbone_image_mask"],
    )
    patches, tokens = stored["out.vision_last_hidden_state"], stored["out.vit_embeds"]
    shapes = stored["out.spatial_shapes"]

    def head_rows() -> Pairs:
        head = "backbone.model.language_model.lm_head.weight"
        embedding = "backbone.model.language_model.model.embed_tokens.weight"
        return [(rows[head], rows[embedding])]

    def grids() -> Pairs:
        sizes = torch.tensor([list(image.shape[-2:]) for image in images])
        return [
            (sizes, stored["batch.image_sizes"]),
            (sizes // config.vision_config.patch_size, shapes),
        ]

    def vision() -> Pairs:
        tower = backbone.model.vision_model
        return [(torch.cat([tower(image).flatten(0, 1) for image in images])[None], patches)]

    def projector() -> Pairs:
        grids = [(height, width) for height, width in shapes.tolist()]
        pieces = torch.split(patches[0], [height * width for height, width in grids])
        found = [backbone.project(piece[None], grid)[0] for piece, grid in zip(pieces, grids)]
        return [(torch.cat(found), tokens)]

    def language(found: BackboneFeatures) -> Pairs:
        valid = features.mask
        return [
            (found.mask, features.mask),
            (found.image_mask, features.image_mask),
            (found.features[valid], features.features[valid]),
        ]

    def loss(given: BackboneFeatures | None) -> Pairs:
        flow = model.loss(inputs, Draws.seeded(5), features=given)
        elements = stored["out.action_loss_seed5"]
        return [(flow.loss, stored["out.loss_seed5"]), (flow.elements, elements)]

    def sample(given: BackboneFeatures) -> Pairs:
        noise = stored["out.noise_seed6"]
        actions = model.sample(given, inputs.state, inputs.embodiment_id, noise)
        return [(actions, stored["out.action_pred_seed6"])]

    ids, mask = inputs.input_ids, inputs.attention_mask
    stages: dict[str, Callable[[], Pairs]] = {
        "language_head": head_rows,
        "grids": grids,
        "vision": vision,
        "projector": projector,
        "language": lambda: language(backbone.features(ids, mask, tokens)),
        "loss": lambda: loss(features),
        "noise": lambda: [_noise(6, stored["out.noise_seed6"])],
        "sample": lambda: sample(features),
        "language/end_to_end": lambda: language(model.encode(inputs)),
        "loss/end_to_end": lambda: loss(None),
        "sample/end_to_end": lambda: sample(model.encode(inputs)),
    }
    for name, compute in stages.items():
        yield _compare(f"full/{name}", compute)


class StoredTensors:
    """The tensors of an oracle file by name.

    Args:
        path: a safetensors file.

    Raises:
        DataError: it is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.tensors = load_file(path)
        except FileNotFoundError:
            raise DataError("is not there; an oracle folder holds it", file=path) from None
        except (SafetensorError, OSError) as error:
            raise CorruptFileError(f"cannot be read: {error}", file=path) from error

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise DataError(f"has no tensor {name!r}", file=self.path)
        return self.tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with a prefix, without it."""
        found = self.tensors.items()
        return {
            name.removeprefix(prefix): value for name, value in found if name.startswith(prefix)
        }


def read_configuration(path: Path) -> dict[str, Any]:
    """What lies in the JSON file beside an oracle file.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError("is not there; an oracle folder holds it", file=path) from None
    except ValueError as error:
        raise CorruptFileError(f"is not JSON: {error}", file=path) from error
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
        raise CorruptFileError("holds no configuration", file=path)
    return data


def _load(name: str, module: nn.Module, read: Callable[[], dict[str, Tensor]]) -> Stage:
    """Load weights strictly; what does not fit fails the stage, and its module starts at random."""
    try:
        weights = read()
    except (IndexError, RuntimeError) as problem:
        module.to_empty(device="cpu")
        return Stage(name, float("inf"), 0.0, f"{type(problem).__name__}: {problem}")
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    problems = compare_keys(expected, {key: tuple(value.shape) for key, value in weights.items()})
    fitting = {key: weights[key] for key in weights.keys() - problems.misshaped.keys()}
    if problems:
        module.to_empty(device="cpu")
    module.load_state_dict(fitting, strict=False, assign=True)
    return Stage(name, float("inf") if problems else 0.0, 0.0, str(problems) if problems else "")


@torch.no_grad()
def _compare(name: str, compute: Callable[[], Pairs]) -> Stage:
    """The largest error of the pairs; ids out of range and the like fail the stage."""
    bound = 0.0 if name.rpartition("/")[2] in EXACT else BOUND
    try:
        error = max(relative_error(ours, stored) for ours, stored in compute())
    except (RoboCacheError, IndexError, RuntimeError) as problem:
        return Stage(name, float("inf"), bound, f"{type(problem).__name__}: {problem}")
    return Stage(name, error, bound)


def _noise(seed: int, stored: Tensor) -> tuple[Tensor, Tensor]:
    return Draws.seeded(seed).normal(stored.shape), stored
