"""RLDS files to measure with: feature sets and picture sizes of known datasets, made-up content."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 95  # of the JPEG pictures, as TFDS writes them
SHARDS = 4
_FEATURES = "tensorflow_datasets.core.features"


@dataclass(frozen=True)
class Kind:
    """Files like those of a known dataset.

    Attributes:
        steps: name -> dtype and shape of one step's value; dtype "text" or "image".
        lengths: steps of the shortest and the longest episode.
    """

    steps: Mapping[str, tuple[Any, ...]]
    lengths: tuple[int, int]


MARKS = {"is_first": ("bool",), "is_last": ("bool",), "is_terminal": ("bool",)}
KINDS = {
    "fractal": Kind(
        {
            **MARKS,
            "reward": ("float32",),
            "action/base_displacement_vector": ("float32", 2),
            "action/base_displacement_vertical_rotation": ("float32", 1),
            "action/gripper_closedness_action": ("float32", 1),
            "action/rotation_delta": ("float32", 3),
            "action/terminate_episode": ("int32", 3),
            "action/world_vector": ("float32", 3),
            "observation/base_pose_tool_reached": ("float32", 7),
            "observation/gripper_closed": ("float32", 1),
            "observation/image": ("image", 256, 320, 3),
            "observation/natural_language_embedding": ("float32", 512),
            "observation/natural_language_instruction": ("text",),
            "observation/orientation_box": ("float32", 2, 3),
            "observation/workspace_bounds": ("float32", 3, 3),
        },
        (40, 60),
    ),
    "droid": Kind(
        {
            **MARKS,
            "reward": ("float32",),
            "discount": ("float32",),
            "action": ("float64", 7),
            "action_dict/cartesian_position": ("float64", 6),
            "action_dict/cartesian_velocity": ("float64", 6),
            "action_dict/gripper_position": ("float64", 1),
            "action_dict/joint_position": ("float64", 7),
            "action_dict/joint_velocity": ("float64", 7),
            "language_instruction": ("text",),
            "observation/cartesian_position": ("float64", 6),
            "observation/exterior_image_1_left": ("image", 180, 320, 3),
            "observation/exterior_image_2_left": ("image", 180, 320, 3),
            "observation/gripper_position": ("float64", 1),
            "observation/joint_position": ("float64", 7),
            "observation/wrist_image_left": ("image", 180, 320, 3),
        },
        (50, 70),
    ),
    "bridge": Kind(
        {
            **MARKS,
            "reward": ("float32",),
            "action/open_gripper": ("bool",),
            "action/rotation_delta": ("float32", 3),
            "action/terminate_episode": ("float32",),
            "action/world_vector": ("float32", 3),
            "observation/image": ("image", 480, 640, 3),
            "observation/natural_language_embedding": ("float32", 512),
            "observation/natural_language_instruction": ("text",),
            "observation/state": ("float32", 7),
        },
        (30, 50),
    ),
    "numbers": Kind(
        {**MARKS, "action": ("float32", 7), "observation/state": ("float32", 7)}, (10, 20)
    ),
}


def write_rlds(folder: Path, kind: str, episodes: int, shards: int = SHARDS) -> Path:
    """A dataset with one split, train; nothing is done where it is already there."""
    done = folder / "dataset_info.json"
    if done.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    ends = np.linspace(0, episodes, shards + 1).astype(int).tolist()
    lengths, size = [], 0
    for shard, (start, stop) in enumerate(pairwise(ends)):
        records = [_example(values) for values in _episodes(KINDS[kind], start, stop)]
        name = f"{kind}-train.tfrecord-{shard:05d}-of-{shards:05d}"
        (folder / name).write_bytes(b"".join(map(_framed, records)))
        lengths.append(str(len(records)))
        size += sum(map(len, records))
    split = {
        "name": "train",
        "numBytes": str(size),
        "shardLengths": lengths,
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    }
    (folder / "features.json").write_text(json.dumps(_description(KINDS[kind]), indent=1))
    info = {"name": kind, "version": "1.0.0", "fileFormat": "tfrecord", "splits": [split]}
    done.write_text(json.dumps(info, indent=1))
    return folder


def _episodes(kind: Kind, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """Key of the record -> values of all steps, for each episode."""
    for number in range(start, stop):
        random = np.random.default_rng(number)
        steps = int(random.integers(*kind.lengths, endpoint=True))
        yield {
            f"steps/{name}": _values(random, name, described, steps)
            for name, described in kind.steps.items()
        }


def _values(random: np.random.Generator, name: str, described: Any, steps: int) -> Any:
    dtype, *shape = described
    if dtype == "image":
        return [_jpeg(picture) for picture in _moving_scene(random, steps, *shape[:2])]
    if dtype == "text":
        return [b"put the red block into the drawer"] * steps
    if name in MARKS:
        return np.arange(steps) == (0 if name == "is_first" else steps - 1)
    if np.dtype(dtype).kind in "bi":
        return random.integers(0, 2, (steps, *shape))
    return random.normal(size=(steps, *shape)).astype(np.float32)


def _moving_scene(
    random: np.random.Generator, steps: int, height: int, width: int
) -> Iterator[NDArray[np.uint8]]:
    """(height, width, 3) pictures of a camera that moves over a table of many things.

    Surfaces have the falling spectrum of photographs, things have hard edges, and
    every picture has the noise of a sensor.
    """
    margin = steps + 1
    canvas = _surface(random, height + margin, width + margin)
    rows, columns = np.mgrid[: height + margin, : width + margin]
    for _ in range(30):
        row, column = random.uniform((0, 0), canvas.shape[:2])
        radius = random.uniform(0.03, 0.15) * height
        inside = np.hypot(rows - row, columns - column) < radius
        canvas[inside] = canvas[inside] * 0.3 + random.uniform(0, 180, 3)
    for step in range(steps):
        seen = canvas[step : step + height, step : step + width]
        noise = random.normal(0, 1, seen.shape)
        yield (seen + noise).clip(0, 255).astype(np.uint8)


def _surface(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """(height, width, 3) amplitudes 1 / frequency ** 1.5; more light than colour."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    falling = np.maximum(np.hypot(down, across), 1 / max(height, width)) ** -1.5
    planes = []
    for _ in range(4):
        waves = np.fft.rfft2(random.normal(size=(height, width))) * falling
        plane = np.fft.irfft2(waves, (height, width))
        planes.append(plane / plane.std())
    light, *colours = planes
    return 128 + 36 * light[..., None] + 12 * np.stack(colours, axis=-1)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _example(values: Mapping[str, Any]) -> bytes:
    """A serialized tf.train.Example."""
    return _message(
        1,
        b"".join(
            _message(1, _message(1, key.encode()) + _message(2, _list(found)))
            for key, found in sorted(values.items())
        ),
    )


def _list(values: Sequence[bytes] | NDArray[Any]) -> bytes:
    if not isinstance(values, np.ndarray):
        return _message(1, b"".join(_message(1, item) for item in values))
    if values.dtype.kind == "f":
        return _message(2, _message(1, values.astype("<f4").tobytes()))
    return _message(3, _message(1, b"".join(_varint(int(v)) for v in values.ravel())))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length) + record + _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = int(google_crc32c.value(data))
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _description(kind: Kind) -> dict[str, Any]:
    """features.json."""
    tree: dict[str, Any] = {}
    for name, described in kind.steps.items():
        inner = tree
        *above, last = name.split("/")
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = _leaf(*described)
    steps = {
        "pythonClassName": f"{_FEATURES}.dataset_feature.Dataset",
        "sequence": {"feature": _group(tree), "length": "-1"},
    }
    return _group({"steps": steps})


def _group(children: Mapping[str, Any]) -> dict[str, Any]:
    features = {
        name: child if "pythonClassName" in child else _group(child)
        for name, child in children.items()
    }
    return {
        "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def _leaf(dtype: str, *sizes: int) -> dict[str, Any]:
    shape = {"dimensions": [str(size) for size in sizes]} if sizes else {}
    if dtype == "text":
        return {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}
    if dtype == "image":
        image = {"shape": shape, "dtype": "uint8", "encodingFormat": "jpeg"}
        return {"pythonClassName": f"{_FEATURES}.image_feature.Image", "image": image}
    tensor = {"shape": shape, "dtype": dtype, "encoding": "none"}
    return {"pythonClassName": f"{_FEATURES}.tensor_feature.Tensor", "tensor": tensor}
