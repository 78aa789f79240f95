"""Randomization: what happens to a sample follows from its seed and number, and lies in bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError, ShapeError
from robocache.core.stream import StreamSpec
from robocache.sim_to_real import (
    DepthRanges,
    DomainRandomizer,
    ImageRanges,
    Randomization,
    StreamRandomizer,
    is_changed,
)

IMAGES = ImageRanges(
    brightness=(0.6, 1.4),
    contrast=(0.7, 1.2),
    saturation=(0.5, 1.5),
    hue=(-0.1, 0.2),
    gamma=(0.5, 2.0),
    gradient=0.4,
    blur_px=(0.5, 1.5),
    blur_probability=0.3,
    motion_px=(1.0, 5.0),
    motion_probability=0.2,
    noise=(0.01, 0.05),
    boxes=2,
    box_probability=0.25,
    box_side=(0.1, 0.3),
    scale=(0.8, 0.9),
    shift=0.02,
)
DEPTH = DepthRanges(
    dropout=(0.1, 0.2), noise_m=(0.0, 0.01), outliers=(0.0, 0.05), outlier_m=(1.0, 2.0)
)
BOTH = Randomization(IMAGES, DEPTH, lidar=("velodyne",))


def test_drawn_parameters_lie_in_their_bounds_and_fill_them() -> None:
    drawn = DomainRandomizer(BOTH, 5).image_parameters(range(4000))
    for name in ("brightness", "contrast", "saturation", "hue", "gamma", "noise"):
        low, high = getattr(IMAGES, name)
        values = getattr(drawn, name)
        width = high - low
        assert low - 1e-6 <= float(values.min()) < low + 0.01 * width, name
        assert high - 0.01 * width < float(values.max()) <= high + 1e-6, name
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.02 * width), name
    blurred = drawn.blur_px > 0
    assert float(blurred.double().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(drawn.blur_px[blurred].min()) >= 0.5 and float(drawn.blur_px.max()) <= 1.5
    length = drawn.motion_px.norm(dim=1)
    assert float((length > 0).double().mean()) == pytest.approx(0.2, abs=0.03)
    assert float(length.max()) <= 5.0001 and float(length[length > 0].min()) >= 0.9999
    assert float(drawn.gradient.norm(dim=1).max()) <= 0.4001
    top, left, side = drawn.crop.unbind(1)
    assert float(side.min()) >= 0.8 and float(side.max()) <= 0.9
    for edge in (top, left):
        assert float((edge - (1 - side) / 2).abs().max()) <= 0.02001
    there = drawn.boxes[..., 2] > drawn.boxes[..., 0]
    assert float(there.double().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(drawn.boxes.min()) >= 0 and float(drawn.boxes.max()) <= 1.0001
    apart = np.corrcoef(torch.stack([drawn.brightness, drawn.contrast, drawn.hue, side]).numpy())
    assert np.abs(apart - np.eye(4)).max() < 0.06


def test_a_sample_is_the_same_in_any_batch_and_of_any_view() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 24, 32, 3), np.uint8))
    randomizer = DomainRandomizer(BOTH, 3)
    numbers = [7, 2**40, 0, 3, 7, 12]
    whole, parameters = randomizer.images(frames, numbers)
    alone, _ = randomizer.images(frames[1:2], [2**40])
    assert torch.equal(alone[0], whole[1])
    again, _ = randomizer.images(frames, [0] * 6, parameters)
    assert torch.equal(again, whole)
    assert torch.equal(parameters.brightness[0], parameters.brightness[4])
    other, _ = DomainRandomizer(BOTH, 4).images(frames, numbers)
    assert not torch.equal(other, whole)

    depth = torch.full((2, 20, 20), 1500, dtype=torch.int32).to(torch.uint16)
    changed, used = randomizer.depth(depth, [1, 2])
    lost = (changed.int() == 0).double().mean(dim=(1, 2))
    torch.testing.assert_close(lost, used.dropout.double(), atol=0.06, rtol=0)
    points = torch.ones(2, 500, 3)
    moved, _ = randomizer.points(points, [1, 2], used)
    assert float(moved.isnan().any(dim=2).double().mean()) == pytest.approx(0.15, abs=0.06)


def test_frames_of_a_window_differ_in_noise_alone() -> None:
    still = ImageRanges(brightness=(0.5, 1.5), noise=(0.02, 0.02))
    spec = StreamSpec((16, 16, 3), "uint8", 20.0)
    randomizer = StreamRandomizer(Randomization(still), 0, "camera", spec)
    grey = torch.full((5, 3, 16, 16, 3), 120, dtype=torch.uint8)
    there = torch.ones(5, 3, dtype=torch.bool)
    seen = randomizer.windows(grey, range(5), there).float()
    assert not torch.equal(seen[:, 0], seen[:, 1])
    mean = seen.mean(dim=(2, 3, 4))
    torch.testing.assert_close(mean[:, 0], mean[:, 1], atol=1.5, rtol=0)
    assert float(mean[:, 0].std()) > 10
    other = StreamRandomizer(Randomization(still), 0, "wrist", spec)
    assert not torch.equal(other.windows(grey, range(5), there).float(), seen)


def test_which_streams_are_changed() -> None:
    picture, depth = StreamSpec((84, 84, 3), "uint8"), StreamSpec((84, 84), "uint16", unit="mm")
    metres = StreamSpec((60, 80), "float32", unit="m")
    pose, scan = StreamSpec((2, 7), unit="m"), StreamSpec((4096, 3), "float32", unit="m")
    classes = StreamSpec((84, 84), "uint8", unit="class")
    for config, expected in (
        (BOTH, (True, True, True, False, False, True)),
        (Randomization(IMAGES), (True, False, False, False, False, False)),
        (Randomization(depth=DEPTH), (False, True, True, False, False, False)),
        (Randomization(), (False,) * 6),
    ):
        specs = (picture, depth, metres, pose, classes)
        found = [is_changed(config, "any", spec) for spec in specs]
        assert (*found, is_changed(config, "velodyne", scan)) == expected


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (ImageRanges, {"brightness": (1.2, 0.8)}),
        (ImageRanges, {"noise": (-0.1, 0.1)}),
        (ImageRanges, {"gamma": (0.0, 1.0)}),
        (ImageRanges, {"hue": (0.0, float("nan"))}),
        (ImageRanges, {"blur_probability": 1.5}),
        (ImageRanges, {"boxes": -1}),
        (ImageRanges, {"boxes": 1.5}),
        (ImageRanges, {"box_side": (0.5, 2.0)}),
        (ImageRanges, {"hue": 0.1}),
        (ImageRanges, {"noise": (0.0, 0.1, 0.2)}),
        (ImageRanges, {"scale": ("a", "b")}),
        (ImageRanges, {"gradient": (0.0, 0.5)}),
        (DepthRanges, {"dropout": (0.0, 1.1)}),
        (DepthRanges, {"outlier_m": (2.0, 1.0)}),
    ],
)
def test_bounds_that_mean_nothing_are_refused(kind, given) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        kind(**given)


def test_seeds_numbers_and_parameters_that_mean_nothing_are_refused() -> None:
    for seed in (-1, 1.5, 2**63, "a"):
        with pytest.raises(ConfigError, match="seed"):
            DomainRandomizer(BOTH, seed)
    randomizer = DomainRandomizer(BOTH, 0)
    for index in ([-1, 0], [0.5, 1.0], [[0, 1]], 3, [True, False]):
        with pytest.raises(ShapeError, match="index must be"):
            randomizer.image_parameters(index)
        with pytest.raises(ShapeError, match="index must be"):
            randomizer.range_parameters(index)
    assert len(randomizer.image_parameters([])) == 0
    frames, depth = torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.ones(2, 8, 8)
    with pytest.raises(ConfigError, match=r"must be ImageParameters.* got RangeParameters"):
        randomizer.images(frames, [0, 1], randomizer.range_parameters([0, 1]))
    with pytest.raises(ConfigError, match=r"must be RangeParameters.* got ImageParameters"):
        randomizer.depth(depth, [0, 1], randomizer.image_parameters([0, 1]))
    with pytest.raises(ConfigError, match="several names"):
        Randomization(lidar="velodyne")


def test_what_is_called_a_scan_must_be_one() -> None:
    with pytest.raises(ConfigError, match=r"'velodyne', uint8 \(84, 84, 3\)"):
        is_changed(BOTH, "velodyne", StreamSpec((84, 84, 3), "uint8"))
