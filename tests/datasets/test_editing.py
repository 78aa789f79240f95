"""Edited copies of datasets: what is in them, where it came from, and that they are whole."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import episode as recording

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.episode import episode_hash
from robocache.core.errors import (
    ConfigError,
    DataError,
    MissingStreamError,
    ShapeError,
    StorageError,
)
from robocache.datasets import EpisodeStore, open_dataset, write_shard
from robocache.datasets.editing import (
    PROVENANCE,
    Target,
    convert,
    delete,
    merge,
    rename,
    same_format,
    split,
    trim,
)
from robocache.datasets.lerobot import LeRobotDataset, LeRobotSettings, VideoSettings
from robocache.datasets.parts import content_hash, split_keys
from robocache.datasets.reader import Reader
from robocache.datasets.views import Joined, View, select

EPISODES = Target("episodes")
LEROBOT = Target("lerobot", LeRobotSettings(cameras="image"))
STEPS = 30


def even(number: int, steps: int = STEPS, key: str | None = None) -> Episode:
    """An episode at 10 Hz that stands still for 5 steps at the beginning and 4 at the end."""
    random = np.random.default_rng(number)
    times = np.arange(steps) / 10
    action = random.uniform(0.5, 1, (steps, 2)).astype(np.float32)
    action[:5] = action[-4:] = 0.01
    picture = random.integers(0, 255, (steps, 4, 6, 3), np.uint8)
    return Episode(
        key or f"arm/{number}",
        {
            "state": Stream(
                random.normal(size=(steps, 3)).astype(np.float32),
                times,
                StreamSpec((3,), rate_hz=10.0, unit="rad"),
            ),
            "eye": Stream(picture, times, StreamSpec((4, 6, 3), "uint8", 10.0)),
            "action": Stream(action, times, StreamSpec((2,), rate_hz=10.0), (times * 10 + 1) / 10),
        },
        instruction=f"pick {number % 2}",
    )


def store(folder: Path, episodes: list[Episode]) -> EpisodeStore:
    write_shard(folder / "a.episodes.parquet", episodes)
    return EpisodeStore(folder)


@pytest.fixture
def demos(tmp_path) -> EpisodeStore:
    return store(tmp_path / "demos", [even(k) for k in range(6)])


def hashes(dataset: Reader) -> dict[str, str]:
    return {key: episode_hash(dataset[key]) for key in dataset.keys()}  # noqa: SIM118


def history(folder: Path) -> dict:
    return json.loads((folder / PROVENANCE).read_text())


def test_convert_to_shards_changes_nothing(tmp_path):
    random = np.random.default_rng(0)
    source = store(tmp_path / "demos", [recording(random, f"{k}") for k in range(4)])
    made = convert(source, tmp_path / "out", EPISODES)
    assert hashes(made) == hashes(source) and made.fingerprint == source.fingerprint
    told = history(tmp_path / "out")
    assert told["sources"][0]["fingerprint"] == source.fingerprint and told["operations"] == []
    assert told["result"] == {"episodes": 4, "fingerprint": source.fingerprint}
    assert list(open_dataset(tmp_path / "out").problems()) == []


def test_there_and_back_again(tmp_path, demos):
    there = convert(demos, tmp_path / "lerobot", LEROBOT)
    assert isinstance(there, LeRobotDataset) and list(there.problems()) == []
    back = convert(there, tmp_path / "back", EPISODES)
    assert back.keys() == demos.keys()
    for key in demos.keys():  # noqa: SIM118
        before, after = demos[key], back[key]
        assert after.instruction == before.instruction and after.outcome == before.outcome
        for name, stream in before.streams.items():
            other = after.stream(name)
            np.testing.assert_array_equal(other.values, stream.values)
            np.testing.assert_array_equal(other.times_s, stream.times_s)
            np.testing.assert_array_equal(other.usable_s(), stream.usable_s())
            assert other.spec == replace(stream.spec, clock="synthetic")
    chain = history(tmp_path / "back")["sources"][0]["provenance"]["sources"][0]
    assert chain["name"] == "demos" and chain["fingerprint"] == demos.fingerprint


def test_shards_stay_small(tmp_path, demos, monkeypatch):
    monkeypatch.setattr("robocache.datasets.editing.SHARD_BYTES", 6000)
    made = convert(demos, tmp_path / "out", EPISODES)
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3
    assert hashes(made) == hashes(demos)


def test_official_folders_convert(tmp_path, shared_data):
    for name in ("lerobot_v21_written", "lerobot_v30_written"):
        source = LeRobotDataset(shared_data / name)
        made = convert(source, tmp_path / name, Target(same_format(source)))
        assert made.keys() == source.keys() and list(made.problems()) == []
        for before, after in zip(source, made, strict=True):
            np.testing.assert_array_equal(
                before.stream("action").values, after.stream("action").values
            )


def test_merge(tmp_path, demos):
    other = store(tmp_path / "more", [even(k) for k in range(10, 13)])
    made = merge([demos, other], tmp_path / "out", EPISODES)
    assert hashes(made) == {**hashes(demos), **hashes(other)}
    assert [s["name"] for s in history(tmp_path / "out")["sources"]] == ["demos", "more"]
    assert same_format(Joined([demos, other])) == "episodes"


def test_merge_explains_what_clashes(tmp_path, demos):
    again = store(tmp_path / "again", [even(0)])
    with pytest.raises(ConfigError, match=r"both demos and again have an episode 'arm/0'.*prefix"):
        merge([demos, again], tmp_path / "out", EPISODES)
    made = merge([demos, again], tmp_path / "out", EPISODES, prefix=True)
    assert "again/arm/0" in made.keys() and len(made) == 7  # noqa: SIM118
    with pytest.raises(ConfigError, match="two datasets are called 'demos'"):
        Joined([demos, demos], prefix=True)
    short = even(20)
    thin = {n: s for n, s in short.streams.items() if n != "eye"}
    for streams, message in (
        (thin, "no such stream"),
        (
            {
                **short.streams,
                "eye": Stream(
                    np.zeros((STEPS, 2), np.float32), np.arange(STEPS) / 10, StreamSpec((2,))
                ),
            },
            r"demos has uint8 \(4, 6, 3\) at 10 Hz, odd has float32 \(2,\) once",
        ),
    ):
        odd = store(tmp_path / message[:4] / "odd", [replace(short, streams=streams)])
        with pytest.raises(ShapeError, match=message) as caught:
            merge([demos, odd], tmp_path / "odd", EPISODES)
        assert caught.value.stream == "eye" and not (tmp_path / "odd").exists()


def test_merged_lerobot_folders_count_anew(tmp_path, demos):
    parts = [
        convert(select(demos, demos.keys()[k : k + 2]), tmp_path / f"{k}", LEROBOT) for k in (0, 2)
    ]
    made = merge(parts, tmp_path / "out", LEROBOT)
    assert made.keys() == demos.keys()[:4] and list(made.problems()) == []


def test_split_keeps_equal_episodes_together(tmp_path):
    episodes = [even(k) for k in range(12)] + [even(k, key=f"again/{k}") for k in range(12)]
    source = store(tmp_path / "demos", episodes)
    for parts in ({"train": 0.75, "val": 0.25}, {"train": 16, "val": 8}):
        chosen = split_keys(source, parts)
        assert {name: len(keys) for name, keys in chosen.items()} == {"train": 18, "val": 6} or (
            {name: len(keys) for name, keys in chosen.items()} == {"train": 16, "val": 8}
        )
        sides = {name: {key.split("/")[1] for key in keys} for name, keys in chosen.items()}
        assert not sides["train"] & sides["val"]
    made = split(source, tmp_path / "out", {"train": 0.5, "val": 0.25}, EPISODES)
    assert {name: len(part) for name, part in made.items()} == {"train": 12, "val": 6}
    merged = {**hashes(made["train"]), **hashes(made["val"])}
    assert merged.items() <= hashes(source).items() and len(merged) == 18
    told = history(tmp_path / "out/val")
    assert told["operations"] == [{"split": {"train": 0.5, "val": 0.25}, "part": "val"}]
    assert open_dataset(tmp_path / "out/train").keys() == made["train"].keys()


def test_split_does_not_depend_on_names_or_order(tmp_path):
    one = store(tmp_path / "one", [even(k) for k in range(8)])
    other = store(tmp_path / "two", [even(k, key=f"z{9 - k}") for k in reversed(range(8))])
    sides = []
    for source in (one, other):
        keys = split_keys(source, {"a": 0.5, "b": 0.5})["a"]
        sides.append({content_hash(source[key]) for key in keys})
    assert sides[0] == sides[1] and len(sides[0]) == 4


def test_the_real_overlap_is_one_group(shared_data):
    source = LeRobotDataset(shared_data / "lerobot_v21_written")
    other = LeRobotDataset(shared_data / "lerobot_v30_written")
    assert content_hash(source[0]) == content_hash(other[0]) != content_hash(other[1])


def test_splits_that_cannot_be(tmp_path, demos):
    for parts, message in (
        ({"a": 0.7, "b": 0.6}, "shares sum to at most 1"),
        ({"a": 0}, "positive"),
        ({}, "positive"),
        ({"a": 7}, "7 episodes were asked for, there are 6"),
        ({"a": 1.5}, "whole"),
        ({"../a": 0.5}, "cannot be called"),
        ({"a": 0.99, "b": 0.01}, "'b' would be empty"),
    ):
        with pytest.raises(ConfigError, match=message):
            split(demos, tmp_path / "out", parts, EPISODES)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [EPISODES, LEROBOT])
def test_trim_seconds(tmp_path, demos, target):
    made = convert(trim(demos, start_s=0.5, end_s=1.0), tmp_path / "out", target)
    assert made.keys() == demos.keys() and list(made.problems()) == []
    for key in demos.keys():  # noqa: SIM118
        before, after = demos[key], made[key]
        for name in before.streams:
            np.testing.assert_array_equal(
                after.stream(name).values[:], before.stream(name).values[5:20]
            )
        np.testing.assert_allclose(after.stream("state").times_s, np.arange(15) / 10, atol=1e-12)
        assert after.start_ns == 500_000_000 and after.outcome.steps == 15
        after.check()
    assert history(tmp_path / "out")["operations"][0]["trim"]["end_s"] == 1.0


def test_trim_idle(tmp_path, demos):
    view = trim(demos, idle=0.1)
    for key in demos.keys():  # noqa: SIM118
        before, after = demos[key].stream("action"), view[key].stream("action")
        np.testing.assert_array_equal(after.values, before.values[5:-4])
        assert len(view[key].stream("eye")) == STEPS - 9
    with pytest.raises(DataError, match="no action has a norm of 9 or more") as caught:
        trim(demos, idle=9)[0]
    assert caught.value.episode == "arm/0" and caught.value.stream == "action"
    with pytest.raises(DataError, match="nothing is left"):
        convert(trim(demos, start_s=2, end_s=2), tmp_path / "out", EPISODES)
    with pytest.raises(ConfigError, match="positive"):
        trim(demos, start_s=-1)
    with pytest.raises(MissingStreamError):
        trim(demos, idle=0.1, action="actions")[0]


def test_trim_keeps_what_was_given_once(tmp_path):
    episode = even(0)
    goal = Stream(np.float32([[4.0]]), np.zeros(1), StreamSpec((1,)))
    given = replace(episode, streams={**episode.streams, "goal": goal})
    view = trim(store(tmp_path / "demos", [given]), start_s=0.5)
    assert view[0].stream("goal").values.tolist() == [[4.0]]
    assert view[0].stream("goal").times_s.tolist() == [-0.5]
    target = Target("lerobot", LeRobotSettings(fps=10, cameras="image"))
    made = convert(view, tmp_path / "out", target)
    np.testing.assert_array_equal(
        made[0].stream("state").values, episode.stream("state").values[5:]
    )
    assert (made[0].stream("goal").values == 4).all()


def test_frames_stay_encoded_when_trimmed(tmp_path, shared_data):
    source = LeRobotDataset(shared_data / "lerobot_v30_written")
    frames = trim(source, start_s=0.5)[2].stream("observation.images.front").values
    assert not isinstance(frames, np.ndarray) and frames.shape == (17, 128, 160, 3)
    whole = source[2].stream("observation.images.front").values
    np.testing.assert_array_equal(frames[[0, -1]], whole[[5, 21]])


def test_delete(tmp_path, demos):
    made = convert(delete(demos, ["arm/1", "arm/[45]"]), tmp_path / "out", EPISODES)
    kept = {key: value for key, value in hashes(demos).items() if key[-1] in "023"}
    assert hashes(made) == kept
    assert history(tmp_path / "out")["operations"] == [{"delete": ["arm/1", "arm/4", "arm/5"]}]
    for wrong in ("arm/9", "leg/*"):
        with pytest.raises(ConfigError, match="unknown episode"):
            delete(demos, [wrong])
    with pytest.raises(ConfigError, match="no episodes"):
        convert(delete(demos, ["*"]), tmp_path / "none", EPISODES)
    assert not (tmp_path / "none").exists()


def test_deleted_from_a_lerobot_folder(tmp_path, shared_data):
    source = LeRobotDataset(shared_data / "lerobot_v30_written")
    made = convert(delete(source, ["episode_000001"]), tmp_path / "out", Target("lerobot"))
    assert made.keys() == ["episode_000000", "episode_000001", "episode_000002"]
    assert list(made.problems()) == []
    for old, new in ((0, 0), (2, 1), (3, 2)):
        expected = source[old].stream("action").values
        np.testing.assert_array_equal(made[new].stream("action").values, expected)
    assert history(tmp_path / "out")["result"]["renamed_keys"] == {
        "episode_000002": "episode_000001",
        "episode_000003": "episode_000002",
    }


def test_rename(tmp_path, demos):
    view = rename(demos, {"state": "observation.state", "eye": "observation.images.eye"})
    made = convert(view, tmp_path / "out", LEROBOT)
    assert sorted(made[0].streams) == ["action", "observation.images.eye", "observation.state"]
    np.testing.assert_array_equal(
        made[3].stream("observation.state").values, demos[3].stream("state").values
    )
    assert sorted(rename(demos, {"state": "eye", "eye": "state"})[0].streams) == [
        "action",
        "eye",
        "state",
    ]
    with pytest.raises(MissingStreamError, match="streams: action, eye, state"):
        rename(demos, {"stat": "x"})[0]
    with pytest.raises(ConfigError, match="has one already"):
        rename(demos, {"state": "eye"})[0]
    with pytest.raises(ConfigError, match="one name"):
        rename(demos, {"state": "x", "eye": "x"})


def test_a_view_is_a_reader(demos):
    view = select(trim(demos, start_s=0.5), ["arm/3", "arm/1"])
    assert isinstance(view, Reader) and isinstance(Joined([demos]), Reader)
    assert view.keys() == ["arm/3", "arm/1"] and len(view) == 2
    assert [episode.key for episode in view] == view.keys()
    assert view.report()["episodes"] == 2 and list(view.problems()) == []
    assert len({view.fingerprint, demos.fingerprint, View(demos, {}).fingerprint}) == 3
    assert select(demos, ["arm/1"]).fingerprint == select(demos, ["arm/1"]).fingerprint
    with pytest.raises(ConfigError, match="did you mean 'arm/"):
        view["arm/2x"]
    with pytest.raises(ConfigError, match="unknown episode"):
        select(demos, ["leg"])


@pytest.mark.parametrize("target", [EPISODES, LEROBOT])
def test_nothing_is_left_of_a_write_that_failed(tmp_path, demos, monkeypatch, target):
    before = {path.name for path in tmp_path.iterdir()}
    write = Path.write_text

    def full(path, *args, **kwargs):
        if path.name == PROVENANCE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(StorageError, match="disk is full"):
            convert(demos, tmp_path / "out", target)
        with pytest.raises(StorageError, match="disk is full"):
            split(demos, tmp_path / "out", {"a": 0.5}, target)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert len(convert(demos, tmp_path / "out", target)) == 6
    with pytest.raises(StorageError, match="already exists"):
        convert(demos, tmp_path / "out", target)


def test_damage_in_the_source_stops_the_copy(tmp_path, demos):
    shard = tmp_path / "demos" / "a.episodes.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 255
    shard.write_bytes(data)
    with pytest.raises(DataError) as caught:
        convert(EpisodeStore(tmp_path / "demos"), tmp_path / "out", EPISODES)
    assert caught.value.file == str(shard) and not (tmp_path / "out").exists()


def test_a_format_that_is_not_written():
    with pytest.raises(ConfigError, match="did you mean 'lerobot'"):
        Target("lerobots")
    assert Target("lerobot", LeRobotSettings(video=VideoSettings(crf=20))).lerobot.video.crf == 20
