"""`on_error=skip`: what verbs leave out, say, record and repeat."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import lerobot_folder
import pytest
from command import robocache
from damaged_copies import flip_in_row, no_video
from mixed_datasets import MIX, SETTINGS, arm_episode, write_arm, write_hand

from robocache.cli.overlap import FILE
from robocache.core import Outcome
from robocache.datasets import open_dataset, write_shard
from robocache.runs import RunStore, read_manifest

SEEING = (
    *(text for text in SETTINGS if not text.startswith("policy.inputs")),
    "policy.rate_hz=12.5",
    "policy.network.image_features=4",
    "policy.inputs=[{stream: observation.state}, {stream: observation.images.front, size: [8, 8]}]",
)
SKIP = "on_error=skip"
DAMAGED = "episode_000001"


@pytest.fixture
def pick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three LeRobot episodes; the video of the second is none. `sound` is the same, whole."""
    monkeypatch.chdir(tmp_path)
    root = lerobot_folder.make_folder(tmp_path)
    shutil.copytree(root, tmp_path / "sound")
    no_video(lerobot_folder.video_file(root, 1))
    return root


def done(*arguments: str) -> str:
    said = robocache(*arguments)
    assert said.code == 0, said.err
    return said.out


def result(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(*arguments, "--json").splitlines()[-1])
    return found


def refused(*arguments: str) -> str:
    said = robocache(*arguments)
    assert said.code == 3, said
    return said.err.replace("\n", " ")


def manifest(name: str) -> dict[str, Any]:
    return read_manifest(RunStore().get(name).folder)


def left(name: str) -> bytes:
    return (RunStore().get(name).folder / "trace.bin").read_bytes()


def test_training_skips_records_and_repeats(pick: Path) -> None:
    train = ("train", "dataset=pick", *SEEING)
    assert "not a readable video" in refused(*train, "--name=raises")
    out = done(*train, SKIP, "--name=skips")
    (line,) = (line for line in out.splitlines() if "skipped" in line)
    assert line.startswith("pick: 1 of 3 episodes are damaged and skipped (file videos/chunk-000/")
    assert "2 of 2 episodes of pick" in out

    told = manifest("skips")["skipped"]["dataset"]
    assert (told["episodes"], told["of"], told["absent"]) == (1, 3, 0)
    (why,) = told["problems"]
    assert (why["episode"], why["kind"]) == (DAMAGED, "CorruptFileError")
    assert why["file"].endswith("episode_000001.mp4") and "not a readable video" in why["problem"]
    assert manifest("skips")["config"]["on_error"] == "skip"
    trained = json.loads((RunStore().get("skips").folder / FILE).read_text())
    assert sorted(trained.values()) == ["episode_000000", "episode_000002"]

    assert "is complete" in done(*train, SKIP, "--name=skips")
    (said,) = result(*train, SKIP, "--name=skips")["runs"]
    assert said["skipped"]["dataset"] == told
    done("train", "dataset=sound", *SEEING, f"hold_out=[{DAMAGED}]", "--name=held")
    assert left("skips") == left("held")
    assert "skipped" not in manifest("held") and "on_error" not in manifest("held")["config"]
    assert done("runs", "check", "skips")
    assert "identical: 12 steps" in done("reproduce", "skips")


def test_what_breaks_or_is_mended_later_is_another_dataset(pick: Path) -> None:
    done("train", "dataset=pick", *SEEING, SKIP, "--name=run")
    no_video(lerobot_folder.video_file(pick, 2))
    err = refused("train", "dataset=pick", *SEEING, SKIP, "--name=run")
    assert "run 'run' was made with dataset = " in err
    said = robocache("reproduce", "run")
    assert said.code == 4 and "dataset pick, fingerprint" in said.out, said
    shutil.copytree(pick.parent / "sound", pick, dirs_exist_ok=True)
    assert robocache("reproduce", "run").code == 4


def test_damaged_episodes_may_be_held_out_too(pick: Path) -> None:
    held = f"hold_out=[{DAMAGED},episode_000002]"
    assert "1 of 2 episodes of pick" in done("train", "dataset=pick", *SEEING, SKIP, held)
    err = refused("train", "dataset=pick", *SEEING, SKIP, "hold_out=[episode_000009]")
    assert "unknown episode of pick to hold out 'episode_000009'" in err
    both = "hold_out=[episode_000000,episode_000002]"
    assert "no episode left to train on" in refused("train", "dataset=pick", *SEEING, SKIP, both)


def test_only_what_the_policy_reads_must_be_there(pick: Path) -> None:
    """A video that is missing matters to who looks at it."""
    lerobot_folder.video_file(pick, 1).unlink()
    assert "stream observation.images.front: not recorded" in refused(
        "train", "dataset=pick", *SEEING
    )
    assert "2 of 2 episodes" in done("train", "dataset=pick", *SEEING, SKIP)
    blind = (*SEEING, "policy.inputs=[{stream: observation.state}]")
    assert "3 of 3 episodes" in done("train", "dataset=pick", *blind, SKIP, "--name=blind")
    assert manifest("blind")["skipped"]["dataset"]["problems"] == []
    assert "identical" in done("reproduce", "blind")


def test_recordings_to_judge_on_are_skipped_too(pick: Path) -> None:
    trained = ("train", "dataset=sound", *SEEING, "hold_out=[episode_000001,episode_000002]")
    done(*trained, "--name=judged", SKIP)
    asked = ("eval", "judged", "--open-loop", "dataset=pick", "samples=1")
    assert "not a readable video" in refused(*asked, "allow_training_episodes=true")
    assert "1 of 2 episodes of pick were trained on: episode_000000" in refused(*asked, SKIP)
    found = result(*asked, SKIP, "allow_training_episodes=true")
    assert found["skipped"]["dataset"]["problems"][0]["episode"] == DAMAGED
    assert "identical" in done("reproduce", found["run"])
    named = f"episodes=[{DAMAGED}]"
    assert "not a readable video" in refused(*asked, SKIP, named)

    more = ("validation=pick", "allow_training_episodes=true", "--name=validated")
    assert "not a readable video" in refused(*trained, *more[:2])
    done(*trained, *more, SKIP)
    told = manifest("validated")["skipped"]
    assert {role: one["episodes"] for role, one in told.items()} == {"dataset": 0, "validation": 1}
    assert "identical" in done("reproduce", "validated")
    off = "validation_options={on_error: raise}"
    assert "not a readable video" in refused(*trained, *more[:2], SKIP, off, "--name=off")


def test_a_mixture_skips_by_dataset_or_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flip_in_row(write_arm(tmp_path / "arm", range(3)) / "0.episodes.parquet", 1, "state/values")
    write_hand(tmp_path / "hand", range(10, 15))
    train = ("train", MIX, *SETTINGS)
    assert "row group 1 is damaged" in refused(*train, "--name=raises")
    assert "row group 1 is damaged" in refused(*train, "mixture.hand.on_error=skip")
    out = done(*train, "mixture.arm.on_error=skip", "--name=one")
    assert "arm: 1 of 3 episodes are damaged" in out
    assert "2 of 2 episodes of arm, 5 of 5 episodes of hand" in out
    told = manifest("one")
    assert told["skipped"]["mixture.arm"]["episodes"] == 1 and len(told["skipped"]) == 1
    assert told["config"]["mixture"]["arm"]["on_error"] == "skip"
    assert "on_error" not in told["config"]["mixture"]["hand"]
    assert "identical" in done("reproduce", "one")

    done(*train, SKIP, "--name=both")
    assert {role: one["episodes"] for role, one in manifest("both")["skipped"].items()} == {
        "mixture.arm": 1,
        "mixture.hand": 0,
    }
    assert "identical" in done("reproduce", "both")
    err = refused(*train, SKIP, "mixture.arm.on_error=raise", "--name=neither")
    assert "row group 1 is damaged" in err
    err = refused(*train, "mixture.arm.on_error=skipp", "--name=misspelt")
    assert "mixture.arm: " in err and "did you mean 'skip'" in err


def test_the_other_verbs_that_read_episodes(pick: Path) -> None:
    """All tell what they left out; statistics look at no picture."""
    lerobot_folder.data_file(pick, 1).write_bytes(b"no table")
    reads = {
        "stats": ("data", "stats", "pick"),
        "convert": ("data", "convert", "pick", "new", "--to=episodes"),
        "trim": ("data", "trim", "pick", "shorter", "--start=0.1", "--to=episodes"),
        "rename": ("data", "rename", "pick", "renamed", "action=act", "--to=episodes"),
        "split": ("data", "split", "pick", "parts", "--parts=a=1", "--to=episodes"),
        "merge": ("data", "merge", "merged", "pick", "--to=episodes"),
    }
    for name, verb in reads.items():
        assert "not a readable Parquet file" in refused(*verb), name
        found = result(*verb, "--on-error=skip")
        if name == "stats":
            assert found["streams"]["action"]["count"] == 9 + 7
            told = found["skipped"]["pick"]
        else:
            made = found["parts"]["a"] if name == "split" else found
            told = made["sources"][0]["skipped"]
            assert made["result"]["episodes"] == 2
        assert [problem["episode"] for problem in told["problems"]] == [DAMAGED], name
    assert open_dataset("new").keys() == ["episode_000000", "episode_000002"]
    assert "unknown on_error 'skipp'" in refused("data", "stats", "pick", "--on-error=skipp")

    cache = ("data", "cache", "dataset=pick", *SEEING)
    assert "not a readable Parquet file" in refused(*cache)
    made = result(*cache, SKIP, "--workers=0")
    assert made["caches"][0]["episodes"] == 2
    assert made["skipped"]["pick"]["problems"][0]["episode"] == DAMAGED
    assert "is read from the cache" in done("train", "dataset=pick", *SEEING, SKIP)


def test_statistics_do_not_decode_pictures(pick: Path) -> None:
    """They do without videos that are missing."""
    lerobot_folder.video_file(pick, 1).unlink()
    found = result("data", "stats", "pick", "--on-error=skip")
    assert found["streams"]["action"]["count"] == sum(lerobot_folder.LENGTHS)
    assert found["skipped"]["pick"]["problems"] == []


def test_failures_are_left_out_of_a_folder_of_episodes_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = [arm_episode(seed) for seed in range(3)]
    made[0] = replace(made[0], outcome=Outcome(success=False, steps=12))
    write_shard(tmp_path / "arm" / "0.episodes.parquet", made)
    flip_in_row(tmp_path / "arm" / "0.episodes.parquet", 2, "state/values")
    out = done("train", "dataset=arm", *SETTINGS, SKIP)
    assert "1 of 2 episodes of arm" in out


def test_a_collection_is_refused_as_a_whole(
    road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(road, tmp_path / "road")
    monkeypatch.setenv("ROBOCACHE_HOME", str(home))
    assert result("data", "stats", "demos", "--on-error=skip")["streams"]
    shard = next((home / "runs" / "demos" / "episodes").glob("*.parquet"))
    flip_in_row(shard, 0, "point/values")
    said = refused("data", "stats", "demos", "--on-error=skip")
    assert "run demos: episodes/" in said and "is altered" in said, said
