"""`sim_to_real=...` and `--domain-randomization`: in collections, training and evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import robocache

import tiny
from robocache.cli.configuration import load
from robocache.cli.train import delayed
from robocache.cli.train_config import TrainConfig
from robocache.cli.training_data import TrainingData
from robocache.core.window import StreamInput, Window
from robocache.datasets import EpisodeStore
from robocache.rollouts import RolloutPlan
from robocache.runs import read_manifest
from robocache.sim_to_real import Delays

TASKS = "tasks=[rgb_env:RgbEnv]"
PLAN = (TASKS, "episodes=3", "workers=0")
FRAMES = "frames.purpose=a test"
INPUTS = (
    "policy.inputs=[{stream: point, offsets_s: [0.0]}, {stream: goal, offsets_s: [0.0]}, "
    "{stream: camera, offsets_s: [-0.1, 0.0]}]"
)
TRAIN = (*tiny.POLICY[1:], INPUTS, "trainer.warmup_steps=2", "trainer.steps=4")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations as the simulator gives them, and as a robot would have."""
    folder = tmp_path_factory.mktemp("sim-to-real") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        patch.chdir(folder.parent)
        for arguments in (
            ("collect", *PLAN, FRAMES, "--name=clean"),
            ("collect", *PLAN, FRAMES, "--domain-randomization", "--name=robot"),
        ):
            said = robocache(*arguments)
            assert said.code == 0, said.err
    return folder


@pytest.fixture
def copied(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(home, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def config_of(home: Path, run: str) -> dict[str, Any]:
    config: dict[str, Any] = read_manifest(home / "runs" / run)["config"]
    return config


def test_a_collection_with_other_cameras_and_late_streams(home: Path) -> None:
    plan = config_of(home, "robot")["plan"]
    assert set(plan["latency"]) == {"point", "camera"}  # the goal is given once
    assert plan["latency"]["camera"]["mean_s"] == 0.03
    assert plan["randomization"]["images"]["gamma"] == [0.8, 1.25]
    assert "randomization" not in config_of(home, "clean")["plan"]
    clean, robot = (
        EpisodeStore(home / "runs" / name / "episodes")[0] for name in ("clean", "robot")
    )
    assert clean.streams["camera"].available_s is None
    late = robot.streams["camera"]
    assert late.available_s is not None and (late.available_s > late.times_s).any()
    kinds = [len(np.unique(episode.streams["camera"].values[:])) for episode in (clean, robot)]
    assert kinds[0] == 3 and kinds[1] > 10


def test_plans_survive_being_written(home: Path) -> None:
    for name in ("clean", "robot"):
        record = config_of(home, name)["plan"]
        plan = RolloutPlan.from_json(record)
        assert json.loads(json.dumps(plan.to_json())) == record
        assert (plan.randomization is None) == (name == "clean")


def test_training_randomizes_and_delays_and_says_so(copied: Path) -> None:
    late = ("sim_to_real=standard", "policy.network.ages=true")
    said = robocache("train", "dataset=clean", *TRAIN, *late, "--name=hard")
    assert said.code == 0, said.err
    assert "randomized in every step: camera" in said.out
    assert config_of(copied, "hard")["sim_to_real"]["latency"]["states"]["mean_s"] == 0.005
    said = robocache("train", "dataset=clean", *TRAIN, "--name=easy")
    assert said.code == 0 and "randomized" not in said.out
    assert "sim_to_real" not in config_of(copied, "easy")
    networks = [config_of(copied, name)["policy"]["network"] for name in ("hard", "easy")]
    assert [network.get("ages") for network in networks] == [True, None]
    hard, easy = (read_manifest(copied / "runs" / name) for name in ("hard", "easy"))
    assert hard["metrics"]["checkpoint"] != easy["metrics"]["checkpoint"]

    again = robocache("reproduce", "hard")
    assert again.code == 0, again.out + again.err
    assert "identical" in again.out


def test_evaluation_with_the_flag_is_another_plan(copied: Path) -> None:
    assert robocache("train", "dataset=clean", *TRAIN, "--name=policy").code == 0
    for arguments in ((), ("--domain-randomization", "sim_to_real.latency.cameras.mean_s=0.1")):
        said = robocache("eval", "policy", *PLAN, *arguments, f"--name=judged{len(arguments)}")
        assert said.code == 0, said.err
    plain, hard = config_of(copied, "judged0")["plan"], config_of(copied, "judged2")["plan"]
    assert plain["latency"] == {} and hard["latency"]["camera"]["mean_s"] == 0.1
    said = robocache("reproduce", "judged2")
    assert said.code == 0, said.out + said.err


def delays_of(*settings: str) -> Delays:
    config, _ = load("train", TrainConfig, ["dataset=any", "sim_to_real=standard", *settings])
    window = Window((StreamInput("point"), StreamInput("action", (-0.1,))), "action", 10.0, 2)
    delays = delayed(TrainingData({}, {}), config, {"": window}, 0).delays
    assert delays is not None
    return delays


def test_actions_that_a_policy_reads_are_not_late() -> None:
    """They are the labels, too: a lost one would be a label less."""
    assert delays_of().streams == ("point",)


def test_what_pictures_look_like_makes_no_other_cache() -> None:
    assert delays_of("sim_to_real.images.noise=[0,0.2]", "sim_to_real.depth.dropout=[0,0]") == (
        delays_of()
    )


def test_a_lidar_in_collections_and_training(copied: Path) -> None:
    lidar = ("sim_to_real=standard", "sim_to_real.lidar=[scan]")
    for name, changes in (("scans", ()), ("late", lidar)):
        plan = ("tasks=[scan_env:ScanEnv]", *PLAN[1:], *changes, f"--name={name}")
        said = robocache("collect", *plan)
        assert said.code == 0, said.err
    inputs = INPUTS.replace("camera, offsets_s: [-0.1, 0.0]", "scan, offsets_s: [0.0]")
    said = robocache("train", "dataset=scans", *TRAIN[:-3], inputs, *TRAIN[-2:], *lidar)
    assert said.code == 0, said.err
    assert "randomized in every step: scan" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("collect", *PLAN, "sim_to_real=standart"), "did you mean 'standard'"),
        (("collect", *PLAN, FRAMES, "sim_to_real.images.noise=[0.2,0.1]"), "noise must be"),
        (("collect", *PLAN, FRAMES, "sim_to_real.latency.wrist.mean_s=0.1"), "'wrist'"),
        (("eval", "x", "--open-loop", "--domain-randomization"), "as they are"),
        (("collect", *PLAN, FRAMES, "sim_to_real.lidar=[pont]"), "did you mean 'point'"),
        (("collect", *PLAN, FRAMES, "sim_to_real.lidar=point"), "sim_to_real.lidar must be list"),
        (("collect", *PLAN, FRAMES, "sim_to_real.images.noise=0.1"), "images.noise must be list"),
        (
            ("collect", *PLAN, FRAMES, "sim_to_real.images.noise=[0.1]"),
            "images.noise must be tuple[float, float], got (0.1,)",
        ),
        (
            ("train", "dataset=clean", *TRAIN, "sim_to_real.latency.pont.mean_s=0.1"),
            "did you mean 'point'",
        ),
        (("train", "dataset=clean", *TRAIN, "sim_to_real.lidar=[wrist]"), "'wrist'"),
    ],
)
def test_mistakes_are_named(copied: Path, arguments: tuple[str, ...], words: str) -> None:
    said = robocache(*arguments)
    assert said.code != 0 and words in said.err, said.err
