"""Words and outcomes of episodes: of every format that tells them, and read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rlds_writer import SIMPLE, group, simple_dataset, simple_episode, text, write_dataset

import arm_recordings
from robocache.cli.datasets import keep_keys
from robocache.core import Outcome
from robocache.datasets import open_dataset, write_shard
from robocache.datasets.episode_facts import EpisodeFacts, episode_facts, tells_success
from robocache.datasets.lerobot import write_lerobot
from robocache.datasets.skipping import SoundEpisodes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path / "home"))


def test_own_episodes_and_lerobot(tmp_path: Path) -> None:
    made = [arm_recordings.episode(number, steps=4) for number in range(3)]
    made[1] = replace(made[1], instruction="", outcome=Outcome(success=False, steps=4))
    expected = [
        EpisodeFacts("open the hand", True),
        EpisodeFacts("", False),
        EpisodeFacts("open the hand", True),
    ]
    write_shard(tmp_path / "own" / "a.episodes.parquet", made)
    own = open_dataset(tmp_path / "own")
    assert tells_success(own) and tells_success(SoundEpisodes(own, {}, []))
    assert list(episode_facts(own).values()) == expected
    write_lerobot(own, tmp_path / "lerobot")
    written = open_dataset(tmp_path / "lerobot")
    assert tells_success(written)
    assert list(episode_facts(written).values()) == expected


def test_rlds_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = open_dataset(simple_dataset(tmp_path / "plain"))
    assert not tells_success(plain)
    facts = episode_facts(plain)
    assert facts["train/000001"] == EpisodeFacts("lift block 1", None)
    with monkeypatch.context() as patch:
        patch.delattr(type(plain), "__getitem__")
        assert episode_facts(plain) == facts
    (kept,) = (tmp_path / "home" / "cache" / "indexes").glob("facts-*.json")
    kept.write_text("[[1]]")
    assert episode_facts(plain) == facts


def test_failures_of_droid_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["a/success/1", "a/failure/2", "a/success/3"]
    records = [
        simple_episode(
            k,
            3,
            **{
                "episode_metadata/file_path": [path],
                "steps/language_instruction": ["" if k == 2 else "lift"] * 3,
            },
        )
        for k, path in enumerate(paths)
    ]
    metadata = {"episode_metadata": group(file_path=text())}
    folder = write_dataset(
        tmp_path / "droid" / "1.0.0", SIMPLE, {"train": [records]}, episode=metadata
    )
    dataset = open_dataset(folder, known_as="droid")
    assert tells_success(dataset)
    keys = dataset.keys()
    every = keep_keys(dataset, require_success=False, require_instruction=False, hold_out=())
    assert every == keys
    succeeded = keep_keys(dataset, require_success=True, require_instruction=False, hold_out=())
    assert succeeded == [keys[0], keys[2]]
    told = keep_keys(dataset, require_success=True, require_instruction=True, hold_out=())
    assert told == [keys[0]]
    assert "left out, known to have failed: 1 of 3 episodes" in capsys.readouterr().out
