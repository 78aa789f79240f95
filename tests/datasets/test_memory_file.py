"""Tensors through a file in memory: every shape and dtype, again and again, across processes."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest
import torch

from robocache.datasets import memory_file
from robocache.datasets.memory_file import MemoryFile


def nested(seed: int) -> list[dict[str, torch.Tensor]]:
    random = np.random.default_rng(seed)
    return [
        {"colour": torch.from_numpy(random.integers(0, 255, (3, 2, 5, 4, 3), dtype=np.uint8))},
        {},
        {
            "depth": torch.from_numpy(random.integers(0, 60000, (2, 1, 4, 4)).astype(np.uint16)),
            "none": torch.zeros((0, 2, 7)),
            "metres": torch.from_numpy(random.normal(size=(7, 3))).transpose(0, 1),
        },
    ]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, torch.Tensor]]) -> None:
    for here, there in zip(found, expected, strict=True):
        assert list(here) == list(there)
        for name, tensor in there.items():
            assert here[name].dtype == tensor.dtype and torch.equal(here[name], tensor)


def test_what_is_read_is_what_was_written_and_stays_so():
    file = MemoryFile()
    first = file.read(file.write(nested(1)))
    second = file.read(file.write(nested(2)))
    assert_same(first, nested(1))
    assert_same(second, nested(2))


def test_pieces_as_the_system_takes_them(monkeypatch):
    """One call moves at most 2 GiB; here a few bytes."""
    pwrite, preadv = memory_file.os.pwrite, memory_file.os.preadv
    monkeypatch.setattr(memory_file.os, "pwrite", lambda f, data, at: pwrite(f, data[:11], at))
    monkeypatch.setattr(memory_file.os, "preadv", lambda f, data, at: preadv(f, [data[0][:7]], at))
    file = MemoryFile()
    assert_same(file.read(file.write(nested(3))), nested(3))


def test_a_file_that_ends_too_early_is_an_error():
    file = MemoryFile()
    places = file.write(nested(4))
    with pytest.raises(OSError, match="ends at"):
        MemoryFile().read(places)


def write_there(file: MemoryFile, queue: Any) -> None:
    queue.put(file.write(nested(5)))


def test_written_in_another_process():
    context = multiprocessing.get_context("spawn")
    file, queue = MemoryFile(), context.Queue()
    child = context.Process(target=write_there, args=(file, queue))
    child.start()
    places = queue.get(timeout=60)
    child.join()
    assert_same(file.read(places), nested(5))
