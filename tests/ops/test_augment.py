"""Augmentation: every implementation the same bits, and against Pillow, scipy and by hand."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import gaussian_filter
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import available_backends
from robocache.ops.augment import (
    ImageParameters,
    RangeParameters,
    augment,
    augment_depth,
    augment_points,
)
from robocache.ops.augment.ranges import range_tables
from robocache.ops.augment.tables import ImageTables, tables_for
from robocache.ops.philox import bell, philox, uniform


def pictures(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def smooth_picture(height: int = 48, width: int = 64) -> Tensor:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + c) * np.cos(y / 9 - c) for c in range(3)]
    return torch.from_numpy((127.5 + 90 * np.stack(waves, axis=2)).astype(np.uint8))[None]


def everything(count: int, seed: int = 0) -> ImageParameters:
    """Some of all, and the first sample none of it."""
    rng = np.random.default_rng(seed)

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, *shape)).astype(np.float32))

    given = ImageParameters(
        crop=torch.cat([drawn(-0.2, 0.4, 2), drawn(0.4, 1.0, 1)], dim=1),
        blur_px=drawn(0.1, 0.3) * (torch.arange(count) % 2),
        motion_px=drawn(-1, 1, 2) * (torch.arange(count) % 3 == 1)[:, None],
        gradient=drawn(-0.5, 0.5, 2),
        brightness=drawn(0.5, 1.5),
        contrast=drawn(0.5, 1.5),
        saturation=drawn(0, 2),
        hue=drawn(-0.5, 0.5),
        gamma=drawn(0.5, 2),
        boxes=drawn(-0.1, 1.1, 2, 4).sort(dim=-1).values[..., [0, 1, 2, 3]],
        box_colours=drawn(0, 1, 2, 3),
        noise=drawn(0, 0.2),
        key=torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, count)),
        frame=torch.from_numpy(rng.integers(0, 2**32, count)),
    )
    first = ImageParameters.identity(1)
    for name in given.__dataclass_fields__:
        if name not in ("boxes", "box_colours") and count:
            getattr(given, name)[0] = getattr(first, name)[0]
    return given


def ranges(count: int, seed: int = 0) -> RangeParameters:
    rng = np.random.default_rng(seed)

    def drawn(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, count).astype(np.float32))

    return RangeParameters(
        dropout=drawn(0, 0.4),
        noise_m=drawn(0, 0.05),
        noise_share=drawn(0, 0.02),
        outliers=drawn(0, 0.3),
        outlier_low_m=drawn(0, 1),
        outlier_high_m=drawn(1, 9),
        key=torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, count)),
        frame=torch.from_numpy(rng.integers(0, 2**32, count)),
    )


def same_bits(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and one.numpy().tobytes() == two.numpy().tobytes()


def test_philox_gives_the_published_words() -> None:
    """Known answers of Random123 1.14, `kat_vectors`, philox4x32 10."""
    ones, pi = 0xFFFFFFFF, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    key = torch.tensor([0, -1, (0x299F31D0 << 32) | 0xA4093822])
    counters = [torch.tensor([0, ones, word]) for word in pi]
    words = torch.stack(philox(key, *counters), dim=1).tolist()
    assert words[0] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words[1] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert words[2] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_the_noise_is_nearly_normal() -> None:
    drawn = bell(philox(torch.full((200_000,), 7), torch.arange(200_000))).double()
    assert abs(float(drawn.mean())) < 0.01 and abs(float(drawn.var()) - 1) < 0.01
    assert float((drawn.abs() > 1.959964).double().mean()) == pytest.approx(0.05, abs=0.003)
    even = uniform(torch.arange(1000), 100)
    assert float(even.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(even.var()) == pytest.approx(1 / 12, abs=0.002)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (7, 11)], ids=str)
@pytest.mark.parametrize("read", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("made", [torch.uint8, torch.float32], ids=str)
def test_pictures_have_the_same_bits_on_every_backend(size, read, made) -> None:
    assert available_backends("augment") == ("triton", "numba", "torch")
    images = pictures(4, *size)
    images = images if read == torch.uint8 else images.float() / 255
    parameters = everything(4)
    expected = augment(images, parameters, dtype=made, backend="torch")
    assert expected.dtype == made and expected.shape == images.shape
    for backend in (None, "numba", "triton"):
        found = augment(images, parameters, dtype=made, backend=backend)
        assert same_bits(found, expected), backend
    assert not torch.equal(expected[1:].float(), images[1:].float())


@pytest.mark.parametrize("kind", ["depth", "millimetres", "points"])
@pytest.mark.parametrize("count", [0, 3])
def test_ranges_have_the_same_bits_on_every_backend(kind: str, count: int) -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.uniform(-1, 6, (count, 13, 3)).astype(np.float32))
    if count:
        values[0, :4] = torch.tensor([np.nan, np.inf, 0.0, -np.inf])[:, None]
    change: Callable[..., Tensor] = augment_points if kind == "points" else augment_depth
    if kind == "millimetres":
        values = (values.nan_to_num(0, 0, 0).clamp(0) * 1000).to(torch.uint16)
    expected = change(values, ranges(count), backend="torch")
    for backend in (None, "numba", "triton"):
        assert same_bits(change(values, ranges(count), backend=backend), expected), backend
    same = change(values, RangeParameters.identity(count))
    assert same_bits(same, values)


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_the_batch_nor_the_threads_change_a_sample(threads: int) -> None:
    images, parameters = pictures(9, 60, 80), everything(9)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = augment(images, parameters)
    finally:
        torch.set_num_threads(before)
    for row in (0, 4, 8):
        part = slice(row, row + 1)
        assert torch.equal(augment(images[part], parameters.rows(part)), whole[part])


def test_no_change_is_none() -> None:
    images = pictures(3, 20, 30)
    assert torch.equal(augment(images, ImageParameters.identity(3)), images)
    floats = images.float() / 255
    assert torch.equal(augment(floats, ImageParameters.identity(3)), floats)
    assert len(augment(images[:0], ImageParameters.identity(0))) == 0


def test_colours_against_pillow() -> None:
    """Within one grey level: Pillow rounds its factors to bytes."""
    image = smooth_picture()
    pillow = Image.fromarray(image[0].numpy())
    grey = Image.new("RGB", pillow.size, (128, 128, 128))
    cases: list[tuple[dict[str, float], Image.Image]] = [
        ({"brightness": 0.6}, ImageEnhance.Brightness(pillow).enhance(0.6)),
        ({"brightness": 1.3}, ImageEnhance.Brightness(pillow).enhance(1.3)),
        ({"saturation": 0.3}, ImageEnhance.Color(pillow).enhance(0.3)),
        ({"saturation": 0.0}, pillow.convert("L").convert("RGB")),
        ({"saturation": 1.8}, ImageEnhance.Color(pillow).enhance(1.8)),
        ({"contrast": 0.5}, Image.blend(grey, pillow, 0.5)),
        ({"contrast": 1.6}, Image.blend(grey, pillow, 1.6)),
        ({"gamma": 2.2}, pillow.point([round(255 * (v / 255) ** 2.2) for v in range(256)] * 3)),
    ]
    for changes, expected in cases:
        parameters = replace(
            ImageParameters.identity(1), **{k: torch.tensor([v]) for k, v in changes.items()}
        )
        found = augment(image, parameters)[0].numpy().astype(int)
        assert np.abs(found - np.asarray(expected, int)).max() <= 1, changes


def test_blur_against_scipy_and_pillow() -> None:
    """scipy within one grey level; Pillow within six: its Gaussian is three box filters."""
    image = smooth_picture()
    for sigma in (0.8, 1.5, 2.5):
        parameters = replace(ImageParameters.identity(1), blur_px=torch.tensor([sigma]))
        found = augment(image, parameters)[0].numpy().astype(int)
        radius = int(np.ceil(3 * sigma))
        true = gaussian_filter(
            image[0].double().numpy(), (sigma, sigma, 0), mode="nearest", radius=(radius, radius, 0)
        )
        assert np.abs(found - true).max() <= 1, sigma
        pillow = Image.fromarray(image[0].numpy()).filter(ImageFilter.GaussianBlur(sigma))
        assert np.abs(found - np.asarray(pillow, int)).max() <= 6, sigma


def test_a_crop_is_pillows_bilinear_one() -> None:
    image = smooth_picture(40, 60)
    parameters = replace(ImageParameters.identity(1), crop=torch.tensor([[0.2, 0.1, 0.5]]))
    found = augment(image, parameters)[0].numpy().astype(int)
    box = (0.1 * 60, 0.2 * 40, 0.6 * 60, 0.7 * 40)
    pillow = Image.fromarray(image[0].numpy())
    expected = np.asarray(pillow.resize((60, 40), Image.Resampling.BILINEAR, box=box), int)
    inner = np.abs(found - expected)[2:-2, 2:-2]  # Pillow takes nothing from outside of the box
    assert inner.max() <= 1


def test_a_shift_moves_whole_pixels_and_repeats_the_border() -> None:
    images = pictures(1, 10, 20)
    parameters = replace(ImageParameters.identity(1), crop=torch.tensor([[0.2, -0.1, 1.0]]))
    found = augment(images, parameters)[0]
    rows = torch.arange(2, 12).clamp(max=9)
    columns = torch.arange(-2, 18).clamp(min=0)
    assert torch.equal(found, images[0][rows][:, columns])


def test_hue_turns_the_chroma_plane() -> None:
    """Against the standard library's YIQ, whose coefficients have two digits: within 0.03."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(0.35, 0.65, (1, 5, 5, 3)).astype(np.float32)
    parameters = replace(ImageParameters.identity(1), hue=torch.tensor([0.3]))
    found = augment(torch.from_numpy(colours), parameters).numpy()
    turn = np.exp(2j * np.pi * 0.3)
    for old, new in zip(colours.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        y, i, q = colorsys.rgb_to_yiq(*old)
        turned = complex(i, q) * turn
        expected = colorsys.yiq_to_rgb(y, turned.real, turned.imag)
        np.testing.assert_allclose(new, expected, atol=0.03)
    grey = torch.full((1, 4, 4, 3), 0.4)
    torch.testing.assert_close(augment(grey, parameters), grey)


def test_motion_spreads_a_point_along_a_line() -> None:
    for down, right in ((0.0, 6.0), (5.0, 0.0), (3.0, 4.0)):
        point = torch.zeros(1, 21, 21, 3)
        point[0, 10, 10] = 1
        moved = replace(ImageParameters.identity(1), motion_px=torch.tensor([[down, right]]))
        spread = augment(point, moved)[0, :, :, 0].double()
        assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
        y, x = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
        along = ((y - 10) * down + (x - 10) * right) / np.hypot(down, right)
        assert float((spread * along).sum()) == pytest.approx(0, abs=1e-5)
        length = float((12 * (spread * along**2).sum()).sqrt())
        assert length == pytest.approx(np.hypot(down, right), rel=0.2)
        across = ((y - 10) * right - (x - 10) * down) / np.hypot(down, right)
        assert float((spread * across**2).sum()) < 0.2


def test_light_boxes_and_noise_by_hand() -> None:
    half = torch.full((1, 40, 50, 3), 0.5)
    same = ImageParameters.identity(1)
    lit = augment(half, replace(same, gradient=torch.tensor([[0.4, -0.2]])))[0]
    assert float(lit[0, 0, 0]) == pytest.approx(0.5 * (1 - 0.39 + 0.196), abs=1e-6)
    assert float(lit[39, 49, 0]) == pytest.approx(0.5 * (1 + 0.39 - 0.196), abs=1e-6)

    box, red = torch.tensor([[[0.25, 0.5, 0.75, 0.6]]]), torch.tensor([[[1.0, 0.0, 0.25]]])
    covered = augment(half, replace(same, boxes=box, box_colours=red))[0]
    inside = torch.zeros(40, 50, dtype=torch.bool)
    inside[10:30, 25:30] = True
    assert torch.equal(covered[inside], red[0].expand(100, 3))
    assert torch.equal(covered[~inside], half[0][~inside])

    many = replace(same, noise=torch.tensor([0.05])).each(3)
    noisy = augment(half.expand(3, -1, -1, -1), many)
    assert float((noisy - 0.5).mean()) == pytest.approx(0, abs=2e-3)
    assert float((noisy - 0.5).std()) == pytest.approx(0.05, rel=0.03)
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(augment(half, many.rows(slice(1, 2)))[0], noisy[1])


def test_parameters_are_replayed_on_another_camera_of_another_size() -> None:
    half = replace(ImageParameters.identity(1), boxes=torch.tensor([[[0, 0, 0.5, 1.0]]]))
    half = replace(half, box_colours=torch.zeros(1, 1, 3))
    for height in (10, 24):
        found = augment(torch.full((1, height, 8, 3), 200, dtype=torch.uint8), half)[0]
        assert (found[: height // 2] == 0).all() and (found[height // 2 :] == 200).all()


def test_ranges_are_lost_noisy_and_wrong_as_often_as_asked() -> None:
    depth = torch.full((1, 200, 300), 2.0)
    given = RangeParameters.identity(1)
    lost = augment_depth(depth, replace(given, dropout=torch.tensor([0.3])))
    assert float((lost == 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert set(lost.unique().tolist()) == {0.0, 2.0}
    noise = {"noise_m": torch.tensor([0.01]), "noise_share": torch.tensor([0.005])}
    noisy = augment_depth(depth, replace(given, **noise)) - 2
    assert float(noisy.std()) == pytest.approx(0.02, rel=0.02)
    odd = {"outliers": torch.tensor([0.2]), "outlier_low_m": torch.tensor([4.0])}
    wrong = augment_depth(depth, replace(given, **odd, outlier_high_m=torch.tensor([8.0])))
    away = wrong[wrong != 2]
    assert len(away) / wrong.numel() == pytest.approx(0.2, abs=0.01)
    assert 4 <= float(away.min()) < 4.1 and 7.9 < float(away.max()) <= 8

    points = torch.nn.functional.normalize(torch.randn(1, 5000, 3), dim=-1) * 3
    moved = augment_points(points, replace(given, **noise, dropout=torch.tensor([0.1])))
    gone = moved.isnan().any(dim=-1)
    assert float(gone.double().mean()) == pytest.approx(0.1, abs=0.02)
    there, before = moved[~gone], points[~gone]
    assert float((there.norm(dim=-1) - 3).std()) == pytest.approx(0.025, rel=0.05)
    torch.testing.assert_close(there / there.norm(dim=-1, keepdim=True), before / 3)


def calls() -> list[tuple[Any, tuple[Any, ...]]]:
    operators = torch.ops.robocache
    images = pictures(2, 5, 6)
    tables = (images, *tables_for(everything(2), 5, 6), torch.float32, "torch")
    depth = torch.rand(2, 4, 5)
    given = (depth, *range_tables(ranges(2)), False, None)
    return [
        (operators.augment.default, tables),
        (operators.augment_out.default, (*tables, torch.empty(2, 5, 6, 3))),
        (operators.augment_ranges.default, given),
        (operators.augment_ranges_out.default, (*given, torch.empty(2, 4, 5))),
    ]


@pytest.mark.parametrize("number", range(4))
def test_the_operators_are_sound(number: int) -> None:
    operator, arguments = calls()[number]
    torch.library.opcheck(operator, arguments)


def test_augmentation_inside_a_compiled_function() -> None:
    images, tables = pictures(2, 8, 9), tables_for(everything(2), 8, 9)

    def twice(given: Tensor) -> Tensor:
        return augment(given, tables, dtype=torch.float32) * 2

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(images), twice(images))


def test_results_are_written_where_asked() -> None:
    images, parameters = pictures(2, 5, 6), everything(2)
    out = torch.full((2, 5, 6, 3), 7, dtype=torch.uint8)
    for backend in ("torch", "numba", "triton"):
        out.fill_(7)
        assert augment(images, parameters, out=out, backend=backend) is out
        assert torch.equal(out, augment(images, parameters))
    depth = torch.rand(2, 4, 5)
    place = torch.empty_like(depth)
    assert augment_depth(depth, ranges(2), out=place) is place
    assert torch.equal(place, augment_depth(depth, ranges(2)))


def test_results_are_not_written_over_what_is_read() -> None:
    images, parameters = pictures(2, 5, 6), everything(2)
    with pytest.raises(ConfigError, match="out shares memory with images"):
        augment(images, parameters, out=images)
    depth = torch.rand(3, 4, 5)
    with pytest.raises(ConfigError, match="out shares memory with depth"):
        augment_depth(depth[:2], ranges(2), out=depth[1:])
    expected = augment_depth(depth[:2], ranges(2))
    for backend in ("torch", "numba", "triton"):  # each range follows from itself alone
        place = depth[:2].clone()
        loss = (torch.ones(5, requires_grad=True) * place).sum()
        assert torch.equal(augment_depth(place, ranges(2), out=place, backend=backend), expected)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise": torch.zeros(1)}, r"noise of ImageParameters must be a tensor \(2,\)"),
        ({"frame": torch.zeros(1, dtype=torch.int64)}, r"frame of .* \(2,\) of int64"),
        ({"key": torch.zeros(2)}, r"key of .* of int64, got \(2,\) torch.float32"),
        ({"brightness": 1.5}, r"brightness of .* got float 1.5"),
        ({"crop": torch.zeros(2, 2)}, r"crop of .* \(2, 3\) of numbers, got \(2, 2\)"),
        ({"boxes": torch.zeros(2, 3, 4)}, r"box_colours of .* \(2, 3, 3\) of numbers"),
    ],
)
def test_parameters_have_a_row_for_each_sample(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        augment(pictures(2, 5, 6), replace(ImageParameters.identity(2), **changed))


def test_tables_have_a_row_for_each_sample() -> None:
    images = pictures(2, 5, 6)
    tables = tables_for(everything(2), 5, 6)
    for name in ImageTables._fields:
        short = tables._replace(**{name: getattr(tables, name)[:1]})
        with pytest.raises(ShapeError, match=rf"1 samples of parameters \({name}\) for 2 images"):
            augment(images, short)
    numbers = range_tables(ranges(2))._replace(numbers=torch.zeros(1, 4))
    with pytest.raises(ShapeError, match=r"\(numbers\) for 2 of depth"):
        augment_depth(torch.rand(2, 4, 5), numbers)
    with pytest.raises(ConfigError, match="finite: dropout"):
        augment_depth(torch.rand(2, 4, 5), replace(ranges(2), dropout=torch.tensor([0, torch.nan])))
    double = replace(everything(2), noise=everything(2).noise.double())
    assert torch.equal(augment(images, double), augment(images, everything(2)))
    asked = replace(everything(2), noise=torch.zeros(2, requires_grad=True))
    for wrong in (
        lambda: augment(images, asked),
        lambda: augment(images, tables, out=images.float().requires_grad_(), dtype=torch.float32),
    ):
        with pytest.raises(ConfigError, match="gradient"):
            wrong()


@pytest.mark.parametrize("blurred", [False, True])
def test_what_is_no_picture_stays_where_it_is(blurred: bool) -> None:
    """Pixels count as what they are brought to, whatever else is in the batch."""
    images = torch.rand(2, 6, 7, 3)
    images[0, 2, 3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    images[0, 4, 4] = torch.tensor([-3.0, 2.0, 1.5])
    parameters = everything(2)
    if blurred:
        parameters = replace(parameters, blur_px=torch.tensor([0.0, 1.5]))
    else:
        parameters = ImageParameters.identity(2)
    tame = images.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    for backend in ("torch", "numba", "triton"):
        expected = augment(tame, parameters, backend=backend)
        assert same_bits(augment(images, parameters, backend=backend), expected)
        alone = augment(images[:1], parameters.rows(slice(0, 1)), backend=backend)
        assert same_bits(alone, expected[:1])


@settings(max_examples=15, deadline=None)
@given(value=some.floats(width=32), place=some.floats(width=32), edge=some.integers(-(2**31), 9))
def test_nothing_is_read_or_written_outside_whatever_the_numbers(value, place, edge) -> None:
    """Not finite pixels, crops far away, boxes of any edges: the same on every backend."""
    images = torch.full((1, 5, 6, 3), 0.5)
    images[0, 2, 3, 1] = value
    tables = tables_for(everything(3).rows(slice(2, 3)), 5, 6)
    crop = torch.tensor([[place, -place, value]])
    boxes = torch.tensor([[[edge, edge, 3, 2**31 - 1], [2, -3, edge, edge]]], dtype=torch.int32)
    wild = tables._replace(crop=crop, boxes=boxes)
    expected = augment(images, wild, backend="torch")
    assert torch.isfinite(expected).all()
    for backend in ("numba", "triton"):
        with np.errstate(all="ignore"):
            assert same_bits(augment(images, wild, backend=backend), expected), backend


def test_mistakes_are_named() -> None:
    images, same = pictures(2, 5, 6), ImageParameters.identity(2)
    wrong: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ShapeError, r"images must be", lambda: augment(images[0], same)),
        (ShapeError, r"images must be", lambda: augment(images.double(), same)),
        (ShapeError, r"images must be a torch.Tensor", lambda: augment(images.numpy(), same)),
        (ShapeError, r"no pixels", lambda: augment(images[:, :0], same)),
        (ShapeError, r"2 samples", lambda: augment(images[:1], same)),
        (ShapeError, r"dtype must", lambda: augment(images, same, dtype=torch.int64)),
        (ShapeError, r"out must", lambda: augment(images, same, out=images[:1])),
        (ConfigError, r"no gradient", lambda: augment(images.float().requires_grad_(), same)),
        (ConfigError, r"finite: hue", lambda: augment(images, replace(same, hue=same.hue / 0))),
        (ConfigError, r"gamma must", lambda: augment(images, replace(same, gamma=0 * same.gamma))),
        (ConfigError, r"got RangeParameters", lambda: augment(images, ranges(2))),
        (ConfigError, r"got ImageParameters", lambda: augment_depth(torch.rand(2, 3, 3), same)),
        (ConfigError, r"backend of augment", lambda: augment(images, same, backend="fast")),
        (ShapeError, r"depth must", lambda: augment_depth(torch.rand(2, 3), ranges(2))),
        (ShapeError, r"points must", lambda: augment_points(torch.rand(2, 3, 2), ranges(2))),
        (ShapeError, r"3 samples", lambda: augment_depth(torch.rand(2, 3, 3), ranges(3))),
        (
            ShapeError,
            r"contiguous",
            lambda: augment_depth(
                torch.rand(2, 3, 3), ranges(2), out=torch.rand(2, 3, 3).transpose(1, 2)
            ),
        ),
    ]
    for kind, words, call in wrong:
        with pytest.raises(kind, match=words):
            call()
