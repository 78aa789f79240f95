"""Records of shards that are kept: what they spare, and which changes they must not hide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
from opened_files import OpenedFiles

from robocache.core import Episode
from robocache.core.episode import episode_hash
from robocache.core.errors import CorruptFileError
from robocache.datasets import EpisodeStore, episode_files, shard_records, write_shard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shards of three episodes each, whose records are worth to be kept at once."""
    monkeypatch.setattr(shard_records, "WORTH_KEEPING", 4)
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    episodes = made(0)
    write_shard(tmp_path / "own" / "a.episodes.parquet", episodes[:3])
    write_shard(tmp_path / "own" / "b.episodes.parquet", episodes[3:])
    return tmp_path / "own"


def made(seed: int) -> list[Episode]:
    random = np.random.default_rng(seed)
    return [recordings.episode(random, f"e{n}", steps=5) for n in range(6)]


def records_of(store: EpisodeStore) -> list[dict[str, Any]]:
    return [store.record(key) for key in list(store.keys())]


def kept_file(home: Path) -> Path:
    (found,) = (home / "cache" / "indexes").glob("episodes-*")
    return found


def replace_content(shard: Path, content: bytes) -> None:
    """Overwrite in place with as many bytes, and put the time of modification back."""
    before = shard.stat()
    assert len(content) == before.st_size
    while shard.stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock ticks
        shard.write_bytes(content)
        os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = shard.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_the_second_opening_opens_no_shard(folder: Path, home: Path) -> None:
    first = EpisodeStore(folder)
    assert kept_file(home).is_file()
    with OpenedFiles(folder) as opened:
        again = EpisodeStore(folder)
        fingerprint, records = again.fingerprint, records_of(again)
        assert opened.since() == set()
        assert episode_hash(again["e4"]) == episode_hash(made(0)[4])
        assert opened.since() == {"b.episodes.parquet"}
    assert fingerprint == first.fingerprint
    assert again.keys() == first.keys() and again.report() == first.report()
    assert records == records_of(first)
    assert list(again.problems()) == []


def test_other_content_of_the_same_size_and_time_is_noticed(folder: Path, home: Path) -> None:
    fingerprint = EpisodeStore(folder).fingerprint
    shard = folder / "b.episodes.parquet"
    whole = shard.read_bytes()
    at = whole.index(b"PAR1", 4)
    replace_content(shard, whole[: at - 40] + bytes(40) + whole[at:])
    with pytest.raises(CorruptFileError, match=r"b\.episodes\.parquet"):
        EpisodeStore(folder).require_whole()
    assert EpisodeStore(folder).keys() == ["e0", "e1", "e2"]
    replace_content(shard, whole)
    assert EpisodeStore(folder).fingerprint == fingerprint


def test_another_file_in_its_place_is_noticed(folder: Path, home: Path) -> None:
    before = EpisodeStore(folder)
    shard = folder / "b.episodes.parquet"
    state = shard.stat()
    other = folder / "other"
    write_shard(other, made(1)[3:])
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    hashes = [episode_hash(episode) for episode in made(1)[3:]]
    os.replace(other, shard)
    after = EpisodeStore(folder)
    assert after.fingerprint != before.fingerprint
    assert [after.record(key)["sha256"] for key in ("e3", "e4", "e5")] == hashes


def test_shards_that_come_and_go(folder: Path, home: Path) -> None:
    EpisodeStore(folder)
    (folder / "a.episodes.parquet").rename(folder.parent / "a.episodes.parquet")
    assert EpisodeStore(folder).keys() == ["e3", "e4", "e5"]
    extra = recordings.episode(np.random.default_rng(2), "e9", steps=5)
    write_shard(folder / "c.episodes.parquet", [extra])
    assert EpisodeStore(folder).keys() == ["e3", "e4", "e5", "e9"]
    (folder.parent / "a.episodes.parquet").rename(folder / "a.episodes.parquet")
    assert len(EpisodeStore(folder)) == len(EpisodeStore(folder)) == 7


def test_damaged_records_are_not_believed(folder: Path, home: Path) -> None:
    fingerprint = EpisodeStore(folder).fingerprint
    kept = kept_file(home)
    whole = kept.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 40).tolist()
    spoilt = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    for content in (*spoilt, b"", whole[:100], whole[:-1], whole + b"\n[]"):
        kept.write_bytes(content)
        store = EpisodeStore(folder)
        assert store.fingerprint == fingerprint
        assert [record["key"] for record in records_of(store)] == store.keys()
        assert kept.read_bytes() == whole


def test_what_just_changed_or_is_small_is_not_kept(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(episode_files, "SETTLED_NS", 10**15)
        EpisodeStore(folder)
    monkeypatch.setattr(shard_records, "WORTH_KEEPING", 7)
    EpisodeStore(folder)
    assert not (home / "cache").exists()


def test_a_home_that_cannot_be_written_to(folder: Path, home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("in the way")
    assert EpisodeStore(folder).fingerprint == EpisodeStore(folder).fingerprint
