"""A model as the public code would save it: config.json and safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from robocache.core.errors import CheckpointError, ConfigError, StorageError
from robocache.policies.groot_n16.checkpoint import INDEX, SINGLE
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.tensor_files import save_tensors


def save_pretrained(model: GrootN16, folder: Path, max_shard_bytes: int = 5_000_000_000) -> None:
    """Write config.json and all weights under their public keys, each in its own dtype.

    config.json is written last: a folder without it is not a checkpoint.

    Args:
        model: without adapters; see `merge_lora`.
        folder: made if it is not there; must hold no checkpoint.
        max_shard_bytes: a file holds at most this much, but at least one tensor.

    Raises:
        ConfigError: the model has adapters, or max_shard_bytes is not positive.
        CheckpointError: there is a checkpoint in the folder already.
        StorageError: it cannot be written.
    """
    if max_shard_bytes < 1:
        raise ConfigError(f"max_shard_bytes must be at least 1, got {max_shard_bytes}")
    state = model.state_dict()
    if any(".lora_" in name for name in state):
        raise ConfigError(
            "the model has LoRA adapters, for which the public format has no place: merge_lora "
            "first, or save the adapters alone"
        )
    folder = Path(folder)
    present = [folder / "config.json", *folder.glob("*.safetensors"), folder / INDEX]
    if any(path.exists() for path in present):
        raise CheckpointError(f"{folder} holds a checkpoint already; nothing is overwritten")
    shards = plan_shards(state, max_shard_bytes)
    names = [
        SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        for number in range(1, len(shards) + 1)
    ]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, keys in zip(names, shards, strict=True):
            save_tensors(_apart({key: state[key] for key in keys}), folder / name, {"format": "pt"})
        if len(shards) > 1:
            index = {
                "metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())},
                "weight_map": {key: name for name, keys in zip(names, shards) for key in keys},
            }
            (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True))
        (folder / "config.json").write_text(json.dumps(model.config.to_json(), indent=2))
    except OSError as error:
        raise StorageError(f"cannot save to {folder}: {error}") from error


def plan_shards(state: dict[str, Tensor], max_shard_bytes: int) -> list[list[str]]:
    """Keys in their order, cut before a file would grow beyond the limit."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in state.items():
        if shards[-1] and size + tensor.nbytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return shards


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without shared memory, which a file cannot express: the tied head is a copy."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        apart[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return apart
