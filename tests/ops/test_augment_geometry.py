"""Depth, masks and intrinsics follow the crop and the boxes of the pictures they belong to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import augment, augment_geometry, crop_intrinsics, deproject
from robocache.ops.augment import ImageParameters, RangeParameters

INTRINSICS = torch.tensor([[30.0, 0, 9.5], [0, 30.0, 7.0], [0, 0, 1]])


def cropped(count: int = 3) -> ImageParameters:
    generator = torch.Generator().manual_seed(0)
    place = torch.rand(count, 2, generator=generator) * 0.6 - 0.2
    side = torch.rand(count, 1, generator=generator) * 0.6 + 0.4
    edges = torch.rand(count, 2, 2, 2, generator=generator).sort(dim=2).values
    return replace(
        ImageParameters.identity(count),
        crop=torch.cat([place, side], dim=1),
        boxes=edges.flatten(2),
        box_colours=torch.full((count, 2, 3), 1.0),
    )


def ramp(count: int, height: int, width: int) -> Tensor:
    """Every pixel holds its own number."""
    return torch.arange(height * width).reshape(1, height, width).repeat(count, 1, 1)


def test_the_pixel_shown_is_the_nearest_to_that_of_the_picture() -> None:
    """Pictures of row and column numbers say, bilinearly, what is seen where."""
    height, width = 21, 34
    parameters = replace(cropped(), boxes=torch.zeros(3, 0, 4), box_colours=torch.zeros(3, 0, 3))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = torch.stack([rows / 100, columns / 100, torch.zeros(height, width)], dim=2)
    seen = 100 * augment(picture.repeat(3, 1, 1, 1), parameters)
    number = augment_geometry(ramp(3, height, width), parameters)
    assert ((number // width) - seen[..., 0]).abs().max() <= 0.501
    assert ((number % width) - seen[..., 1]).abs().max() <= 0.501


def test_boxes_cover_the_same_pixels() -> None:
    parameters = replace(cropped(), crop=ImageParameters.identity(3).crop)
    picture = augment(torch.zeros(3, 20, 30, 3), parameters)
    covered = augment_geometry(torch.ones(3, 20, 30), parameters, covered=0)
    assert torch.equal(covered == 0, picture[..., 0] == 1)
    assert 0 < (covered == 0).sum() < covered.numel()
    assert (augment_geometry(torch.ones(3, 20, 30), parameters) == 1).all()


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float16, torch.float64]
)
def test_values_are_never_mixed(dtype: torch.dtype) -> None:
    maps = (ramp(2, 9, 11) % 2).to(dtype)[..., None].repeat(1, 1, 1, 2)
    found = augment_geometry(maps, cropped(2), covered=0)
    assert found.dtype == dtype and found.shape == maps.shape
    assert set(found.long().unique().tolist()) == {0, 1}
    none = ImageParameters.identity(2)
    assert torch.equal(augment_geometry(maps, none), maps)
    assert augment_geometry(maps[:0], cropped(0)).shape == (0, 9, 11, 2)


def test_points_of_a_crop_are_those_of_the_whole() -> None:
    """A crop of whole pixels at full scale, and the intrinsics that go with it."""
    depth = torch.rand(1, 15, 20, generator=torch.Generator().manual_seed(1)) + 0.5
    parameters = replace(ImageParameters.identity(1), crop=torch.tensor([[0.2, 0.1, 1.0]]))
    seen = augment_geometry(depth, parameters)
    points = deproject(seen, crop_intrinsics(INTRINSICS, parameters, 15, 20), None)
    whole = deproject(depth, INTRINSICS, None)
    inside = points.reshape(15, 20, 3)[:12, :18]
    torch.testing.assert_close(inside, whole.reshape(15, 20, 3)[3:, 2:])


def test_an_enlarged_crop_has_a_longer_focal_length() -> None:
    parameters = replace(ImageParameters.identity(1), crop=torch.tensor([[0.25, 0.25, 0.5]]))
    flat = torch.full((1, 16, 20), 2.0)
    half = crop_intrinsics(INTRINSICS, parameters, 16, 20)
    assert half[0, 0, 0] == 60 and half[0, 1, 1] == 60
    corners = [
        deproject(flat, camera, None).reshape(16, 20, 3)[row, column]
        for camera, row, column in ((half, 0, 0), (INTRINSICS, 4, 5))
    ]
    assert (corners[0] - corners[1]).abs().max() <= 0.5 * 2.0 / 30


def test_gradients_reach_the_pixels_that_are_seen() -> None:
    depth = torch.rand(1, 6, 7, dtype=torch.float64, requires_grad=True)
    parameters = cropped(1)
    assert torch.autograd.gradcheck(lambda x: augment_geometry(x, parameters, covered=0), (depth,))


def test_mistakes_are_named() -> None:
    maps, parameters = torch.zeros(2, 4, 5), cropped(2)
    with pytest.raises(ShapeError, match=r"maps must be \(N, H, W, ...\), got \(4, 5\)"):
        augment_geometry(maps[0], parameters)
    with pytest.raises(ShapeError, match=r"2 samples of parameters \(crop\) for 1 maps"):
        augment_geometry(maps[:1], parameters)
    with pytest.raises(ConfigError, match="RangeParameters"):
        augment_geometry(maps, RangeParameters.identity(2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"covered=-1 cannot be held by torch\.uint8"):
        augment_geometry(maps.byte(), parameters, covered=-1)
    with pytest.raises(ConfigError, match="RangeParameters"):
        crop_intrinsics(torch.eye(3), RangeParameters.identity(2), 4, 5)  # type: ignore[arg-type]
    assert augment_geometry(maps, parameters, covered=float("nan")).isnan().any()
    with pytest.raises(ShapeError, match=r"\(3, 3\) or \(2, 3, 3\), got \(4, 4\)"):
        crop_intrinsics(torch.eye(4), parameters, 4, 5)
    with pytest.raises(ShapeError, match=r"floats, got torch\.int64"):
        crop_intrinsics(torch.eye(3).long(), parameters, 4, 5)
