"""Memory serves again once, and only once, nobody refers to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robocache.datasets import reused_memory
from robocache.datasets.reused_memory import ReusedMemory


@pytest.fixture(autouse=True)
def small_arrays(monkeypatch):
    monkeypatch.setattr(reused_memory, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(reused_memory, "ROOM", 1)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_comes_back_with_the_last_reference():
    memory = ReusedMemory(spare=4)
    array = memory.empty((4, 6), np.float32)
    assert array.shape == (4, 6) and array.dtype == np.float32 and array.flags.writeable
    array[:] = 7
    first = address(array)
    kept = torch.from_numpy(array[2:])[0, 1:]
    del array
    other = memory.empty((4, 6), np.float32)
    other[:] = 9
    assert address(other) != first and kept.tolist() == [7] * 5
    del kept
    again = memory.empty((5, 4), np.float32)
    again[:] = 1
    assert address(again) == first and (other == 9).all()


def test_the_smallest_that_fits_is_taken_and_none_that_is_far_too_large():
    memory = ReusedMemory(spare=4)
    arrays = [memory.empty((size,), np.uint8) for size in (100, 60, 80)]
    addresses = [address(array) for array in arrays]
    arrays.clear()
    held = [memory.empty((70,), np.uint8), memory.empty((70,), np.uint8)]
    assert [address(array) for array in held] == [addresses[2], addresses[0]]
    for size in (61, 29):  # too large for what is left, too small for it
        lone = ReusedMemory(spare=4)
        lone.take_back(np.empty(60, np.uint8))
        array = lone.empty((size,), np.uint8)
        assert array.size == size and lone._free == []  # it made room for what will come back


def test_no_more_than_the_spare_waits():
    memory = ReusedMemory(spare=2)
    arrays = [memory.empty((size,), np.uint8) for size in (10, 11, 12)]
    arrays.clear()  # the last first
    assert [piece.nbytes for piece in memory._free] == [12, 11]


def test_new_memory_serves_somewhat_larger_arrays_too(monkeypatch):
    monkeypatch.setattr(reused_memory, "ROOM", 1.25)
    memory = ReusedMemory(spare=1)
    first = address(memory.empty((100,), np.uint8))
    assert address(memory.empty((125,), np.uint8)) == first


def test_small_arrays_are_not_kept(monkeypatch):
    monkeypatch.setattr(reused_memory, "SMALLEST_BYTES", 100)
    memory = ReusedMemory(spare=2)
    sizes = [memory.empty((size,), np.uint8).size for size in (99, 0, 100)]
    assert sizes == [99, 0, 100]
    assert [piece.nbytes for piece in memory._free] == [100]
