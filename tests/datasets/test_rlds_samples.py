"""The sample RLDS sets against an independent reading: struct, zlib and Pillow, nothing of ours."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robocache.datasets.rlds import RLDSDataset

SETS = ("bridge_rlds", "language_table_rlds", "torture_rlds")


def records(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def parts(data: bytes) -> list[tuple[int, bytes]]:
    """Length-delimited fields only; the samples have no others outside the lists."""
    at, found = 0, []
    while at < len(data):
        tag, at = number(data, at)
        assert tag & 7 == 2
        size, at = number(data, at)
        found.append((tag >> 3, data[at : at + size]))
        at += size
    return found


def plain(record: bytes) -> dict[str, list]:
    """Key -> list of bytes, floats or integers."""
    out: dict[str, list] = {}
    ((_, features),) = parts(record)
    for _, entry in parts(features):
        fields = dict(parts(entry))
        ((kind, content),) = parts(fields[2]) or [(0, b"")]
        values: list = [item for _, item in parts(content)]
        if kind == 2:
            values = [v for (v,) in struct.iter_unpack("<f", b"".join(values))]
        elif kind == 3:
            data, at, values = b"".join(values), 0, []
            while at < len(data):
                value, at = number(data, at)
                values.append(value - 2**64 if value >= 2**63 else value)
        out[fields[1].decode()] = values
    return out


def files(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob(f"*-{split}.tfrecord-*"))


@pytest.mark.parametrize("name", SETS)
def test_every_value_equals_an_independent_reading(shared_data, name):
    dataset = RLDSDataset(shared_data / name)
    compared = 0
    for split in dataset.splits:
        stored = [record for path in files(dataset.path, split) for record in records(path)]
        every = dataset.keys()
        keys = [key for key in every if key.startswith(split + "/")]
        assert len(keys) == len(stored)
        for key, record in zip(keys, stored, strict=True):
            lists, rlds, episode = plain(record), dataset.rlds_episode(key), dataset[key]
            steps = len(lists["steps/is_first"])
            assert len(rlds) == steps == episode.outcome.steps
            for leaf in rlds.features.steps.values():
                compared += compare(leaf, lists, rlds, episode, steps)
    assert compared > 30


def compare(leaf, lists, rlds, episode, steps) -> int:
    """One leaf of one episode; 1 when it was compared."""
    if leaf.levels > 1:
        return 0  # see the torture set below
    stored = lists[leaf.key]
    if leaf.kind == "image":
        for k in range(steps):
            pixels = np.asarray(Image.open(io.BytesIO(stored[k])))
            pixels = pixels[..., None] if pixels.ndim == 2 else pixels
            np.testing.assert_array_equal(dig(rlds.steps[k], leaf.path), pixels)
            if leaf.name in episode.streams:
                frames = episode.streams[leaf.name].values
                np.testing.assert_array_equal(frames[k], pixels)
                assert frames.encoded(k) == stored[k] and frames.dtype == pixels.dtype
    elif leaf.kind == "text":
        assert rlds.values(leaf.name) == [item.decode() for item in stored]
    else:
        if leaf.encoding != "none":
            raw = [zlib.decompress(v) if leaf.encoding == "zlib" else v for v in stored]
            stored = np.frombuffer(b"".join(raw), leaf.dtype)
        expected = np.asarray(stored, leaf.dtype).reshape(steps, *leaf.shape)
        values = episode.streams[leaf.name].values
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)
    return 1


def dig(step, path):
    for name in path:
        step = step[name]
    return step


def test_varying_lengths_of_the_torture_set(shared_data):
    dataset = RLDSDataset(shared_data / "torture_rlds")
    path = files(dataset.path, "train")[0]
    for key, record in zip(dataset.keys(), records(path), strict=False):
        lists, rlds = plain(record), dataset.rlds_episode(key)
        root = "steps/observation/"
        flat = iter(lists[root + "tokens/ragged_flat_values"])
        lengths = lists[root + "tokens/ragged_row_lengths_0"]
        tokens = [[next(flat) for _ in range(n)] for n in lengths]
        flat = iter(lists[root + "ragged2/ragged_flat_values"])
        inner = iter(lists[root + "ragged2/ragged_row_lengths_1"])
        nested = [
            [[next(flat) for _ in range(next(inner))] for _ in range(n)]
            for n in lists[root + "ragged2/ragged_row_lengths_0"]
        ]
        flat = iter(lists[root + "strs/ragged_flat_values"])
        words = [
            [next(flat).decode() for _ in range(n)]
            for n in lists[root + "strs/ragged_row_lengths_0"]
        ]
        for k, step in enumerate(rlds.steps):
            assert step.observation["tokens"].tolist() == tokens[k]
            assert [row.tolist() for row in step.observation["ragged2"]] == nested[k]
            assert step.observation["strs"] == words[k]
            assert step.observation["depth_u16"].dtype == np.uint16
            assert step.observation["depth_u16"].max() > 255
        assert rlds.metadata["raw"] == lists["raw"][0]
        np.testing.assert_array_equal(rlds.metadata["unk"].ravel(), np.float32(lists["unk"]))
        assert rlds.metadata["unk"].shape[1:] == (3,)
        np.testing.assert_array_equal(rlds.metadata["seq_of_dict"]["a"], lists["seq_of_dict/a"])
    assert dataset.report()["not_read"] == {
        "observation/dyn": "pictures of different sizes",
        "observation/ragged2": "of another length in each step",
        "observation/strs": "of another length in each step",
        "observation/tokens": "of another length in each step",
    }
    assert list(dataset.problems()) == []


def test_bridge_holds_the_same_episodes_twice(shared_data):
    dataset = RLDSDataset(shared_data / "bridge_rlds")
    assert (len(dataset), dataset.clock.rate_hz) == (50, 5)
    assert dataset.report()["rate_source"] == "table of conventions (bridge_dataset)"
    told = [str(problem) for problem in dataset.problems()]
    assert sum("splits train and val hold 25 episodes with the same content" in t for t in told)
    for k in range(3):
        expected = f"has_image_{k} says that the camera was not there, its pictures show otherwise"
        assert sum(expected in text and "50 episodes" in text for text in told) == 1
    assert sum("is_last: true at no step" in text for text in told) == 1
    assert len(told) == 5
    assert len(list(RLDSDataset(shared_data / "bridge_rlds", split="val").problems())) == 4


def test_bridge_in_the_standard_convention(shared_data):
    stored = RLDSDataset(shared_data / "bridge_rlds", split="train")[3]
    made = RLDSDataset(shared_data / "bridge_rlds", split="train", conventions="standard")[3]
    state, action = stored.streams["observation/state"].values, made.streams["action"].values
    np.testing.assert_array_equal(action[:, :6], np.diff(state[1:, :6], axis=0))
    assert set(np.unique(action[:, 6])) <= {0.0, 1.0}
    for name in ("observation/state", "observation/image_1"):
        np.testing.assert_array_equal(
            made.streams[name].values[:], stored.streams[name].values[1:9]
        )
    assert made.outcome.steps == 8 and made.streams["action"].times_s[0] == 0.0


def test_language_table_instructions_are_code_points(shared_data):
    dataset = RLDSDataset(shared_data / "language_table_rlds")
    assert dataset.clock.rate_hz == 10
    for key, record in zip(dataset.keys(), records(files(dataset.path, "train")[0]), strict=True):
        points = plain(record)["steps/observation/instruction"][:512]
        words = "".join(chr(point) for point in points if point)
        assert (
            dataset[key].instruction
            == words
            == dataset.rlds_episode(key).steps[2].language_instruction
        )
        assert words.startswith("push") and words.isprintable()
