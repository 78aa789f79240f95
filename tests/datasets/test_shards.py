"""Shards: what is written is read back to the bit, and nothing damaged is read at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import recordings

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.episode import episode_hash
from robocache.core.errors import CorruptFileError, NonFiniteError, ShapeError, TimesError
from robocache.datasets import read_episode, write_shard
from robocache.datasets.shards import read_index

FLIPS = 60


def assert_equal(one: Episode, two: Episode) -> None:
    assert one.streams.keys() == two.streams.keys()
    for name, stream in one.streams.items():
        other = two.streams[name]
        assert stream.spec == other.spec
        assert (stream.available_s is None) == (other.available_s is None)
        for mine, theirs in (
            (stream.values, other.values),
            (stream.times_s, other.times_s),
            (stream.usable_s(), other.usable_s()),
        ):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
    fields = ("key", "instruction", "outcome", "provenance", "start_ns")
    assert [getattr(one, f) for f in fields] == [getattr(two, f) for f in fields]


@pytest.fixture
def shard(tmp_path: Path) -> tuple[Path, list[Episode], list[str]]:
    random = np.random.default_rng(0)
    episodes = [recordings.episode(random, f"e{n}", steps=6 + n) for n in range(3)]
    path = tmp_path / "a.episodes.parquet"
    return path, episodes, write_shard(path, episodes)


def test_round_trip(shard: tuple[Path, list[Episode], list[str]]) -> None:
    path, episodes, hashes = shard
    for row, episode in enumerate(episodes):
        assert_equal(episode, read_episode(path, row))
    assert [record["sha256"] for record in read_index(path)] == hashes
    assert hashes == [episode_hash(episode) for episode in episodes]


def test_any_parquet_tool_can_read_it(shard: tuple[Path, list[Episode], list[str]]) -> None:
    path, episodes, _ = shard
    table = pq.read_table(path)
    assert table.column("key").to_pylist() == ["e0", "e1", "e2"]
    flat = np.array(table.column("depth/values")[1].as_py(), np.uint16)
    np.testing.assert_array_equal(flat.reshape(-1, 6, 5), episodes[1].streams["depth"].values)


def test_episodes_of_different_shapes_and_streams_share_a_shard(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    one = Episode("one", {"x": recordings.stream(random, 5, shape=(2, 3)), "only": _plain(4)})
    two = Episode("two", {"x": recordings.stream(random, 7, shape=(4,), late=False)})
    path = tmp_path / "a.episodes.parquet"
    write_shard(path, [one, two])
    assert_equal(one, read_episode(path, 0))
    assert_equal(two, read_episode(path, 1))


def test_a_sample_may_have_no_numbers(tmp_path: Path) -> None:
    stream = Stream(np.zeros((3, 0), np.float32), np.arange(3.0), StreamSpec((0,)))
    path = tmp_path / "a.episodes.parquet"
    write_shard(path, [Episode("e", {"nothing": stream})])
    assert read_episode(path, 0).streams["nothing"].values.shape == (3, 0)


@pytest.mark.parametrize("dtypes", [("uint16", "uint8"), ("float32", "float64")])
def test_one_name_has_one_dtype_in_a_shard(tmp_path: Path, dtypes: tuple[str, str]) -> None:
    random = np.random.default_rng(2)
    episodes = [
        Episode(f"e{n}", {"x": recordings.stream(random, 4, dtype=dtype)})
        for n, dtype in enumerate(dtypes)
    ]
    with pytest.raises(ShapeError, match=r"episode e1, stream x: .* another dtype"):
        write_shard(tmp_path / "a.episodes.parquet", episodes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoilt", "error", "message"),
    [
        (
            Stream(np.array([[0.0], [np.nan]], np.float32), np.arange(2.0), StreamSpec((1,))),
            NonFiniteError,
            "sample 1 is NaN",
        ),
        (
            Stream(np.zeros((2, 1), np.float32), np.array([1.0, 1.0]), StreamSpec((1,))),
            TimesError,
            "increase strictly",
        ),
        (
            Stream(np.zeros((2, 1)), np.arange(2.0), StreamSpec((1,))),
            ShapeError,
            "expected dtype float32",
        ),
    ],
)
def test_what_is_unsound_is_not_written(
    tmp_path: Path, spoilt: Stream, error: type[Exception], message: str
) -> None:
    episodes = [Episode("good", {"x": _plain(3)}), Episode("bad", {"x": spoilt})]
    with pytest.raises(error, match=f"episode bad, stream x: .*{message}"):
        write_shard(tmp_path / "a.episodes.parquet", episodes)
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_byte_is_found_wherever_it_is(
    shard: tuple[Path, list[Episode], list[str]],
) -> None:
    path, _, hashes = shard
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    caught, files = 0, set()
    for position in random.integers(0, len(whole), FLIPS):
        data = bytearray(whole)
        data[position] ^= int(random.integers(1, 256))
        path.write_bytes(data)
        try:
            records = read_index(path)
            read = [episode_hash(read_episode(path, row)) for row in range(len(records))]
        except CorruptFileError as error:
            files.add(error.file)
            caught += 1
        else:
            assert read == hashes, f"byte {position}"
            assert [record["sha256"] for record in records] == hashes, f"byte {position}"
    assert caught > FLIPS / 4
    assert files == {str(path)}


def test_words_are_protected_like_numbers(shard: tuple[Path, list[Episode], list[str]]) -> None:
    """What was asked and where it comes from is in no stream's hash; the page's checksum has it."""
    path, _, _ = shard
    whole = path.read_bytes()
    column = pq.read_metadata(path).row_group(0).column(1)
    assert column.path_in_schema == "episode"
    last = column.data_page_offset + column.total_compressed_size
    for position in range(last - 300, last, 5):
        data = bytearray(whole)
        data[position] ^= 1
        path.write_bytes(data)
        for read in (read_index, lambda where: read_episode(where, 0)):
            with pytest.raises(CorruptFileError):
                read(path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated(shard: tuple[Path, list[Episode], list[str]], kept: float) -> None:
    path, _, _ = shard
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    for read in (read_index, lambda where: read_episode(where, 0)):
        with pytest.raises(CorruptFileError, match="truncated or damaged") as caught:
            read(path)
        assert caught.value.file == str(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match=r"gone\.episodes\.parquet: the file is missing"):
        read_episode(tmp_path / "gone.episodes.parquet", 0)


def test_content_against_its_hash(
    shard: tuple[Path, list[Episode], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard whose checksums are right but whose content is not what was recorded."""
    path, episodes, _ = shard
    values = episodes[1].streams["depth"].values.copy()
    values[2, 3, 4] ^= 1
    altered = dataclasses.replace(episodes[1].streams["depth"], values=values)
    other = dataclasses.replace(episodes[1], streams={**episodes[1].streams, "depth": altered})
    from robocache.datasets import shards

    record = json.loads(json.dumps(read_index(path)[1]))
    monkeypatch.setattr(shards, "_record", lambda episode: record)
    write_shard(path, [other])
    with pytest.raises(CorruptFileError, match=r"episode e1, stream depth: .* sha256"):
        read_episode(path, 0)


def _plain(count: int) -> Stream:
    return Stream(np.ones((count, 1), np.float32), np.arange(float(count)), StreamSpec((1,)))
