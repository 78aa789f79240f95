"""Batches as plain values that can be compared: which samples, and every byte of them."""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from itertools import islice

from robocache.datasets import Batch, Loader


def content(batch: Batch) -> str:
    """sha256 over all tensors and texts of a batch."""
    digest = hashlib.sha256()
    for group in (batch.values, batch.valid, batch.age_s):
        for name, tensor in sorted(group.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    digest.update(batch.actions.contiguous().numpy().tobytes())
    digest.update(batch.action_valid.contiguous().numpy().tobytes())
    digest.update(repr((batch.instructions, batch.embodiments)).encode())
    return digest.hexdigest()


def stream(loader: Loader, count: int) -> list[tuple]:
    """The next batches: where their samples come from, row numbers, content."""
    return [
        ([astuple(o) for o in loader.provenance(b.index)], b.index.tolist(), content(b))
        for b in islice(loader, count)
    ]


def states(loader: Loader, count: int) -> list[dict]:
    """The state before each of the next batches."""
    found = []
    for _ in range(count):
        found.append(loader.state_dict())
        next(loader)
    return found


def assert_same_from(loader: Loader, state: dict, position: int, expected: list[tuple]) -> None:
    """The loader goes on from a state as the unbroken stream did."""
    loader.load_state_dict(state)
    assert stream(loader, len(expected) - position) == expected[position:]
