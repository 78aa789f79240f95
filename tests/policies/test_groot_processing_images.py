"""Pictures: by hand, by Pillow, by colorsys."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image

from robocache.core.errors import ConfigError, ShapeError
from robocache.core.seeding import generator
from robocache.policies.groot_n16.processing.augment import (
    Augmentation,
    draw_augmentation,
    jittered,
    rotated,
)
from robocache.policies.groot_n16.processing.images import (
    ImageOptions,
    check_frames,
    cropped,
    image_tokens,
    letterboxed,
    network_pixels,
    process_frame,
)

pytest.importorskip("cv2", reason="opencv is not installed")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_bars_are_black_and_an_odd_one_is_below() -> None:
    square = letterboxed(np.full((2, 5, 3), 9, np.uint8))
    assert square[..., 0].tolist() == [[0] * 5, [9] * 5, [9] * 5, [0] * 5, [0] * 5]
    tall = letterboxed(np.full((3, 1, 3), 9, np.uint8))
    assert tall[0, :, 0].tolist() == [0, 9, 0]


def test_the_crop_lies_in_the_middle_and_is_rounded_down() -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 256, 3))
    middle = cropped(ramp, 0.95)
    assert middle.shape == (243, 243, 3)
    assert middle[0, 0, 0] == 6
    assert cropped(ramp, 0.95, (0.0, 0.0))[0, 0, 0] == 0
    assert cropped(ramp, 0.95, (0.999999, 0.0))[-1, 0, 0] == 255


def test_halving_averages_and_pillow_makes_252() -> None:
    big = picture(512, 512)
    blocks = big.reshape(256, 2, 256, 2, 3).astype(float).mean(axis=(1, 3))
    # Means that end in .5 may be rounded either way.
    small = np.floor(blocks + 0.5).astype(np.uint8)
    expected = np.asarray(Image.fromarray(small).resize((252, 252), Image.Resampling.BICUBIC))
    found = process_frame(big, ImageOptions(crop_fraction=1.0))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (
        process_frame(picture(256, 256), ImageOptions(crop_fraction=1.0)).tolist()
        == (
            np.asarray(
                Image.fromarray(picture(256, 256)).resize((252, 252), Image.Resampling.BICUBIC)
            )
        ).tolist()
    )


@pytest.mark.parametrize(
    ("shape", "letterbox", "expected"),
    [
        ((480, 640), True, (252, 252)),
        ((480, 640), False, (252, 336)),
        ((1280, 720), False, (448, 252)),
        ((8, 8), True, (252, 252)),
    ],
)
def test_sides_are_multiples_of_28(
    shape: tuple[int, int], letterbox: bool, expected: tuple[int, int]
) -> None:
    found = process_frame(picture(*shape), ImageOptions(letterbox=letterbox))
    assert found.shape == (*expected, 3)
    assert image_tokens(*expected) == {(252, 252): 81, (252, 336): 108, (448, 252): 144}[expected]


def test_pixels_lie_in_minus_one_to_one() -> None:
    pixels = network_pixels(np.array([[[0, 255, 51]]], np.uint8))
    assert pixels.shape == (1, 3, 1, 1)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels.reshape(-1), [-1, 1, -0.6], atol=1e-7)


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), "expected uint8"),
        (np.zeros((8, 8, 3), np.uint8), "expected uint8"),
        (np.zeros((1, 8, 8, 4), np.uint8), "expected uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), "expected 1 frames"),
        (np.zeros((1, 0, 8, 3), np.uint8), "sides of 1..8192"),
        (np.zeros((1, 1, 9000, 3), np.uint8), "sides of 1..8192"),
    ],
)
def test_other_frames_are_refused(frames: np.ndarray, problem: str) -> None:
    with pytest.raises(ShapeError, match=problem) as error:
        check_frames(frames, 1, "robot", "front")
    assert error.value.stream == "video.front"
    assert "embodiment robot" in str(error.value)


def test_a_very_long_picture_needs_a_letterbox() -> None:
    with pytest.raises(ShapeError, match="too long"):
        process_frame(picture(10, 100), ImageOptions(letterbox=False))


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_fraction": 0.0},
        {"crop_fraction": 1.5},
        {"shortest_image_edge": 10},
        {"color_jitter_params": {"hue": 0.7}},
        {"color_jitter_params": {"gamma": 0.1}},
        {"color_jitter_params": {"contrast": -0.1}},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ImageOptions(**wrong)  # type: ignore[arg-type]


def test_what_is_drawn_depends_on_the_generator_alone() -> None:
    jitter = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "hue": 0.08}
    many = [
        draw_augmentation(generator(1, "images", n), rotation_deg=10, jitter=jitter)
        for n in range(200)
    ]
    assert many[3] == draw_augmentation(generator(1, "images", 3), rotation_deg=10, jitter=jitter)
    assert len(set(many)) == 200
    for name, width in jitter.items():
        values = [getattr(one, name) - (name != "hue") for one in many]
        assert -width <= min(values) < -0.8 * width
        assert 0.8 * width < max(values) <= width
    assert -10 <= min(one.angle_deg for one in many) < -8
    assert len({one.order for one in many}) == 24
    plain = draw_augmentation(generator(1, "images", 3))
    assert plain.crop_yx == many[3].crop_yx
    assert (plain.brightness, plain.contrast, plain.saturation, plain.hue) == (1, 1, 1, 0)
    assert plain.angle_deg == 0


def test_a_quarter_turn_is_counterclockwise() -> None:
    square = picture(9, 9)
    assert rotated(square, 90.0).tolist() == np.rot90(square).tolist()


def changed(**factors: float) -> Augmentation:
    return Augmentation((0.0, 0.0), **factors)  # type: ignore[arg-type]


def test_colours_change_as_defined() -> None:
    small = np.array([[[100, 50, 200], [0, 250, 10]]], np.uint8)
    assert jittered(small, changed()).tolist() == small.tolist()
    bright = jittered(small, changed(brightness=1.5))
    assert bright.tolist() == [[[150, 75, 255], [0, 255, 15]]]
    grey = small @ np.array([0.299, 0.587, 0.114])
    faded = jittered(small, changed(saturation=0.0))
    assert np.abs(faded - grey[..., None]).max() <= 0.51
    flat = jittered(small, changed(contrast=0.0))
    assert np.abs(flat - grey.mean()).max() <= 0.51


def test_the_hue_turns_as_in_colorsys() -> None:
    small = picture(4, 4)
    found = jittered(small, changed(hue=0.1))
    for before, after in zip(small.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(before / 255))
        expected = np.array(colorsys.hsv_to_rgb((h + 0.1) % 1, s, v)) * 255
        assert np.abs(after - expected).max() <= 1


def test_an_augmentation_that_changes_nothing_is_evaluation() -> None:
    options = ImageOptions()
    middle = Augmentation((0.5, 0.5))
    # 14 positions: the middle one is 7, evaluation takes 6
    assert process_frame(picture(300, 300), options, Augmentation((0.45, 0.45))).tolist() == (
        process_frame(picture(300, 300), options).tolist()
    )
    assert (
        process_frame(picture(300, 300), options, middle)
        != process_frame(picture(300, 300), options)
    ).any()
