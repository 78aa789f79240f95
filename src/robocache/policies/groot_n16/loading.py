"""Weights of a checkpoint into a model, tensor by tensor.

The model is built on the meta device, so the weights are in memory once. A tensor is copied out of
its mapped file, so that nothing that happens to the file later reaches the model, and the file is
mapped anew every `REMAP_BYTES`, because pages that were read count until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies.device import require_device
from robocache.policies.groot_n16.checkpoint import Checkpoint, find_folder, read_checkpoint
from robocache.policies.groot_n16.keys import KeyProblems, compare_keys
from robocache.policies.groot_n16.model import Fusion, GrootN16

REMAP_BYTES = 8 * 2**20
EMBEDDING = "backbone.model.language_model.model.embed_tokens.weight"
HEAD = "backbone.model.language_model.lm_head.weight"
MASK_TOKEN = "action_head.mask_token"


def load_pretrained(
    path_or_hub_id: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    strict: bool = True,
    fusion: Fusion | None = None,
    changes: Mapping[str, Any] | None = None,
    revision: str | None = None,
) -> GrootN16:
    """A model in evaluation mode with the weights of a checkpoint.

    Args:
        path_or_hub_id: a folder, or `owner/name` on the Hugging Face hub.
        device: where the weights go.
        dtype: of all weights; None: each keeps its own, and they may differ.
        strict: False ignores extra keys, and missing ones start at random, for which a second model
            is built; a tensor of another shape is an error in any case.
        fusion: see `GrootN16`; its weights are read if the checkpoint has any.
        changes: fields of `GrootConfig` other than those of config.json, e.g.
            `{"state_dropout_prob": 0.2}`, whose token then starts at random.
        revision: on the hub.

    Raises:
        CheckpointError: it is damaged, another generation, or its keys do not fit: one message that
            lists them by module.
        ConfigError: there is no such folder, field or device.
    """
    device = require_device(device)
    checkpoint = read_checkpoint(find_folder(path_or_hub_id, revision))
    try:
        config = replace(checkpoint.config, **(changes or {}))
    except TypeError as error:
        raise ConfigError(f"no such field of GrootConfig: {error}") from None
    with torch.device("meta"):
        model = GrootN16(config)
    model.fusion = fusion
    fresh = _fresh(checkpoint, model)
    problems = unfitting(checkpoint, model)
    missing = problems.missing
    if problems.misshaped or (strict and problems):
        raise CheckpointError(
            f"the weights in {checkpoint.folder} do not fit the model: {problems}"
        )
    if missing:
        whole = GrootN16(config, fusion).state_dict()
        for name in missing:
            place(model, name, whole[name].to(device, dtype))
    untied = HEAD in checkpoint.tensors and not _is_tied(checkpoint)
    ignored = {*problems.extra, *(() if untied else (HEAD,))}
    for name, tensor in read_tensors(checkpoint, checkpoint.tensors.keys() - ignored):
        place(model, name, tensor.to(device, dtype, copy=True))
    language = model.backbone.model.language_model
    if untied:
        language.lm_head.requires_grad_(False)
    else:
        language.tie()
    if isinstance(fusion, nn.Module):
        fusion.to(device, dtype)
    if MASK_TOKEN in fresh:
        token = 0.02 * torch.randn(1, 1, config.input_embedding_dim)
        place(model, MASK_TOKEN, token.to(model.action_head.state_encoder.layer2.b))
    return model.eval()


def key_problems(checkpoint: Checkpoint, model: GrootN16) -> KeyProblems:
    """What does not fit between a checkpoint and a model, which may be on the meta device.

    The head of the language model may be missing: it is the token embedding.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if HEAD not in checkpoint.tensors:
        del expected[HEAD]
    return compare_keys(expected, checkpoint.shapes)


def unfitting(checkpoint: Checkpoint, model: GrootN16) -> KeyProblems:
    """`key_problems` but for keys that a sound checkpoint need not have."""
    problems = key_problems(checkpoint, model)
    missing = tuple(sorted(set(problems.missing) - _fresh(checkpoint, model)))
    return KeyProblems(missing, problems.extra, problems.misshaped)


def read_tensors(checkpoint: Checkpoint, names: set[str]) -> Iterator[tuple[str, Tensor]]:
    """Tensors one after another, in the order of their files; valid until the next is asked for."""
    for path, group in groupby(
        sorted(names, key=lambda n: (checkpoint.tensors[n].file, n)),
        key=lambda name: checkpoint.tensors[name].file,
    ):
        mapped = REMAP_BYTES
        with ExitStack() as stack:
            for name in group:
                if mapped >= REMAP_BYTES:
                    stack.close()
                    file = stack.enter_context(_open(path))
                    mapped = 0
                mapped += checkpoint.tensors[name].bytes
                yield name, file.get_tensor(name)


def place(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor in the place of a parameter or buffer, as it is."""
    module_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(module_name)
    old = getattr(module, leaf)
    if isinstance(old, nn.Parameter):
        setattr(module, leaf, nn.Parameter(tensor, requires_grad=old.requires_grad))
    else:
        setattr(module, leaf, tensor)


def _fresh(checkpoint: Checkpoint, model: GrootN16) -> set[str]:
    """Keys that a sound checkpoint need not have, because they are new in this model."""
    fresh = set()
    if not any(name.startswith("fusion.") for name in checkpoint.tensors):
        fresh = {name for name in model.state_dict() if name.startswith("fusion.")}
    if checkpoint.config.state_dropout_prob == 0 and MASK_TOKEN not in checkpoint.tensors:
        fresh |= {MASK_TOKEN} & model.state_dict().keys()
    return fresh


def _is_tied(checkpoint: Checkpoint) -> bool:
    """Whether the stored head of the language model is the token embedding, bit for bit."""
    head, embedding = checkpoint.tensors[HEAD], checkpoint.tensors.get(EMBEDDING)
    if embedding is None or head.dtype != embedding.dtype:
        return embedding is None
    with _open(head.file) as one, _open(embedding.file) as other:
        return torch.equal(one.get_tensor(HEAD), other.get_tensor(EMBEDDING))


def _open(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
