"""Training GR00T on a mixture of two unlike robots, from the command line."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import processes
import small_robots
from robocache.datasets import write_shard
from robocache.policies.groot_n16.tiny import write_tiny
from robocache.runs import list_checkpoints, read_metrics
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE

MIXTURE = (
    "mixture={arm: {dataset: arm, embodiment: arm}, "
    "hand: {dataset: hand, embodiment: hand, weight: 2}}"
)


def written(value: Any) -> str:
    """As Hydra reads it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return "null" if value is None else str(value) or "''"


SETTINGS = (
    "policy=groot_gr1",
    "policy.network.base=tiny",
    "~policy.network.embodiments.gr1",
    f"policy.network.embodiments.arm={written(asdict(small_robots.ARM))}",
    f"policy.network.embodiments.hand={written(asdict(small_robots.HAND))}",
    "policy.inputs=[{stream: camera}, {stream: state}]",
    "policy.rate_hz=10",
    "policy.network.execute_steps=2",
    "policy.network.tune_top_llm_layers=0",
    "policy.network.dtype=float32",
    "trainer.threads=1",
    "trainer.batch_size=4",
    "trainer.steps=4",
    "trainer.checkpoint_every=2",
    "trainer.log_every=1",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets, a tiny base, and a home with a run on them."""
    folder = tmp_path_factory.mktemp("robots")
    write_tiny(folder / "tiny", state_size=16, action_size=16)
    for name, make in (("arm", small_robots.arm_episode), ("hand", small_robots.hand_episode)):
        (folder / name).mkdir()
        write_shard(folder / name / "0.episodes.parquet", [make(number) for number in range(2)])
    (folder / "judge").mkdir()
    write_shard(folder / "judge" / "0.episodes.parquet", [small_robots.hand_episode(7)])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ended = processes.run(("train", MIXTURE, *SETTINGS, "--name=whole"), folder / "home")
    assert ended.code == 0, ended.output
    assert "statistics of hand: dataset: state.fingers" in ended.output.replace("\n", " ")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    copied = shutil.copytree(trained, tmp_path / "robots")
    monkeypatch.setenv("ROBOCACHE_HOME", str(copied / "home"))
    monkeypatch.chdir(copied)
    return copied


def left(folder: Path, name: str) -> tuple[bytes, bytes, list[float]]:
    run = folder / "home" / "runs" / name
    weights = run / "checkpoints" / "step-00000004" / "training" / "weights.safetensors"
    losses = [line["loss"] for line in read_metrics(run / "metrics.jsonl")]
    return (run / "trace.bin").read_bytes(), weights.read_bytes(), losses


def test_a_run_that_was_killed_ends_with_the_same_bits(folder: Path) -> None:
    killed = ("train", MIXTURE, *SETTINGS, "--name=killed")
    stopped = {CRASH_VARIABLE: "checkpoint-unrecorded"}
    assert processes.run(killed, folder / "home", variables=stopped).code == CRASH_STATUS
    assert list(list_checkpoints(folder / "home" / "runs" / "killed")) == [2]
    ended = processes.run(killed, folder / "home")
    assert ended.code == 0, ended.output
    assert left(folder, "killed") == left(folder, "whole")


def test_it_is_judged_and_reproduced_as_either_robot(folder: Path) -> None:
    asked = ("eval", "whole", "--open-loop", "dataset=judge", "samples=1", "stride=4")
    ended = processes.run((*asked, "seen_as=hand", "--name=judged"), folder / "home")
    assert ended.code == 0, ended.output
    ended = processes.run(("reproduce", "judged"), folder / "home")
    assert ended.code == 0, ended.output
    ended = processes.run(asked, folder / "home")  # as the arm
    assert ended.code == 3 and "stream camera" in ended.output, ended.output


def test_a_robot_that_the_policy_does_not_know_is_named(folder: Path) -> None:
    wrong = MIXTURE.replace("embodiment: hand", "embodiment: hend")
    ended = processes.run(("train", wrong, *SETTINGS), folder / "home")
    assert ended.code == 3 and "did you mean 'hand'" in ended.output, ended.output


def test_kept_features_change_no_bit(folder: Path) -> None:
    """Made while training, then read without looking at a picture."""
    settings = (
        MIXTURE.replace(", weight: 2", ""),
        *SETTINGS,
        "trainer.batch_size=17",
        "policy.network.augment=false",
    )
    assert processes.run(("train", *settings, "--name=plain"), folder / "home").code == 0
    kept = ("train", *settings, "policy.network.feature_cache=true")
    for name, begun in (("making", 0), ("reading", 34)):
        ended = processes.run((*kept, f"--name={name}"), folder / "home")
        assert ended.code == 0, ended.output
        assert f"features of {begun} of 34 windows" in ended.output.replace("\n", " ")
        assert left(folder, name) == left(folder, "plain")
    ended = processes.run(("data", "cache", "--list"), folder / "home")
    assert "34 windows" in ended.output and "not finished" not in ended.output, ended.output
    refused = (*kept, "policy.network.tune_visual=true", "--name=refused")
    ended = processes.run(refused, folder / "home")
    assert ended.code == 3 and "the vision tower trains" in ended.output.replace("\n", " ")
