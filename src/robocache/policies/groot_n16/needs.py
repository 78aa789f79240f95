"""How much memory the loading of a checkpoint takes, from its headers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch

from robocache.policies.groot_n16.checkpoint import SIZES, Checkpoint
from robocache.policies.groot_n16.loading import EMBEDDING, HEAD, REMAP_BYTES


@dataclass(frozen=True)
class LoadingNeeds:
    """Bytes that loading takes.

    Attributes:
        weights: of the model when it is loaded, wherever it lies.
        host: of main memory at the most, beside what the process has already.
    """

    weights: int
    host: int


def loading_needs(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype | None = None
) -> LoadingNeeds:
    """What `load_pretrained` needs.

    The head of the language model is the token embedding and takes nothing; to know that it is,
    both are read first. Weights lie in memory once; beside them a tensor on its way, and what was
    read of a mapped file.

    Args:
        checkpoint: to be loaded.
        device: where the weights go.
        dtype: of the weights; None: each keeps its own.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for name, tensor in checkpoint.tensors.items():
        count = tensor.bytes // SIZES[tensor.dtype]
        loaded = tensor.bytes if dtype is None else count * dtype.itemsize
        sizes[name] = (tensor.bytes, loaded)
    weights = sum(loaded for name, (_, loaded) in sizes.items() if name != HEAD)
    on_its_way = REMAP_BYTES + max((max(pair) for pair in sizes.values()), default=0)
    comparing = sum(sizes[name][0] for name in (HEAD, EMBEDDING) if name in sizes)
    kept = weights if device.type == "cpu" else 0
    return LoadingNeeds(weights, max(comparing, kept + on_its_way))


def bytes_by_dtype(checkpoint: Checkpoint) -> dict[str, int]:
    """Name of a dtype as files have it -> bytes of the tensors that have it."""
    found: dict[str, int] = defaultdict(int)
    for tensor in checkpoint.tensors.values():
        found[tensor.dtype] += tensor.bytes
    return dict(found)
