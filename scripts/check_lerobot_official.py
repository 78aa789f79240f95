"""Whether the lerobot package reads what this project writes, and reads the same.

    python scripts/check_lerobot_official.py --environment FOLDER [--light] [--dataset LEROBOT_V3]

Writes a small LeRobot v3.0 folder (or takes one), reads it here, reads it with lerobot 0.4.4 in an
environment of its own, and compares every number and every frame. The environment is made once:
`pip install lerobot==0.4.4`, several gigabytes; with `--light` a CPU build of torch and only what
its dataset classes import. Where its torchvision has no `VideoReader` (0.24 and later), frames come
from PyAV behind that interface; which frame belongs to which time stays the package's own code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "0.4.4"
LIGHT = (
    ["torch==2.13.0+cpu", "numpy<2.3", "pillow", "pandas", "datasets>=4,<4.9", "av>=15,<16"],
    ["huggingface_hub<0.36", "jsonlines", "packaging", "einops", "draccus==0.10.0", "deepdiff"],
    ["imageio[ffmpeg]", "termcolor", "pyserial", "gymnasium", "accelerate", "diffusers==0.35.2"],
    ["opencv-python-headless<4.13", "rerun-sdk==0.26.2"],
)
LIGHT_ALONE = [f"lerobot=={VERSION}", "torchvision==0.28.*", "torchcodec==0.13.*"]
FRAME_TOLERANCE = 2  # grey levels; two builds of FFmpeg may round a colour differently


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, required=True, help="folder of the venv")
    parser.add_argument("--light", action="store_true", help="CPU torch, few packages")
    parser.add_argument("--dataset", type=Path, help="a LeRobot v3.0 folder; else one is written")
    parser.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return compare(*arguments.inside)
    python = make_environment(arguments.environment, arguments.light)
    with tempfile.TemporaryDirectory() as folder:
        dataset = arguments.dataset or write_sample(Path(folder) / "sample")
        expected = Path(folder) / "expected.npz"
        read_here(dataset, expected)
        command = [str(python), __file__, "--environment", str(arguments.environment)]
        command += ["--inside", str(dataset), str(expected)]
        home = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(Path(folder) / "hf")}
        return subprocess.run(command, env={**os.environ, **home}, check=False).returncode


def make_environment(folder: Path, light: bool) -> Path:
    """The interpreter of the environment, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not python.is_file():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q"]
        if light:
            subprocess.run([*install, *(name for row in LIGHT for name in row)], check=True)
            subprocess.run([*install, "--no-deps", *LIGHT_ALONE], check=True)
        else:
            subprocess.run([*install, f"lerobot=={VERSION}"], check=True)
    return python


def write_sample(folder: Path) -> Path:
    """Three episodes with streams of every kind, some of them at another rate."""
    from robocache.core import AlignmentPolicy, Episode, Stream, StreamSpec
    from robocache.datasets.lerobot import write_lerobot

    def episode(number: int) -> Episode:
        random = np.random.default_rng(number)
        steps = 25 + 4 * number
        times = np.arange(steps) / 20
        fast = np.arange(5 * steps) / 100
        rows, columns = np.mgrid[0:96, 0:128]
        pictures = np.stack(
            [
                np.stack([rows + 3 * k, columns + k, rows + columns + 40 * number], axis=-1) % 256
                for k in range(steps)
            ]
        ).astype(np.uint8)
        linear = AlignmentPolicy("linear")
        streams = {
            "observation.state": Stream(
                random.normal(size=(5 * steps, 7)).astype(np.float32),
                fast,
                StreamSpec((7,), rate_hz=100.0, alignment=linear),
            ),
            "observation.images.front": Stream(
                pictures, times, StreamSpec((96, 128, 3), "uint8", 20.0)
            ),
            "observation.depth": Stream(
                random.integers(0, 60000, (steps, 6, 5)).astype(np.uint16),
                times,
                StreamSpec((6, 5), "uint16", 20.0),
            ),
            "observation.contact": Stream(
                random.random((steps, 2)) < 0.5, times, StreamSpec((2,), "bool", 20.0)
            ),
            "next.reward": Stream(
                random.normal(size=steps), times, StreamSpec((), "float64", 20.0), times + 0.05
            ),
            "action": Stream(
                random.normal(size=(steps, 4)).astype(np.float32),
                times,
                StreamSpec((4,), rate_hz=20.0),
                times + 0.05,
            ),
        }
        return Episode(f"sample/{number}", streams, f"öffne Schublade {number % 2}")

    write_lerobot((episode(number) for number in range(3)), folder, fps=20, robot_type="panda")
    return folder


def read_here(dataset: Path, target: Path) -> None:
    """What this project reads, row for row over all episodes."""
    from robocache.datasets.lerobot import LeRobotDataset

    reader = LeRobotDataset(dataset)
    problems = [str(problem) for problem in reader.problems()]
    if problems:
        raise SystemExit("\n".join(problems))
    columns: dict[str, list[Any]] = {}
    words = []
    for episode in reader:
        for name, stream in episode.streams.items():
            columns.setdefault(name, []).append(np.asarray(stream.values[:]))
        words += [episode.instruction] * len(next(iter(episode.streams.values())))
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    np.savez(target, **{"words": np.array(words), **arrays})


def compare(dataset: Path, expected: Path) -> int:
    """Read the folder with the lerobot package and compare; runs in the environment."""
    prepare()
    import lerobot
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    with np.load(expected) as kept:
        wanted = {name: kept[name] for name in kept.files}
    words = wanted.pop("words")
    read = LeRobotDataset("local/check", root=dataset, video_backend="pyav")
    worst: dict[str, float] = {}
    wrong = [] if len(read) == len(words) else [f"{len(read)} rows, expected {len(words)}"]
    for row in range(len(read)):
        item = read[row]
        if item["task"] != words[row]:
            wrong.append(f"row {row}: task {item['task']!r}, expected {words[row]!r}")
        for name, values in wanted.items():
            worst[name] = max(worst.get(name, 0.0), _difference(item[name], values[row]))
    cameras = set(read.meta.camera_keys)
    for name, difference in worst.items():
        if difference > (FRAME_TOLERANCE if name in cameras else 0):
            wrong.append(f"{name} differs by {difference:g}")
    versions = {"lerobot": lerobot.__version__, "torch": torch.__version__}
    found = {**versions, "rows": len(read), "largest_difference": worst, "wrong": wrong}
    print(json.dumps(found, indent=2))  # noqa: T201
    return 1 if wrong else 0


def _difference(item: Any, values: np.ndarray) -> float:
    found = np.asarray(item)
    if found.ndim == 3 and found.shape[0] == 3 and values.shape[-1] == 3:
        found = np.moveaxis(found, 0, -1) * 255.0  # pictures come as (3, H, W) in 0..1
    found = found.astype(np.float64).reshape(values.shape)
    rounded = values.astype(np.float32) if values.dtype == np.float64 else values
    return float(np.abs(found - rounded.astype(np.float64)).max(initial=0.0))


def prepare() -> None:
    """Make what the package imports importable in the environment, before the package is."""
    declare_missing_operators()
    import torchvision

    if not hasattr(torchvision.io, "VideoReader"):
        torchvision.io.VideoReader = _FramesOfPyAV
        torchvision.set_video_backend = lambda _: None


class _FramesOfPyAV:
    """The part of torchvision's former `VideoReader` that lerobot uses."""

    def __init__(self, path: str, kind: str) -> None:
        import av

        self.container = av.open(path)
        self._stream = self.container.streams.video[0]

    def seek(self, time_s: float, keyframes_only: bool) -> None:
        self.container.seek(int(time_s / self._stream.time_base), stream=self._stream)

    def __iter__(self) -> Any:
        import torch

        for frame in self.container.decode(self._stream):
            pixels = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            yield {"data": pixels, "pts": float(frame.pts * self._stream.time_base)}


def declare_missing_operators() -> None:
    """Let a torchvision be imported whose operators were built for another torch."""
    import torch

    if "+cpu" not in torch.__version__:
        return
    names = ["nms", "qnms", "qroi_align"]
    for pool in ("roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"):
        names += [pool, f"_{pool}_backward"]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in names:
        library.define(f"{name}(Tensor boxes) -> Tensor")
    declare_missing_operators.library = library  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
