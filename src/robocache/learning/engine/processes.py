"""Several processes that train one policy: each has a part of every batch, gradients are summed.

Started by `torchrun --nproc-per-node N`, which sets RANK and WORLD_SIZE. Sums are taken in one
order on every process, so all of them keep the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from robocache.core.errors import ConfigError

T = TypeVar("T")
BUCKET = 2**24


@dataclass(frozen=True)
class Processes:
    """Which of how many this is; 0 of 1 where there is only this one."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; small ones travel together."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return here
        flag = torch.tensor(float(here))
        self.sum([flag.cuda() if dist.get_backend() == "nccl" else flag])
        return bool(flag)

    def share(self, value: T | None) -> T:
        """What the first process gave, after it has come here; others give None."""
        given = [value]
        if self.count > 1:
            dist.broadcast_object_list(given)
        assert given[0] is not None
        return given[0]


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one dtype, of about `BUCKET` numbers together."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(one.numel() for one in bucket) >= BUCKET
        if bucket and (full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def joined_processes(device: str = "cpu") -> Iterator[Processes]:
    """The processes that `torchrun` started with this one; 0 of 1 without it.

    Args:
        device: on "cuda" each process takes the card of its LOCAL_RANK, and NCCL; else gloo.

    Raises:
        ConfigError: RANK and WORLD_SIZE do not make sense.
    """
    texts = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    try:
        rank, count = (int(text) for text in texts)
    except ValueError:
        raise ConfigError(f"RANK and WORLD_SIZE must be numbers, got {texts}") from None
    if not 0 <= rank < count:
        raise ConfigError(f"RANK must lie in 0..WORLD_SIZE-1, got {rank} of {count}")
    if count == 1:
        yield Processes()
        return
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(rank, count)
    finally:
        dist.destroy_process_group()
