"""RLDS datasets made by the tests: every kind of feature, and how files are found and opened."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from rlds_writer import (
    SIMPLE,
    change_info,
    example,
    framed,
    group,
    image,
    jpeg,
    marks,
    node,
    png,
    sequence,
    shape,
    shard_file,
    simple_dataset,
    simple_episode,
    tensor,
    text,
    varint,
    write_dataset,
)

from robocache.core.errors import ConfigError, CorruptFileError
from robocache.datasets.reader import Reader
from robocache.datasets.rlds import RLDSDataset
from robocache.datasets.rlds.array_record import ArrayRecordShard
from robocache.datasets.rlds.example import Record, parse_example
from robocache.datasets.rlds.records import TFRecordShard

INTEGERS = [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)]


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_packed_and_not(packed):
    floats = np.random.default_rng(0).normal(size=50).astype(np.float32)
    data = example({"i": INTEGERS, "f": floats, "b": [b"", b"xyz"], "e": []}, packed)
    record = Record(data, parse_example(data))
    assert record.integers("i").tolist() == INTEGERS
    np.testing.assert_array_equal(record.floats("f"), floats)
    assert [data[slice(*span)] for span in record.spans("b")] == [b"", b"xyz"]
    assert record.size("e") == 0 and record.size("none") is None


def test_lists_in_several_pieces():
    packed = b"\x0a\x02\x01\x02"
    single = b"\x08\x03"
    numbers = varint(3 << 3 | 2) + varint(6) + packed + single
    again = varint(3 << 3 | 2) + varint(2) + b"\x08\x04"
    entry = b"\x0a\x01k" + varint(2 << 3 | 2) + varint(len(numbers + again)) + numbers + again
    inner = b"\x0a" + varint(len(entry)) + entry
    data = b"\x0a" + varint(len(inner)) + inner + b"\x10\x05" + b"\x1d1234"  # unknown fields
    assert Record(data, parse_example(data)).integers("k").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("digits", "message"),
    [(b"\x81" * 10 + b"\x01", "11 bytes long"), (b"\x01\x81", "does not end")],
)
def test_integers_that_are_none(digits, message):
    data = example({"k": [0] * len(digits)}).replace(bytes(len(digits)), digits)
    with pytest.raises(CorruptFileError, match=rf"byte \d+ of the record: .*{message}"):
        Record(data, parse_example(data)).integers("k")


STEPS = 3


def everything() -> tuple[dict, dict, dict]:
    """Step features, their stored lists, and what each should be read as."""
    rng = np.random.default_rng(1)
    rgb = [rng.integers(0, 255, (5, 4, 3), np.uint8) for _ in range(STEPS)]
    grey = [frame[:, :, 0] for frame in rgb]
    depth = [rng.integers(0, 60000, (5, 4), np.uint16) for _ in range(STEPS)]
    metres = [rng.normal(size=(5, 4, 1)).astype(np.float32) for _ in range(STEPS)]
    half = rng.normal(size=(STEPS, 2)).astype(np.float16)
    double = rng.normal(size=(STEPS, 3))
    brain = np.array([1.0, -2.5, 0.15625], np.float32)
    several = [rng.normal(size=(k + 1, 2, k)).astype(np.float32) for k in range(STEPS)]
    cases = {
        "f16": (tensor("float16", 2), half.astype(np.float32), half),
        "bf16": (tensor("bfloat16"), brain, brain),
        "bf16_raw": (
            tensor("bfloat16", encoding="bytes"),
            [struct.pack("<H", int(v.view(np.uint32)) >> 16) for v in brain],
            brain,
        ),
        "u64": (tensor("uint64"), [-1, 0, 5], np.array([2**64 - 1, 0, 5], np.uint64)),
        "i8": (tensor("int8", 2), [-128, 127] * 3, np.array([[-128, 127]] * 3, np.int8)),
        "yes": (tensor("bool", 2), [1, 0] * 3, np.array([[True, False]] * 3)),
        "nothing": (tensor("float32", 0), [], np.empty((3, 0), np.float32)),
        "future/xyz": (tensor("float32", 1), [1.0, 2.0, 3.0], np.float32([[1], [2], [3]])),
        "raw": (tensor("float64", 3, encoding="bytes"), [d.tobytes() for d in double], double),
        "zip": (
            tensor("float64", 3, encoding="zlib"),
            [zlib.compress(d.tobytes()) for d in double],
            double,
        ),
        "zip_any": (
            tensor("float64", -1, encoding="zlib"),
            [zlib.compress(d.tobytes()) for d in double],
            double,
        ),
        "rows": (sequence(tensor("float64", 3)), None, double[:, None].repeat(2, 1)),
        "rgb": (image(5, 4, 3), [png(f) for f in rgb], np.stack(rgb)),
        "grey": (image(5, 4, 1), [png(f) for f in grey], np.stack(grey)[..., None]),
        "grey_as_rgb": (
            image(5, 4, 3),
            [png(f) for f in grey],
            np.stack(grey)[..., None].repeat(3, 3),
        ),
        "alpha": (
            image(5, 4, 3),
            [png(np.dstack([f, f[:, :, 0]])) for f in rgb],
            np.stack(rgb),
        ),
        "depth": (
            image(5, 4, 1, dtype="uint16"),
            [png(d) for d in depth],
            np.stack(depth)[..., None],
        ),
        "metres": (
            image(5, 4, 1, dtype="float32"),
            [png(m.view(np.uint8)) for m in metres],
            np.stack(metres),
        ),
        "unsized": (image(-1, -1, 3), [png(f) for f in rgb], np.stack(rgb)),
        "no_shape": (node("image"), [png(f) for f in rgb], np.stack(rgb)),
        "label": (node("classLabel", numClasses="3"), [2, 0, 1], np.array([2, 0, 1])),
    }
    features = {name: case[0] for name, case in cases.items()}
    lists = {f"steps/{name}": case[1] for name, case in cases.items() if case[1] is not None}
    lists["steps/rows/ragged_flat_values"] = np.repeat(double, 2, 0).astype(np.float32)
    lists["steps/rows/ragged_row_lengths_0"] = [2, 2, 2]
    expected = {name: case[2] for name, case in cases.items()}
    expected["rows"] = expected["rows"].astype(np.float32).astype(np.float64)
    features["many"] = tensor("float32", -1, 2, -1, encoding="zlib")
    lists["steps/many/shape"] = [size for t in several for size in t.shape]
    lists["steps/many/value"] = [zlib.compress(t.tobytes()) for t in several]
    expected["many"] = several
    features["words"] = sequence(text())
    lists["steps/words/ragged_flat_values"] = ["a", "b", "c"]
    lists["steps/words/ragged_row_lengths_0"] = [0, 2, 1]
    expected["words"] = [[], ["a", "b"], ["c"]]
    features["views"] = sequence(image(5, 4, 3))
    lists["steps/views/ragged_flat_values"] = [png(f) for f in rgb]
    lists["steps/views/ragged_row_lengths_0"] = [1, 0, 2]
    expected["views"] = [[rgb[0]], [], rgb[1:]]
    features["sound"] = node("audio", dtype="int64")
    return features, lists, expected


@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_feature(tmp_path, packed):
    features, lists, expected = everything()
    record = example({**marks(STEPS), **lists}, packed)
    dataset = RLDSDataset(write_dataset(tmp_path, features, {"train": [[record]]}))
    streams, rlds = dataset[0].streams, dataset.rlds_episode(0)
    for name, values in expected.items():
        if isinstance(values, np.ndarray):
            assert streams[name].values.dtype == values.dtype, name
            np.testing.assert_array_equal(streams[name].values[:], values, err_msg=name)
            assert streams[name].spec.shape == values.shape[1:]
            streams[name].check()
        for k, step in enumerate(rlds.steps):
            np.testing.assert_equal(step[name], values[k], err_msg=name)
    assert dataset.report()["not_read"] == {
        "sound": "features of class audio are not read",
        "many": "of another length in each step",
        "words": "of another length in each step",
        "views": "of another length in each step",
    }
    assert list(dataset.problems()) == []


def test_an_episode_as_rlds_users_think_of_it(tmp_path):
    dataset = RLDSDataset(simple_dataset(tmp_path), rate_hz=10)
    assert isinstance(dataset, Reader)
    episode, rlds = dataset["train/000004"], dataset.rlds_episode("train/000004")
    step = rlds.steps[-1]
    assert (step.is_first, step.is_last, step.is_terminal, step.reward) == (False, True, True, 1.0)
    assert step.number == 3 and step.language_instruction == "lift block 4" == episode.instruction
    np.testing.assert_array_equal(step.action, episode.streams["action"].values[3])
    np.testing.assert_array_equal(
        step.observation["front"], episode.streams["observation/front"].values[3]
    )
    assert dict(step.observation).keys() == {"state", "front"} and "action" in step
    assert [s.number for s in rlds.steps[1:3]] == [1, 2] and len(rlds.steps) == 4
    assert [s.is_first for s in rlds.steps] == [True, False, False, False]
    with pytest.raises(KeyError):
        step["other"]
    assert (episode.outcome.terminated, episode.outcome.truncated) == (True, False)
    assert episode.outcome.reward == 1.0 and episode.outcome.success is None
    assert episode.provenance.source == "arm-train.tfrecord-00001-of-00002"
    assert episode.provenance.index == 4
    assert dataset.rlds_episode(0).content_hash() != rlds.content_hash()


def test_keys_and_splits(tmp_path):
    root = simple_dataset(tmp_path)
    dataset = RLDSDataset(tmp_path / "arm")
    assert dataset.keys() == [*(f"train/{k:06d}" for k in range(5)), "val/000000"]
    assert [episode.key for episode in dataset] == dataset.keys()
    assert RLDSDataset(root, split="val").keys() == ["val/000000"]
    assert RLDSDataset(root, split=["val", "train"]).keys()[0] == "val/000000"
    with pytest.raises(ConfigError, match="unknown split 'test'"):
        RLDSDataset(root, split="test")
    with pytest.raises(ConfigError, match="unknown episode of arm 'train/000005'"):
        dataset["train/000005"]
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.fingerprint == dataset.fingerprint
    assert RLDSDataset(root, split="val").fingerprint != dataset.fingerprint


def test_a_window_opens_only_its_own_shard(tmp_path, monkeypatch):
    root = simple_dataset(tmp_path)
    opened = []
    index = TFRecordShard.index.func
    seen = property(lambda shard: opened.append(shard.path.name) or index(shard))
    monkeypatch.setattr(TFRecordShard, "index", seen)
    dataset = RLDSDataset(root)
    assert len(dataset) == 6 and opened == []
    assert dataset["train/000003"].instruction == "lift block 3"
    assert set(opened) == {"arm-train.tfrecord-00001-of-00002"}


def test_a_missing_shard_changes_no_other_key(tmp_path):
    root = simple_dataset(tmp_path)
    shard_file(root, count=2).unlink()
    dataset = RLDSDataset(root)
    assert dataset.keys() == ["train/000003", "train/000004", "val/000000"]
    assert dataset[0].instruction == "lift block 3"
    assert [p.problem for p in dataset.problems()] == ["missing; 3 episodes"]


def test_a_large_index_is_kept_until_the_file_changes(tmp_path, home, monkeypatch):
    monkeypatch.setattr("robocache.datasets.rlds.records.WORTH_KEEPING", 2)
    monkeypatch.setattr("robocache.datasets.episode_files.SETTLED_NS", 0)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(framed(bytes([k]) * k) for k in range(20)))
    first = TFRecordShard(path)
    assert len(first) == 20 and first.read(7) == b"\7" * 7
    (kept,) = (home / "cache" / "indexes").iterdir()
    again = TFRecordShard(path)
    with monkeypatch.context() as patch:
        patch.setattr("robocache.datasets.rlds.records.index_records", None)
        assert again.read(19) == first.read(19)
    whole = kept.read_bytes()
    for damaged in (b"\x93NUMPY damaged", whole[:-8], whole[:-1] + b"\1"):
        kept.write_bytes(damaged)
        assert TFRecordShard(path).checksums() == first.checksums()
        assert kept.read_bytes() == whole
    path.write_bytes(framed(b"x") * 3)
    os.utime(path, ns=(1, 1))
    assert len(TFRecordShard(path)) == 3


def test_a_kept_index_hides_no_change_of_the_same_size_and_time(tmp_path, home, monkeypatch):
    monkeypatch.setattr("robocache.datasets.rlds.records.WORTH_KEEPING", 2)
    monkeypatch.setattr("robocache.datasets.episode_files.SETTLED_NS", 0)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(framed(b"one") * 3)
    before, first = path.stat(), TFRecordShard(path).checksums()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock ticks
        path.write_bytes(framed(b"two") * 3)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert TFRecordShard(path).checksums() != first


def test_without_dataset_info_the_file_names_tell(tmp_path):
    root = simple_dataset(tmp_path)
    (root / "dataset_info.json").unlink()
    assert len(RLDSDataset(root)) == 6
    assert ["missing: the splits" in str(p) for p in RLDSDataset(root).problems()] == [True]
    for path in list(root.glob("arm-val*")):
        path.rename(root / "arm-val.tfrecord-00000")  # as old datasets name their files
    assert RLDSDataset(root).keys()[-1] == "val/000000"
    change = {"name": "renamed", "splits": [{"name": "val", "shardLengths": ["1"]}]}
    (root / "dataset_info.json").write_text(json.dumps(change))
    assert RLDSDataset(root).keys() == ["val/000000"]


def test_other_folders(tmp_path):
    with pytest.raises(ConfigError, match="not an RLDS dataset"):
        RLDSDataset(tmp_path)
    simple_dataset(tmp_path / "a")
    simple_dataset(tmp_path / "b")
    with pytest.raises(ConfigError, match="holds 2 RLDS datasets"):
        RLDSDataset(tmp_path)
    root = simple_dataset(tmp_path / "c")
    change_info(root, fileFormat="riegeli")
    with pytest.raises(ConfigError, match="fileFormat 'riegeli' is not read"):
        RLDSDataset(root)
    (root / "features.json").write_text(json.dumps(group(x=tensor("float32"))))
    with pytest.raises(ConfigError, match="no sequence 'steps'"):
        RLDSDataset(root)


def test_array_record(tmp_path, monkeypatch):
    module = pytest.importorskip("array_record.python.array_record_module")
    root = simple_dataset(tmp_path)
    plain = RLDSDataset(root)
    keys = plain.keys()
    records = [plain.rlds_episode(key).record.data for key in keys]
    expected = [plain[key].streams["action"].values for key in keys]
    change_info(
        root,
        fileFormat="array_record",
        splits=[{"name": "train", "numBytes": "7", "shardLengths": ["6"]}],
    )
    path = root / "arm-train.array_record-00000-of-00001"
    writer = module.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    dataset = RLDSDataset(root)
    assert dataset.report()["format"] == "rlds (array_record)"
    frames, others = (dataset[k].streams["observation/front"].values for k in (0, 1))
    numbers: list[int] = []
    read = ArrayRecordShard.read
    with monkeypatch.context() as patch:
        patch.setattr(
            ArrayRecordShard, "read", lambda shard, n: numbers.append(n) or read(shard, n)
        )
        first = frames[:]
        assert numbers == [0] and len(first) > 1
        others[:1]
        np.testing.assert_array_equal(frames[:], first)
        assert numbers == [0, 1, 0]
    for episode, action in zip(dataset, expected, strict=True):
        np.testing.assert_array_equal(episode.streams["action"].values, action)
        assert episode.streams["observation/front"].values[1].shape == (6, 8, 3)
    assert list(dataset.problems()) == []
    assert dataset.fingerprint == pickle.loads(pickle.dumps(dataset)).fingerprint
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CorruptFileError, match="truncated: 3000 bytes"):
        raise next(RLDSDataset(root).problems())
    assert len(RLDSDataset(root)) == 0


def test_declared_jpeg_that_is_png_and_the_other_way(tmp_path):
    frame = np.full((6, 8, 3), 90, np.uint8)
    record = simple_episode(0, 2, **{"steps/observation/front": [jpeg(frame), png(frame)]})
    dataset = RLDSDataset(write_dataset(tmp_path, SIMPLE, {"train": [[record]]}))
    np.testing.assert_array_equal(
        dataset[0].streams["observation/front"].values[:], np.stack([frame, frame])
    )
    assert [p.problem for p in dataset.problems()] == ["every picture is of one colour"]


def test_values_of_varying_length_outside_the_steps(tmp_path):
    episode = {
        "goals": sequence(group(at=tensor("float32", 2), name=text())),
        "grid": sequence(sequence(tensor("int64"))),
        "thumbnail": image(6, 8, 3),
        "unknown": node("tensor", shape=shape(-1, 3), dtype="float32"),
    }
    frame = np.full((6, 8, 3), 7, np.uint8)
    lists = {
        "goals/at": [0.0, 1.0, 2.0, 3.0],
        "goals/name": ["here", "there"],
        "grid/ragged_flat_values": [1, 2, 3],
        "grid/ragged_row_lengths_0": [1, 2],
        "thumbnail": [png(frame)],
    }
    record = simple_episode(0, 2, **lists)
    folder = write_dataset(tmp_path, SIMPLE, {"train": [[record]]}, episode=episode)
    found = RLDSDataset(folder).rlds_episode(0).metadata
    assert found["goals"]["at"].tolist() == [[0, 1], [2, 3]]
    assert found["goals"]["name"] == ["here", "there"]
    assert [row.tolist() for row in found["grid"]] == [[1], [2, 3]]
    assert (found["thumbnail"] == frame).all() and found["unknown"].shape == (0, 3)
