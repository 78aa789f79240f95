"""The road of someone who brings an environment: collect, train, judge, promote."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import robocache

import processes
import tiny
from robocache.datasets.shards import SUFFIX
from robocache.runs import RunStore
from troubled_env import trouble

PLAN = (tiny.TASKS, "episodes=40", "workers=0")
STEER = "examples.point_policy:Steer"


@pytest.fixture
def home(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    folder = tmp_path / "home"
    shutil.copytree(road, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def statuses() -> list[tuple[str, str]]:
    return [(record.verb, record.status) for record in RunStore().runs()]


def test_collected_and_trained(home: Path) -> None:
    assert statuses() == [("collect", "complete"), ("train", "complete")]
    said = robocache(*tiny.COLLECT)
    assert said.code == 0
    assert "40/40 solved" in said.out
    fingerprint = RunStore().get("demos").metrics["fingerprint"]
    assert f"fingerprint {fingerprint}" in said.out
    assert RunStore().get("long").inputs["datasets"] == {"demos": fingerprint}
    assert statuses() == [("collect", "complete"), ("train", "complete")]


def test_names_are_never_cut(home: Path) -> None:
    """They are what the next command is given."""
    name = "a-name-that-is-rather-long-but-still-allowed"
    assert robocache(*tiny.SHORT[:-1], f"--name={name}").code == 0
    said = robocache("runs", "ls")
    assert name in said.out and "demos" in said.out
    assert name in robocache("runs", "show", name).out


def test_training_teaches(home: Path) -> None:
    rates = {}
    for name in ("long", "long@1"):
        said = robocache("eval", name, *PLAN)
        assert said.code == 0, said.err
        rates[name] = int(re.findall(r"overall .*\((\d+)/40\)", said.out)[0])
    assert rates["long"] >= 36
    assert rates["long@1"] <= 10


def test_a_policy_from_outside(home: Path) -> None:
    said = robocache("eval", STEER, *PLAN)
    assert said.code == 0, said.err
    assert "(40/40)" in said.out
    again = robocache("eval", STEER, *PLAN, "batch=3", "workers=2")
    assert again.code == 0
    assert again.out == said.out, "found, not made again, with other workers"
    assert statuses().count(("eval", "complete")) == 1


def test_verdicts_are_exit_codes(home: Path) -> None:
    def compared(*arguments: str) -> tuple[int, str]:
        said = robocache("compare", *arguments)
        return said.code, re.findall(r"verdict: (\w+)", said.out + said.err)[0]

    assert compared("long", "long@1", *PLAN) == (0, "accepted")
    assert compared("long@1", "long", *PLAN) == (1, "rejected")
    assert compared("long", "long@1", tiny.TASKS, "episodes=2", "workers=0") == (2, "inconclusive")
    said = robocache("compare", "long", "long@400", *PLAN)
    assert said.code == 3 and "the same checkpoint" in said.err
    assert said.out == "", "told before anything is evaluated"


def test_open_loop(home: Path) -> None:
    arguments = (
        "eval",
        "long",
        "--open-loop",
        "dataset=demos",
        tiny.TRAINED,
        "samples=2",
        "--name=recorded",
    )
    said = robocache(*arguments)
    assert said.code == 0, said.err
    record = RunStore().get("recorded")
    result = json.loads((record.folder / "open_loop.json").read_text())
    overall = result["overall"]["absolute"]
    assert overall["policy"] < 0.5 * overall["hold"]
    assert overall["policy"] < 0.5 * overall["mean"]
    assert result["windows"][0] == RunStore().get("long").metrics["windows"] - 40
    assert record.metrics["first_step"] == result["first_step"]
    along = result["trajectories"]
    assert len(along["episodes"]) == 40 and along["counted"] == [True] * len(along["counted"])
    assert record.metrics["trajectories"] == {"mse": along["mse"], "mae": along["mae"]}
    kept = json.loads((record.folder / "trajectories.json").read_text())["episodes"]
    assert [one["episode"] for one in kept] == [one["episode"] for one in along["episodes"][:2]]
    errors = np.subtract(kept[0]["predicted"], kept[0]["recorded"])
    assert along["episodes"][0]["mse"] == pytest.approx((errors**2).mean(), rel=1e-6)
    assert along["episodes"][0]["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    assert "first 1" in said.out and "along whole trajectories" in said.out
    changed = (record.folder / "open_loop.json").stat().st_mtime_ns
    assert robocache(*arguments) == said, "told again without asking the policy"
    assert (record.folder / "open_loop.json").stat().st_mtime_ns == changed
    wrong = robocache(*arguments[:4], tiny.TRAINED, "chunk=99")
    assert wrong.code == 3 and "chunk=99: the policy predicts" in wrong.err
    wrong = robocache(*arguments[:4], tiny.TRAINED, "chunks=2")
    assert wrong.code == 3 and "did you mean 'chunk'?" in wrong.err
    wrong = robocache(*arguments[:4], "episodes=[nonsense]")
    assert wrong.code == 3 and "unknown episode of demos 'nonsense'" in wrong.err


def test_problems_are_an_exit_code(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = robocache("data", "inspect", "demos", "--json")
    assert sound.code == 0
    report = json.loads(sound.out)
    assert report["episodes"] == 40 and report["problems"] == []
    (first, *_) = sorted((home / "runs" / "demos" / "episodes").glob(f"*{SUFFIX}"))
    first.write_bytes(first.read_bytes()[:100])
    broken = robocache("data", "inspect", "demos", "--json")
    assert broken.code == 4
    altered, unreadable = json.loads(broken.out)["problems"]
    assert altered["kind"] == "Inconsistency" and altered["place"] == f"episodes/{first.name}"
    assert unreadable["kind"] == "CorruptFileError" and unreadable["file"] == str(first)
    words = robocache("data", "inspect", "demos")
    assert words.code == 4 and words.out.count(first.name) == 2 and "2 problems" in words.out
    said = robocache("data", "inspect", "demos", "--check", "--json")
    assert json.loads(said.out.splitlines()[-1])["problems"] == [altered, unreadable]
    monkeypatch.setattr("robocache.cli.data.QUICK_BYTES", 0)
    large = robocache("data", "inspect", "demos", "--json")
    assert json.loads(large.out)["problems"] == [unreadable], "hashed only with --check"
    options = robocache("data", "inspect", "demos", "--option", "split=val")
    assert options.code == 3 and "its reader takes no options" in options.err
    refused = robocache(*tiny.LONG[:-1], "--name=new")
    assert refused.code == 3 and f"episodes/{first.name} is altered" in refused.err


def test_a_folder_of_the_same_name_is_not_in_the_way(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes by its name; a folder can always be given with a slash."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demos").mkdir()
    said = robocache("data", "inspect", "demos", "--json")
    assert json.loads(said.out)["episodes"] == 40
    assert robocache(*tiny.SHORT).code == 0
    said = robocache("data", "inspect", "./demos")
    assert said.code == 3 and "demos is not a known dataset" in said.err
    shutil.copytree(home / "runs" / "demos" / "episodes", tmp_path / "copied")
    assert robocache(*tiny.SHORT[:-1], "dataset=copied", "--name=from-copy").code == 0
    hashes = [RunStore().get(run).metrics["checkpoint"] for run in ("short", "from-copy")]
    assert hashes[0] == hashes[1], "the same data wherever it lies"


def test_a_missing_shard_is_noticed(home: Path) -> None:
    """Each remaining shard is whole, yet the data is not what was collected."""
    shards = sorted((home / "runs" / "demos" / "episodes").glob(f"*{SUFFIX}"))
    assert len(shards) > 1
    shards[0].unlink()
    said = robocache(*tiny.LONG[:-1], "--name=new")
    assert said.code == 3
    assert f"episodes/{shards[0].name} is missing" in said.err
    inspected = robocache("data", "inspect", "demos")
    assert inspected.code == 4 and f"episodes/{shards[0].name} is missing" in inspected.out


def test_a_collection_that_was_stopped_is_no_dataset(home: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    collect = ("collect", "tasks=[troubled_env:TroubledEnv]", "episodes=12", "batch=3",
               "workers=0", "--name=stopped")  # fmt: skip
    ended = processes.run(collect, home, variables=trouble(signal.SIGINT, "self", marker))
    assert ended.code == 130
    assert "robocache collect 'tasks=[troubled_env:TroubledEnv]' episodes=12" in ended.output
    refused = robocache(*tiny.SHORT, "dataset=stopped")
    assert refused.code == 3
    assert "dataset 'stopped' is not complete (collect interrupted)" in refused.err
    said = robocache(*collect)
    assert said.code == 0, said.err
    undisturbed = robocache(*collect[:-1], "--name=other", "batch=5")
    assert undisturbed.code == 0
    assert undisturbed.out.split("fingerprint")[1] == said.out.split("fingerprint")[1]


def test_the_console_script_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    """As a user does it: own files in the current folder, a worker, Ctrl-C, the same again."""
    shutil.copytree(processes.ROOT / "examples", tmp_path / "examples")
    shutil.copy(processes.ROOT / "tests" / "troubled_env.py", tmp_path)
    script = Path(sys.executable).with_name("robocache")
    home, marker = tmp_path / "own", tmp_path / "marker"
    tasks = "tasks=[troubled_env:TroubledEnv]"
    command = [script, "eval", STEER, tasks, "episodes=20", "batch=2", "workers=1"]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def ran() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={
                **variables,
                **trouble(signal.SIGINT, "parent", marker),
                "ROBOCACHE_HOME": str(home),
            },
            text=True,
            capture_output=True,
            check=False,
        )

    stopped = ran()
    assert stopped.returncode == 130, stopped.stderr
    assert marker.exists()
    assert f"robocache eval {STEER} " in stopped.stderr
    finished = ran()
    assert finished.returncode == 0, finished.stderr
    assert "(20/20)" in finished.stdout
    assert len(list((home / "runs").glob("*/episodes/*"))) == 10


def test_an_unforeseen_error_is_not_a_rejection(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **settings: object) -> None:
        raise ZeroDivisionError("a mistake in the program")

    monkeypatch.setattr("robocache.cli.compare.judge", broken)
    said = robocache("compare", "long", "long@1", tiny.TASKS, "episodes=1", "workers=0")
    assert said.code == 70
    assert "Traceback" in said.err and "a mistake in the program" in said.err


def test_a_policy_by_entry_point(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("steer", STEER, "robocache.policies")
    monkeypatch.setattr(
        "robocache.core.plugins.entry_points",
        lambda group: [point] if group == point.group else [],
    )
    said = robocache("eval", "steer", *PLAN)
    assert said.code == 0, said.err
    assert "(40/40)" in said.out


def test_another_version_of_the_environment_is_another_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of two versions of a simulator are never taken for each other."""
    robocache("eval", STEER, *PLAN)
    import dataclasses

    from examples.point_env import PointEnv

    made = PointEnv.__init__

    def newer(self: PointEnv, max_steps: int = 40) -> None:
        made(self, max_steps)
        self.spec = dataclasses.replace(self.spec, version="point 2")

    monkeypatch.setattr(PointEnv, "__init__", newer)
    assert robocache("eval", STEER, *PLAN).code == 0
    assert statuses().count(("eval", "complete")) == 2
    refused = robocache(*tiny.COLLECT)
    assert refused.code == 3
    assert "was made with plan.env_version = 'point 1', now 'point 2'" in refused.err
