"""A folder of shards as one dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import recordings

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.episode import episode_hash
from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets import EpisodeStore, open_dataset, write_shard
from robocache.rollouts.worker import ledger_row
from robocache.runs import Ledger, open_database


def shard(folder: Path, name: str, *episodes: Episode) -> Path:
    path = folder / f"{name}.episodes.parquet"
    write_shard(path, episodes)
    return path


@pytest.fixture
def episodes() -> list[Episode]:
    random = np.random.default_rng(0)
    return [recordings.episode(random, f"e{n}", steps=4 + n) for n in range(5)]


def test_reads_by_key_and_position_in_key_order(tmp_path: Path, episodes: list[Episode]) -> None:
    shard(tmp_path, "b", episodes[3], episodes[0])
    shard(tmp_path, "a", episodes[4], episodes[1], episodes[2])
    store = open_dataset(tmp_path)
    assert isinstance(store, EpisodeStore)
    assert store.keys() == ["e0", "e1", "e2", "e3", "e4"]
    hashes = [episode_hash(episode) for episode in episodes]
    assert [episode_hash(episode) for episode in store] == hashes
    assert episode_hash(store["e3"]) == episode_hash(store[3]) == hashes[3]
    assert episode_hash(store[np.int64(3)]) == hashes[3]
    assert list(store.problems()) == []
    assert store.report()["steps"] == 4 + 5 + 6 + 7 + 8
    with pytest.raises(ConfigError, match=r"unknown episode .*did you mean 'e4'"):
        store["e44"]


def test_the_fingerprint_knows_content_only(tmp_path: Path, episodes: list[Episode]) -> None:
    layouts = {
        "one": [episodes],
        "turned": [episodes[::-1]],
        "split": [[episodes[4], episodes[2]], [episodes[0]], [episodes[3], episodes[1]]],
    }
    found = set()
    for name, shards in layouts.items():
        for number, content in enumerate(shards):
            shard(tmp_path / name, f"{number}", *content)
        found.add(EpisodeStore(tmp_path / name).fingerprint)
    assert len(found) == 1
    values = episodes[0].streams["state"].values.copy()
    values[0, 0] = np.nextafter(values[0, 0], np.float32(9))
    changed = dataclasses.replace(episodes[0].streams["state"], values=values)
    streams = {**episodes[0].streams, "state": changed}
    shard(tmp_path / "new", "0", dataclasses.replace(episodes[0], streams=streams), *episodes[1:])
    shard(tmp_path / "less", "0", *episodes[1:])
    assert EpisodeStore(tmp_path / "new").fingerprint not in found
    assert EpisodeStore(tmp_path / "less").fingerprint not in found


def test_the_ledger_has_the_same_fingerprint(tmp_path: Path, episodes: list[Episode]) -> None:
    path = shard(tmp_path, "a", *episodes)
    ledger = Ledger(open_database(), "a")
    ledger.commit([ledger_row(path, episode) for episode in episodes])
    assert EpisodeStore(tmp_path).fingerprint == ledger.fingerprint()


def test_an_episode_in_two_shards_counts_once(tmp_path: Path, episodes: list[Episode]) -> None:
    shard(tmp_path, "a", *episodes[:3])
    alone = EpisodeStore(tmp_path).fingerprint
    shard(tmp_path, "b", episodes[1], episodes[0])
    store = EpisodeStore(tmp_path)
    assert store.keys() == ["e0", "e1", "e2"]
    assert store.fingerprint == alone
    assert list(store.problems()) == []


def test_one_key_with_two_contents(tmp_path: Path, episodes: list[Episode]) -> None:
    shard(tmp_path, "a", episodes[0], episodes[1])
    path = shard(tmp_path, "b", dataclasses.replace(episodes[2], key="e1"))
    store = EpisodeStore(tmp_path)
    (problem,) = store.problems()
    assert isinstance(problem, CorruptFileError)
    assert (problem.file, problem.episode) == (str(path), "e1")
    assert "other content in a.episodes.parquet" in problem.problem
    with pytest.raises(CorruptFileError, match="other content"):
        _ = store.fingerprint


def test_a_damaged_shard_is_named_and_the_rest_is_readable(
    tmp_path: Path, episodes: list[Episode]
) -> None:
    shard(tmp_path, "a", episodes[0])
    broken = shard(tmp_path, "b", episodes[1])
    broken.write_bytes(broken.read_bytes()[:200])
    store = EpisodeStore(tmp_path)
    assert store.keys() == ["e0"]
    (problem,) = store.problems()
    assert isinstance(problem, CorruptFileError)
    assert problem.file == str(broken)
    with pytest.raises(CorruptFileError):
        store.require_whole()


def test_all_problems_are_listed(
    tmp_path: Path, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = {
        "e0": ("action", NonFiniteError, _nan),
        "e2": ("state", TimesError, _backwards),
        "e3": ("depth", ShapeError, _declared_otherwise),
    }
    written = []
    for episode in episodes:
        if episode.key in spoilt:
            name, _, spoil = spoilt[episode.key]
            streams = {**episode.streams, name: spoil(episode.streams[name])}
            episode = dataclasses.replace(episode, streams=streams)
        written.append(episode)
    with monkeypatch.context() as patch:
        patch.setattr(Episode, "check", lambda episode: None)
        shard(tmp_path, "a", *written[:3])
        path = shard(tmp_path, "b", *written[3:])
    damaged = shard(tmp_path, "c", recordings.episode(np.random.default_rng(9), "e9"))
    damaged.write_bytes(damaged.read_bytes()[:-30])

    problems = list(EpisodeStore(tmp_path).problems())
    found = {(problem.episode, problem.stream): type(problem) for problem in problems}
    expected: dict[tuple[str | None, str | None], type[DataError]] = {
        (key, name): kind for key, (name, kind, _) in spoilt.items()
    }
    assert found == {**expected, (None, None): CorruptFileError}
    files = {problem.episode: problem.file for problem in problems}
    assert files["e3"] == str(path)
    assert files[None] == str(damaged)


def test_a_shard_that_goes_away_while_reading(tmp_path: Path, episodes: list[Episode]) -> None:
    path = shard(tmp_path, "a", episodes[0])
    store = EpisodeStore(tmp_path)
    path.unlink()
    with pytest.raises(CorruptFileError, match="the file is missing"):
        store["e0"]
    (problem,) = store.problems()
    assert problem.file == str(path)


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a known dataset"):
        open_dataset(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="did you mean 'episodes'"):
        open_dataset(tmp_path, format="episode")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text("{")
    with pytest.raises(CorruptFileError, match=r"info\.json: not readable as JSON"):
        open_dataset(tmp_path)


def _nan(stream: Stream) -> Stream:
    values = np.array(stream.values)
    values[3] = np.nan
    return dataclasses.replace(stream, values=values)


def _backwards(stream: Stream) -> Stream:
    times = stream.times_s.copy()
    times[[4, 5]] = times[[5, 4]]
    return dataclasses.replace(stream, times_s=times)


def _declared_otherwise(stream: Stream) -> Stream:
    """Values of 6 x 5 declared as 6 x 4."""
    spec = StreamSpec((6, 4), "uint16", 20.0)
    return Stream(stream.values, stream.times_s, spec, stream.available_s)


def test_an_episode_needs_no_shard_but_its_own(tmp_path: Path, episodes: list[Episode]) -> None:
    paths = [shard(tmp_path, episode.key, episode) for episode in episodes]
    store = EpisodeStore(tmp_path)
    for path in paths[:2] + paths[3:]:
        path.unlink()
    assert episode_hash(store["e2"]) == episode_hash(episodes[2])
    with pytest.raises(CorruptFileError, match="missing"):
        store["e1"]
