"""Pictures of docs/ops.md and docs/sim_to_real.md: alignment policies and augmentations.

    python scripts/draw_operations.py

Records a demonstration of Meta-World's `door-open` with late and lossy sensors, and one view of
the scene, and draws docs/pictures/alignment.png, augmentation.jpg and ranges.jpg.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from robocache.core import Episode, Stream
from robocache.ops import (
    ImageParameters,
    RangeParameters,
    apply_plan,
    augment,
    augment_depth,
    plan_resample,
)
from robocache.rollouts import RolloutPlan
from robocache.rollouts.worker import Worker
from robocache.sim_to_real import LatencyConfig

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDE, TALL, LEFT, TOP = 1500, 190, 330, 34
INK, GREY, BLUE, RED, GREEN = "#1a1a1a", "#9a9a9a", "#1f6fd0", "#c8372d", "#2f8f4e"
COLOURS = ["#ced4da", "#c48c5c", "#9696a0", "#d64541", "#4285c2"]
COLOURS += ["#5cac6c", "#e8b23c", "#8c62b0", "#5a5a64", "#f0f0eb"]
CLOCKS = {
    "joints": "joints, 200 Hz",
    "end_effector": "end_effector, 100 Hz",
    "object_pose": "object_pose, 50 Hz, 30 % lost",
}
LINK = LatencyConfig(mean_s=0.06, jitter_s=0.02, drop_probability=0.3)
FONT = ImageFont.load_default(20)
SMALL = ImageFont.load_default(17)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    episode = recorded()
    draw_alignment(episode).save(FOLDER / "alignment.png", optimize=True)
    scene, depth = view()
    draw_augmentation(scene).save(FOLDER / "augmentation.jpg", quality=88)
    draw_ranges(depth).save(FOLDER / "ranges.jpg", quality=88)


def recorded(task: str = "door-open", **options: Any) -> Episode:
    """A demonstration whose object's pose is late and lossy."""
    plan = RolloutPlan(
        tasks=(f"metaworld/{task}",),
        episodes=1,
        seed=0,
        purpose="collect",
        actor="expert",
        env_version="",
        env_options=options,
        latency={} if options else {"object_pose": LINK},
        frames_purpose="a picture" if options else "",
    )
    return Worker(plan, FOLDER, None).episodes(plan.jobs())[0]


def draw_alignment(episode: Episode) -> Image.Image:
    """What every policy makes of one number of a stream at 60 Hz, and what can be known live."""
    pose = episode.stream("object_pose")
    turning = np.asarray(pose.values[:])[:, 0, 3:]
    begin = pose.times_s[int(np.argmax(np.abs(np.diff(turning[:, 3]))))] - 0.35
    at = np.arange(begin, begin + 0.5, 1 / 60)
    handle = Stream(np.asarray(pose.values[:])[:, 0, 0], pose.times_s, pose.spec, pose.available_s)
    quaternion = Stream(turning, pose.times_s, pose.spec, pose.available_s)
    panels: list[tuple[str, str, Stream, dict[str, Any]]] = [
        ("previous", "object_pose: the latest sample", handle, {"method": "previous"}),
        ("nearest", "may look ahead", handle, {"method": "nearest"}),
        ("linear", "between two samples", handle, {"method": "linear"}),
        (
            "linear, max_gap_s=0.03",
            "red: invalid, the sample is held",
            handle,
            {"method": "linear", "max_gap_s": 0.03},
        ),
        (
            "previous, live",
            "only what had arrived by then",
            handle,
            {"method": "previous", "available_times": True},
        ),
        ("slerp", "a quaternion's z, always of length 1", quaternion, {"method": "slerp"}),
    ]
    top = TOP + 40 * (len(CLOCKS) + 1) + 20
    image = Image.new("RGB", (WIDE, top + TALL * len(panels) + 50), "white")
    draw = ImageDraw.Draw(image)
    draw.text((20, 8), "A door is opened: every sensor on its own clock", INK, FONT)
    clocks = {name: episode.stream(name).times_s for name in CLOCKS}
    for number, (name, times) in enumerate({**clocks, "target times, 60 Hz": at}.items()):
        y = TOP + 30 + 40 * number
        draw.text((20, y - 12), CLOCKS.get(name, name), INK, SMALL)
        for second in times[(times > at[0] - 0.02) & (times < at[-1] + 0.02)]:
            x = _across(second, at)
            draw.line((x, y - 9, x, y + 9), GREY if name in clocks else BLUE, 3)
    for number, (name, words, stream, options) in enumerate(panels):
        _panel(draw, top + TALL * number, name, words, stream, at, dict(options))
    y = top + TALL * len(panels) + 14
    draw.ellipse((LEFT, y, LEFT + 12, y + 12), outline=GREY, width=3)
    draw.text((LEFT + 20, y - 4), "sample", INK, SMALL)
    draw.ellipse((LEFT + 150, y + 2, LEFT + 158, y + 10), fill=BLUE)
    draw.text((LEFT + 170, y - 4), "value at a target time", INK, SMALL)
    draw.text((LEFT + 430, y - 4), f"{at[0]:.2f} s to {at[-1]:.2f} s", INK, SMALL)
    return image


def _panel(
    draw: ImageDraw.ImageDraw,
    top: int,
    name: str,
    words: str,
    stream: Stream,
    at: NDArray[np.float64],
    options: dict[str, Any],
) -> None:
    times, target = torch.from_numpy(stream.times_s), torch.from_numpy(at)
    if options.pop("available_times", False):
        options |= {"available_times": torch.from_numpy(stream.usable_s()), "now": target}
    plan = plan_resample(times, target, **options)
    given = torch.from_numpy(np.asarray(stream.values[:], np.float64))
    found = apply_plan(given, plan, method=options["method"])
    seen, made = (values if values.ndim == 1 else values[:, 3] for values in (given, found))
    near = (times > at[0] - 0.03) & (times < at[-1] + 0.03)
    low, high = float(seen[near].min()), float(seen[near].max())

    def place(second: float, value: float) -> tuple[float, float]:
        return _across(second, at), top + TALL - 26 - (value - low) / max(high - low, 1e-9) * (
            TALL - 52
        )

    draw.line((LEFT, top + TALL - 6, WIDE - 20, top + TALL - 6), "#dddddd", 2)
    draw.text((20, top + 50), name, INK, FONT)
    draw.text((20, top + 80), words, GREY, SMALL)
    for second, value in zip(times[near].tolist(), seen[near].tolist(), strict=True):
        x, y = place(second, value)
        draw.ellipse((x - 8, y - 8, x + 8, y + 8), outline=GREY, width=3)
    dots = zip(at.tolist(), made.tolist(), plan.valid.tolist(), strict=True)
    for second, value, valid in dots:
        x, y = place(second, value)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=BLUE if valid else RED)


def _across(second: float, at: NDArray[np.float64]) -> float:
    return LEFT + 20 + (second - at[0] + 0.02) / (at[-1] - at[0] + 0.04) * (WIDE - LEFT - 50)


def view(side: int = 224) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """The scene as a camera sees it, coloured by class and by how it faces the light; and depth."""
    names = ["corner3_depth", "corner3_segmentation"]
    options = {"image_height": side, "image_width": side, "camera_geoms": "visual"}
    episode = recorded(sensors=("end_effector", *names), max_steps=60, **options)
    depth, classes = (np.asarray(episode.stream(name).values[0]) for name in names)
    palette = np.array([ImageColor.getrgb(colour) for colour in COLOURS])
    numbers = np.unique(classes, return_inverse=True)[1].reshape(classes.shape)
    slope_y, slope_x = np.gradient(depth.astype(float) / 1000)
    facing = 1 / np.sqrt(1 + (120 * slope_x) ** 2 + (120 * slope_y) ** 2)
    light = 0.45 + 0.55 * np.clip(facing, 0, 1)
    return (palette[numbers % len(COLOURS)] * light[..., None]).astype(np.uint8), depth


def draw_augmentation(scene: NDArray[np.uint8]) -> Image.Image:
    """The scene with each change alone, and with all of `sim_to_real=strong`."""
    same = ImageParameters.identity(1)

    def one(**changes: Any) -> ImageParameters:
        return replace(same, **{name: torch.tensor([v]) for name, v in changes.items()})

    shown = [
        ("as it is", same),
        ("brightness 1.4", one(brightness=1.4)),
        ("contrast 0.5", one(contrast=0.5)),
        ("saturation 1.8", one(saturation=1.8)),
        ("hue 0.15 turns", one(hue=0.15)),
        ("gamma 2", one(gamma=2.0)),
        ("gradient (0, 0.6)", one(gradient=[0.0, 0.6])),
        ("blur_px 2", one(blur_px=2.0)),
        ("motion_px (0, 12)", one(motion_px=[0.0, 12.0])),
        ("noise 0.08", one(noise=0.08)),
        (
            "two boxes",
            one(
                boxes=[[0.2, 0.55, 0.5, 0.7], [0.6, 0.1, 0.75, 0.5]],
                box_colours=[[0.1, 0.3, 0.2], [0.8, 0.7, 0.2]],
            ),
        ),
        ("crop of 0.7", one(crop=[0.2, 0.15, 0.7])),
    ]
    drawn = presets("strong").image_parameters(range(4))
    shown += [(f"strong, sample {n}", drawn.rows(slice(n, n + 1))) for n in range(4)]
    picture = torch.from_numpy(scene)[None]
    return grid([(name, augment(picture, p)[0].numpy()) for name, p in shown], columns=4)


def draw_ranges(depth: NDArray[np.uint16]) -> Image.Image:
    """Depth with each change alone, and with all of `sim_to_real=strong`."""
    same = RangeParameters.identity(1)

    def one(**changes: float) -> RangeParameters:
        return replace(same, **{name: torch.tensor([v]) for name, v in changes.items()})

    shown = [
        ("depth as it is", same),
        ("dropout 0.2", one(dropout=0.2)),
        ("noise_m 0.04", one(noise_m=0.04)),
        ("outliers 0.05", one(outliers=0.05, outlier_low_m=0.3, outlier_high_m=3.0)),
    ]
    drawn = presets("strong").range_parameters(range(4))
    shown += [(f"strong, sample {n}", drawn.rows(slice(n, n + 1))) for n in range(4)]
    picture = torch.from_numpy(depth)[None]
    far = float(np.percentile(depth, 99))

    def coloured(image: torch.Tensor) -> NDArray[np.uint8]:
        share = np.clip(image.numpy().astype(float) / far, 0, 1)
        colours = np.stack([255 * (1 - share), 200 * (1 - share) + 40, 90 + 160 * share], axis=2)
        colours[share == 0] = 0
        return colours.astype(np.uint8)

    return grid([(name, coloured(augment_depth(picture, p)[0])) for name, p in shown], columns=4)


def presets(name: str) -> Any:
    """The randomizer of a preset."""
    from robocache.cli.collect import CollectConfig
    from robocache.cli.configuration import load
    from robocache.sim_to_real import DomainRandomizer

    config = load("collect", CollectConfig, [f"sim_to_real={name}"])[0]
    randomization = config.sim_to_real.randomization
    assert randomization is not None
    return DomainRandomizer(randomization, 0)


def grid(pictures: list[tuple[str, NDArray[np.uint8]]], columns: int) -> Image.Image:
    """Pictures with their names, in rows."""
    height, width = pictures[0][1].shape[:2]
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * (width + 12) + 12, rows * (height + 38) + 6), "white")
    draw = ImageDraw.Draw(whole)
    for number, (name, picture) in enumerate(pictures):
        x = 12 + number % columns * (width + 12)
        y = 30 + number // columns * (height + 38)
        draw.text((x, y - 24), name, INK, SMALL)
        whole.paste(Image.fromarray(picture), (x, y))
    return whole


if __name__ == "__main__":
    main()
