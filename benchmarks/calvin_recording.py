"""A CALVIN split of realistic size: a table, a floor and an arm of balls, seen by CALVIN's cameras.

Depth is cast ray by ray through the static camera's pixels, so that files compress like recorded
ones and voxels have surfaces. Actions, states and the hand's pictures are made up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

SIZE, HAND_SIZE = 200, 84
LOOK_FROM, LOOK_AT = (2.871, -2.167, 2.555), (-0.026, -0.030, 0.392)
CONFIG = {
    "cameras": {
        "static": {
            "fov": 10,
            "width": SIZE,
            "height": SIZE,
            "look_from": list(LOOK_FROM),
            "look_at": list(LOOK_AT),
            "up_vector": [0.404, 0.226, 0.886],
        },
        "gripper": {"fov": 75, "width": HAND_SIZE, "height": HAND_SIZE},
    },
    "env": {"control_freq": 30},
}
TABLE_M, HALF_WIDTH_M = 0.445, 0.45
BALLS, RADIUS_M = 5, 0.06
NEAR_M, FAR_M = 0.01, 10.0
FIRST = 358_482  # as in CALVIN's debug split


def write_split(folder: Path, episodes: int, steps: int) -> Path:
    """A split of `episodes` play episodes of `steps` frames each, in `folder`."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "merged_config.yaml").write_text(yaml.safe_dump(CONFIG))
    count = episodes * steps
    firsts = FIRST + np.arange(0, count, steps)
    np.save(folder / "ep_start_end_ids.npy", np.stack([firsts, firsts + steps - 1], axis=1))
    np.save(folder / "ep_lens.npy", np.full(episodes, steps))
    rays = _rays()
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"episode_{FIRST + number:07d}.npz"
        np.savez_compressed(path, **_frame(rays, number / 30, random))
    return folder


def _rays() -> NDArray[np.float64]:
    """(H, W, 3) what one metre of depth along the optical axis is in the world, for each pixel."""
    back = np.subtract(LOOK_FROM, LOOK_AT)
    back /= np.linalg.norm(back)
    right = np.cross(CONFIG["cameras"]["static"]["up_vector"], back)
    right /= np.linalg.norm(right)
    focal = SIZE / 2 / np.tan(np.deg2rad(CONFIG["cameras"]["static"]["fov"]) / 2)
    across = (np.arange(SIZE) - SIZE / 2) / focal
    x, y = across[None, :, None], -across[:, None, None]
    return x * right + y * np.cross(back, right) - back


def _frame(
    rays: NDArray[np.float64], time_s: float, random: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """What one file holds at this moment."""
    depth = _depth(rays, time_s)
    points = np.asarray(LOOK_FROM) + rays * depth[..., None]
    shade = 128 + 60 * np.sin(9 * points) + random.integers(0, 2, points.shape)
    phases = time_s + np.arange(46)
    numbers = np.sin(phases)
    hand = random.integers(90, 100, (HAND_SIZE, HAND_SIZE, 3))
    return {
        "actions": numbers[:7],
        "rel_actions": np.cos(phases[:7]),
        "robot_obs": numbers[7:22],
        "scene_obs": numbers[22:],
        "rgb_static": shade.astype(np.uint8),
        "rgb_gripper": hand.astype(np.uint8),
        "rgb_tactile": np.zeros((160, 120, 6), np.uint8),
        "depth_static": depth.astype(np.float32),
        "depth_gripper": random.uniform(0.1, 0.5, (HAND_SIZE, HAND_SIZE)).astype(np.float32),
        "depth_tactile": np.zeros((160, 120, 2), np.float32),
    }


def _depth(rays: NDArray[np.float64], time_s: float) -> NDArray[np.float64]:
    """(H, W) metres along the optical axis to the nearest surface, as a depth buffer keeps them."""
    eye = np.asarray(LOOK_FROM)
    depth = -eye[2] / rays[..., 2]
    table = (TABLE_M - eye[2]) / rays[..., 2]
    on_table = (np.abs(eye[:2] + rays[..., :2] * table[..., None]) < HALF_WIDTH_M).all(axis=-1)
    depth = np.where(on_table, np.minimum(depth, table), depth)
    long2 = (rays**2).sum(axis=-1)
    for ball in range(BALLS):
        angle = time_s + 0.4 * ball
        centre = (0.2 * np.cos(angle), 0.2 * np.sin(angle), TABLE_M + RADIUS_M * (1 + ball))
        towards = rays @ (eye - centre)
        inside = towards**2 - long2 * (((eye - centre) ** 2).sum() - RADIUS_M**2)
        near = (-towards - np.sqrt(np.maximum(inside, 0))) / long2
        depth = np.where(inside > 0, np.minimum(depth, near), depth)
    buffer = np.round((FAR_M - FAR_M * NEAR_M / depth) / (FAR_M - NEAR_M) * 2**24) / 2**24
    return FAR_M * NEAR_M / (FAR_M - (FAR_M - NEAR_M) * buffer)
