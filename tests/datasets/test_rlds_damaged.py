"""Damaged RLDS datasets: every fault is a typed error that names its place."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from rlds_writer import (
    SIMPLE,
    change_info,
    example,
    framed,
    marks,
    sequence,
    shard_file,
    simple_dataset,
    simple_episode,
    tensor,
    text,
    write_dataset,
)

from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets.rlds import RLDSDataset


@pytest.fixture
def root(tmp_path):
    return simple_dataset(tmp_path)


def change(path, at: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= value
    path.write_bytes(data)


def told(root) -> list[tuple]:
    return [(type(p), p.episode, p.stream) for p in RLDSDataset(root).problems()]


def test_an_altered_record_is_named(root):
    path = shard_file(root, count=2)
    change(path, 500, 1)
    dataset = RLDSDataset(root)
    with pytest.raises(CorruptFileError, match=r"record 0 at byte 12: .*checksum") as caught:
        dataset[0]
    assert (caught.value.file, caught.value.episode) == (str(path), "train/000000")
    assert dataset[1].instruction == "lift block 1"
    assert told(root) == [(CorruptFileError, "train/000000", None)]


def test_an_altered_length_ends_the_shard(root):
    path = shard_file(root, count=2)
    first = len(framed(simple_episode(0, 3)))
    change(path, first, 1)
    dataset = RLDSDataset(root)
    with pytest.raises(CorruptFileError, match=f"record 1 at byte {first}: its length does not"):
        dataset["train/000001"]
    texts = [str(problem) for problem in dataset.problems()]
    assert any("promises 3 episodes, 1 are there" in text for text in texts)
    assert dataset["train/000003"].instruction == "lift block 3"


@pytest.mark.parametrize(("cut", "message"), [(5, "4 bytes|it says"), (-3, "header bytes")])
def test_truncation_names_the_shard_and_the_counts(root, cut, message):
    path = shard_file(root, count=2)
    data = path.read_bytes()
    end = len(framed(simple_episode(2, 5)))
    path.write_bytes(data[:-cut] if cut > 0 else data[: -end - cut])
    dataset = RLDSDataset(root)
    assert dataset.keys()[:3] == ["train/000000", "train/000001", "train/000003"]
    problems = list(dataset.problems())
    assert {problem.file for problem in problems} == {str(path)}
    assert "record 2 at byte" in problems[0].problem and "truncated" in problems[0].problem
    assert problems[1].problem == "dataset_info.json promises 3 episodes, 2 are there"


def test_more_episodes_than_promised(root):
    path = shard_file(root, "val")
    path.write_bytes(path.read_bytes() + framed(simple_episode(11)))
    assert RLDSDataset(root).keys()[-1] == "val/000000"
    assert [p.problem for p in RLDSDataset(root).problems()] == [
        "dataset_info.json promises 1 episodes, 2 are there"
    ]


def test_lengths_that_lie_behind_the_right_size(root):
    stored = json.loads((root / "dataset_info.json").read_text())
    stored["splits"][0]["shardLengths"] = ["4", "1"]
    change_info(root, splits=stored["splits"])
    dataset = RLDSDataset(root)
    with pytest.raises(CorruptFileError, match=r"holds 3 episodes, dataset_info\.json says more"):
        dataset["train/000003"]
    assert dataset["train/000004"].instruction == "lift block 3"
    assert len(list(dataset.problems())) == 3


def test_a_git_lfs_pointer_is_called_one(root):
    path = shard_file(root, "val")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert "Git LFS pointer" in str(next(RLDSDataset(root).problems()))
    assert len(RLDSDataset(root)) == 5


def test_values_that_are_not_as_declared(tmp_path):
    bad = {
        "train/000000": ({"steps/action": [0.0] * 7}, ShapeError, "7 numbers do not make 4 values"),
        "train/000001": ({"steps/action": [1] * 12}, ShapeError, "holds int values"),
        "train/000002": ({"steps/observation/front": [b"x"] * 3}, ShapeError, "expected 4"),
        "train/000003": ({"steps/language_instruction": [b"\xff"] * 4}, CorruptFileError, "UTF-8"),
        "train/000004": ({"steps/action": []}, ShapeError, "0 numbers do not make"),
    }
    records = [simple_episode(k, **lists) for k, (lists, _, _) in enumerate(bad.values())]
    root = write_dataset(tmp_path, SIMPLE, {"train": [records]})
    dataset = RLDSDataset(root)
    for key, (lists, kind, message) in bad.items():
        with pytest.raises(kind, match=message) as caught:
            dataset[key]
        (name,) = lists
        assert caught.value.stream == name.removeprefix("steps/")
        assert (caught.value.episode, caught.value.file) == (key, str(shard_file(root)))
    found = told(root)
    assert all(
        (kind, key, next(iter(lists)).removeprefix("steps/")) in found
        for key, (lists, kind, _) in bad.items()
    )


def test_pictures_numbers_and_marks_that_are_wrong(tmp_path):
    first = np.zeros((4, 2))
    first[2, 1] = np.nan
    front = "steps/observation/front"
    records = [
        simple_episode(0, **{"steps/observation/state": first}),
        simple_episode(1, **{front: [b"\x89PNG\r\n\x1a\n rest"] * 4}),
        simple_episode(
            2, **{"steps/is_last": [0, 1, 0, 0], "steps/language_instruction": [""] * 4}
        ),
        example({**marks(0)}),
    ]
    dataset = RLDSDataset(write_dataset(tmp_path, SIMPLE, {"train": [records]}))
    with pytest.raises(CorruptFileError, match=r"step 2: .*picture") as caught:
        dataset[1].streams["observation/front"].values[2]
    assert (caught.value.episode, caught.value.stream) == ("train/000001", "observation/front")
    found = [(type(p), p.episode, p.stream) for p in dataset.problems()]
    assert (NonFiniteError, "train/000000", "observation/state") in found
    assert (CorruptFileError, "train/000001", "observation/front") in found
    assert (TimesError, "train/000002", "is_last") in found
    assert (CorruptFileError, "train/000002", None) in found
    assert (MissingStreamError, "train/000003", "action") in found
    assert (TimesError, "train/000003", None) in found


@pytest.mark.parametrize(
    ("feature", "values", "message"),
    [
        (
            tensor("float32", 3, encoding="zlib"),
            [zlib.compress(bytes(10**6))],
            "more than 12 bytes",
        ),
        (tensor("float32", 3, encoding="zlib"), [zlib.compress(bytes(12))[:-2]], "truncated"),
        (tensor("float32", 3, encoding="zlib"), [b"no zlib"], "compressed tensor is damaged"),
        (tensor("float32", -1, encoding="zlib"), [zlib.compress(bytes(10))], "10 bytes, which is"),
        (tensor("float32", 3, encoding="bytes"), [bytes(8)], "8 bytes, which is not float32"),
        (tensor("uint8"), [300], "holds 300 to 300, which is not uint8"),
    ],
)
def test_damaged_tensors(tmp_path, feature, values, message):
    record = example({**marks(1), "steps/x": values})
    dataset = RLDSDataset(write_dataset(tmp_path, {"x": feature}, {"train": [[record]]}))
    with pytest.raises(DataError, match=message) as caught:
        dataset[0]
    assert caught.value.stream == "x"


def test_a_compressed_tensor_of_unknown_size_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("robocache.datasets.rlds.values.LARGEST_BYTES", 1000)
    feature = tensor("float32", -1, encoding="zlib")
    record = example({**marks(3), "steps/x": [zlib.compress(bytes(400))] * 3})
    dataset = RLDSDataset(write_dataset(tmp_path, {"x": feature}, {"train": [[record]]}))
    with pytest.raises(CorruptFileError, match="more than 200 bytes"):
        dataset[0]


@pytest.mark.parametrize("lengths", [[1, 1], [3, -1], [2**62, 2**62], [2]])
def test_row_lengths_that_do_not_add_up(tmp_path, lengths):
    lists = {"steps/x/ragged_flat_values": [1, 2], "steps/x/ragged_row_lengths_0": lengths}
    features = {"x": sequence(tensor("int64")), "t": text()}
    record = example({**marks(2), **lists, "steps/t": ["", ""]})
    dataset = RLDSDataset(write_dataset(tmp_path, features, {"train": [[record]]}))
    if lengths == [1, 1]:
        assert dataset[0].streams["x"].values.tolist() == [[1], [2]]
        return
    with pytest.raises(ShapeError) as caught:
        dataset[0]
    assert caught.value.stream == "x"


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": [{"name": "../../etc", "shardLengths": ["1"]}]},
        {"splits": [{"name": "t", "shardLengths": ["1"], "filepathTemplate": "../x-{SPLIT}"}]},
        {"splits": [{"name": "t", "shardLengths": ["-1"]}]},
        {"splits": [{"name": "t", "shardLengths": ["many"]}]},
        {"splits": [{"shardLengths": ["1"]}]},
        {"splits": "train"},
    ],
)
def test_descriptions_that_cannot_be_used(root, changes):
    change_info(root, **changes)
    with pytest.raises(CorruptFileError, match=r"dataset_info\.json"):
        RLDSDataset(root)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"featuresDict": 3}', "[" * 100000, '{"sequence": {}}', "\udcff"]
)
def test_feature_descriptions_that_cannot_be_used(root, content):
    (root / "features.json").write_text(content, errors="surrogateescape")
    with pytest.raises((CorruptFileError, ConfigError), match=r"features\.json|no sequence"):
        RLDSDataset(root)


def test_a_shape_beyond_all_memory(root):
    tree = json.loads((root / "features.json").read_text())
    steps = tree["featuresDict"]["features"]["steps"]["sequence"]["feature"]
    steps["featuresDict"]["features"]["action"] = tensor("float32", 2**31, 2**31)
    (root / "features.json").write_text(json.dumps(tree))
    with pytest.raises(CorruptFileError, match="shape"):
        RLDSDataset(root)
