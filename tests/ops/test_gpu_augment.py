"""Augmentation on a graphics card: the bits of the CPU, no waiting, and inside a CUDA graph."""

from __future__ import annotations

import pytest
import torch
from test_augment import everything, pictures, ranges, same_bits

from robocache.ops.augment import augment, augment_depth, augment_points
from robocache.ops.augment.ranges import range_tables
from robocache.ops.augment.tables import tables_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("size", [(1, 1), (7, 11), (48, 65)], ids=str)
@pytest.mark.parametrize("made", [torch.uint8, torch.float32], ids=str)
def test_pictures_have_the_bits_of_the_cpu(size, made) -> None:
    images, parameters = pictures(5, *size), everything(5)
    expected = augment(images, parameters, dtype=made)
    found = augment(images.cuda(), parameters, dtype=made)
    assert same_bits(found.cpu(), expected)


@pytest.mark.parametrize("kind", ["depth", "millimetres", "points"])
def test_ranges_have_the_bits_of_the_cpu(kind: str) -> None:
    values = torch.rand(4, 333, 3) * 5
    change = augment_points if kind == "points" else augment_depth
    if kind == "millimetres":
        values = (values * 1000).int().to(torch.uint16)
    assert same_bits(change(values.cuda(), ranges(4)).cpu(), change(values, ranges(4)))


def test_in_a_cuda_graph_without_waiting() -> None:
    images = pictures(4, 20, 30).cuda()
    tables = tables_for(everything(4), 20, 30, "cuda")
    depth, given = torch.rand(4, 20, 30, device="cuda"), range_tables(ranges(4), "cuda")
    out, far = torch.empty_like(images), torch.empty_like(depth)
    augment(images, tables, out=out)  # compiles
    augment_depth(depth, given, out=far)
    expected, measured = out.clone(), far.clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.cuda.set_sync_debug_mode("error")
        try:
            augment(images, tables, out=out)
            augment_depth(depth, given, out=far)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    out.zero_()
    far.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, expected) and torch.equal(far, measured)
