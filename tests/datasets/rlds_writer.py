"""Small RLDS datasets made on the spot: tf.train.Example, TFRecord, and their two JSON files."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

CRC_TABLE = []
for start in range(256):
    value = start
    for _ in range(8):
        value = value >> 1 ^ 0x82F63B78 * (value & 1)
    CRC_TABLE.append(value)


def masked_crc(data: bytes) -> int:
    """CRC-32C by its definition, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return (
        length
        + struct.pack("<I", masked_crc(length))
        + record
        + struct.pack("<I", masked_crc(record))
    )


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def feature(values, packed: bool = True) -> bytes:
    """bytes -> bytes list, floats -> float list, integers and booleans -> integer list."""
    values = list(values) if isinstance(values, (list, tuple)) else list(np.ravel(values))
    if not values:
        return b""
    if isinstance(values[0], (bytes, str)):
        items = (v if isinstance(v, bytes) else v.encode() for v in values)
        return message(1, b"".join(message(1, item) for item in items))
    if isinstance(values[0], (float, np.floating)):
        numbers = [struct.pack("<f", v) for v in values]
        content = (
            message(1, b"".join(numbers)) if packed else b"".join(b"\x0d" + n for n in numbers)
        )
        return message(2, content)
    numbers = [varint(int(v)) for v in values]
    content = message(1, b"".join(numbers)) if packed else b"".join(b"\x08" + n for n in numbers)
    return message(3, content)


def example(lists: dict, packed: bool = True) -> bytes:
    entries = (
        message(1, message(1, key.encode()) + message(2, feature(values, packed)))
        for key, values in lists.items()
    )
    return message(1, b"".join(entries))


def node(kind: str, **described) -> dict:
    return {"pythonClassName": f"tensorflow_datasets.{kind}", kind: described}


def shape(*sizes: int) -> dict:
    return {"dimensions": [str(size) for size in sizes]} if sizes else {}


def tensor(dtype: str, *sizes: int, encoding: str = "none") -> dict:
    return node("tensor", shape=shape(*sizes), dtype=dtype, encoding=encoding)


def image(*sizes: int, dtype: str = "uint8") -> dict:
    return node("image", shape=shape(*sizes), dtype=dtype)


def text() -> dict:
    return node("text")


def sequence(inner: dict) -> dict:
    return node("sequence", feature=inner, length="-1")


def group(**children) -> dict:
    return node("featuresDict", features=children)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


MARKS = {name: tensor("bool") for name in ("is_first", "is_last", "is_terminal")}


def marks(steps: int) -> dict:
    last = [k == steps - 1 for k in range(steps)]
    return {
        "steps/is_first": [k == 0 for k in range(steps)],
        "steps/is_last": last,
        "steps/is_terminal": last,
    }


def write_dataset(
    folder: Path,
    steps: dict,
    shards: dict[str, list[list[bytes]]],
    *,
    name: str = "arm",
    episode: dict | None = None,
    **info,
) -> Path:
    """A dataset with these step features; `shards`: split -> shards -> serialized episodes."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = group(steps=sequence(group(**{**MARKS, **steps})), **(episode or {}))
    (folder / "features.json").write_text(json.dumps(tree, sort_keys=True))
    splits = []
    for split, files in shards.items():
        for number, records in enumerate(files):
            content = b"".join(framed(record) for record in records)
            shard_file(folder, split, number, len(files), name).write_bytes(content)
        splits.append(
            {
                "name": split,
                "numBytes": str(sum(len(r) for records in files for r in records)),
                "shardLengths": [str(len(records)) for records in files],
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    stored = {"name": name, "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits, **info}
    (folder / "dataset_info.json").write_text(json.dumps(stored))
    return folder


def shard_file(folder: Path, split="train", number=0, count=1, name="arm") -> Path:
    return folder / f"{name}-{split}.tfrecord-{number:05d}-of-{count:05d}"


def change_info(folder: Path, **changes) -> None:
    path = folder / "dataset_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def simple_episode(index: int, steps: int = 4, **more) -> bytes:
    """State (2), action (3), an instruction, and a camera of 6 x 8 pixels."""
    rng = np.random.default_rng(index)
    return example(
        {
            **marks(steps),
            "steps/observation/state": rng.normal(size=(steps, 2)),
            "steps/action": rng.normal(size=(steps, 3)),
            "steps/reward": [0.0] * (steps - 1) + [1.0],
            "steps/language_instruction": [f"lift block {index}"] * steps,
            "steps/observation/front": [
                png(rng.integers(0, 255, (6, 8, 3), np.uint8)) for _ in range(steps)
            ],
            **more,
        }
    )


SIMPLE = {
    "observation": group(state=tensor("float32", 2), front=image(6, 8, 3)),
    "action": tensor("float32", 3),
    "reward": tensor("float32"),
    "language_instruction": text(),
}


def simple_dataset(folder: Path, **more) -> Path:
    """Five episodes in two shards of train (3 and 2), one in val."""
    train = [[simple_episode(k, 3 + k) for k in range(3)], [simple_episode(k) for k in (3, 4)]]
    shards = {"train": train, "val": [[simple_episode(9)]]}
    return write_dataset(folder / "arm" / "1.0.0", SIMPLE, shards, **more)
