"""Small CALVIN folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = """
cameras:
  static: {_target_: calvin_env.camera.StaticCamera, name: static, fov: 90, aspect: 1,
    width: 8, height: 8, nearval: 0.01, farval: 10,
    look_from: [0.0, 0.0, 2.0], look_at: [0.0, 0.0, 0.0], up_vector: [0.0, 1.0, 0.0]}
  gripper: {_target_: calvin_env.camera.GripperCamera, name: gripper, fov: 75, width: 4, height: 4}
  tactile: {_target_: calvin_env.camera.tactile.TactileSensor, width: 120, height: 160}
env: {control_freq: 30, bullet_time_step: 240.0}
"""
WINDOWS = [(100, 104, "open the drawer", "open_drawer"), (102, 107, "push it", "push_drawer")]


def frame(number: int) -> dict[str, np.ndarray]:
    """What frame `number` holds."""
    random = np.random.default_rng(number)
    return {
        "actions": random.normal(size=7),
        "rel_actions": random.uniform(-1, 1, 7),
        "robot_obs": random.normal(size=15),
        "scene_obs": random.normal(size=24),
        "rgb_static": random.integers(1, 255, (8, 8, 3), dtype=np.uint8),
        "rgb_gripper": random.integers(1, 255, (4, 4, 3), dtype=np.uint8),
        "depth_static": random.uniform(1.0, 1.9, (8, 8)).astype(np.float32),
        "depth_gripper": random.uniform(0.1, 0.5, (4, 4)).astype(np.float32),
    }


def write_frame(folder: Path, number: int, arrays: dict[str, np.ndarray], digits: int = 7) -> None:
    np.savez_compressed(folder / f"episode_{number:0{digits}d}.npz", **arrays)


def write(
    folder: Path,
    play: Sequence[tuple[int, int]] = ((100, 107), (108, 110)),
    windows: Sequence[tuple[int, int, str, str]] | None = WINDOWS,
    *,
    digits: int = 7,
    scenes: Any = None,
) -> Path:
    """A split with these play episodes and annotated windows."""
    folder.mkdir(parents=True)
    for first, last in play:
        for number in range(first, last + 1):
            write_frame(folder, number, frame(number), digits)
    np.save(folder / "ep_start_end_ids.npy", np.array(play))
    np.save(folder / "ep_lens.npy", np.array([last - first + 1 for first, last in play]))
    if scenes is None:
        scenes = {"calvin_scene_D": [min(a for a, _ in play), max(b for _, b in play)]}
    np.save(folder / "scene_info.npy", np.array(scenes, dtype=object))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "merged_config.yaml").write_text(CONFIG)
    if windows is not None:
        write_words(folder, windows)
    return folder


def write_words(folder: Path, windows: Sequence[tuple[Any, Any, Any, Any]], **changes: Any) -> None:
    annotations = {
        "language": {
            "ann": [words for _, _, words, _ in windows],
            "task": [task for _, _, _, task in windows],
            "emb": np.zeros((len(windows), 1, 384), np.float32),
        },
        "info": {"episodes": [], "indx": [(first, last) for first, last, _, _ in windows]},
        **changes,
    }
    (folder / "lang_annotations").mkdir(exist_ok=True)
    path = folder / "lang_annotations" / "auto_lang_ann.npy"
    np.save(path, np.array(annotations, dtype=object))
