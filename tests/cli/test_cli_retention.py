"""`runs rm`, `runs gc`, and what camera frames are kept for."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from command import robocache

from robocache.cli.configuration import load
from robocache.core.errors import RunError
from robocache.datasets import EpisodeStore
from robocache.runs import Ledger, RunStore, read_manifest, runs_folder, utc_now
from robocache.runs.retention import RetentionPolicy

SCENE = "tasks=[camera_env:CameraEnv]"
FILM = ("collect", SCENE, "episodes=4", "workers=0", "--name=film")
PURPOSE = ("frames.purpose=consent of 4 May", "frames.keep_days=30")
WATCH = ("eval", "camera_env:Gaze", SCENE, "episodes=4", "workers=0")


def days_later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    now = (datetime.fromisoformat(utc_now()) + timedelta(days=days)).isoformat()
    monkeypatch.setattr("robocache.runs.retention.utc_now", lambda: now)


def result(*arguments: str) -> dict[str, object]:
    said = robocache(*arguments, "--json")
    assert said.code == 0, said
    return json.loads(said.out.splitlines()[-1])


def files() -> dict[str, bytes]:
    return {
        str(path.relative_to(runs_folder())): path.read_bytes()
        for path in runs_folder().rglob("*")
        if path.is_file() and path.name != "lock"
    }


def recorded(run_id: str) -> EpisodeStore:
    return EpisodeStore(runs_folder() / run_id / "episodes")


def test_the_preset_says_what_the_policy_says() -> None:
    assert load("gc", RetentionPolicy, [])[0] == RetentionPolicy()


# --- frames ---------------------------------------------------------------------------------------


def test_demonstrations_with_a_camera_need_a_purpose(home: Path) -> None:
    said = robocache(*FILM)
    assert said.code == 3
    assert "demonstrations with camera: frames of cameras are kept for a purpose" in said.err
    assert "add frames.purpose='...'" in said.err
    assert RunStore().runs() == []
    said = robocache(*FILM, "frames.keep_days=30")
    assert said.code == 3 and "frames.purpose" in said.err
    said = robocache("collect", "tasks=[examples.point_env:PointEnv]", "frames.purpose=x")
    assert said.code == 3 and "nothing here is a camera" in said.err
    assert robocache(*FILM, *PURPOSE).code == 0
    assert all(len(episode.streams["camera"]) for episode in recorded("film"))


def test_the_manifest_says_what_for_and_until_when(home: Path) -> None:
    assert robocache(*FILM, *PURPOSE).code == 0
    manifest = read_manifest(runs_folder() / "film")
    plan = manifest["config"]["plan"]
    assert (plan["frames_purpose"], plan["frames_keep_days"]) == ("consent of 4 May", 30.0)
    until = datetime.fromisoformat(manifest["metrics"]["frames_until"])
    left = until - datetime.fromisoformat(manifest["ended"])
    assert timedelta(days=29.9) < left < timedelta(days=30.1)
    assert "frames_until" in robocache("runs", "show", "film").out


def test_an_evaluation_keeps_no_frames_unless_asked(home: Path) -> None:
    assert robocache(*WATCH, "--name=without").code == 0
    assert robocache(*WATCH, *PURPOSE, "--name=with").code == 0
    store = RunStore()
    one, other = (store.get(name).metrics for name in ("without", "with"))
    assert one["overall"] == other["overall"] and one["tasks"] == other["tasks"]
    assert "frames_until" in other and "frames_until" not in one
    assert all("camera" not in episode.streams for episode in recorded("without"))
    assert all("camera" in episode.streams for episode in recorded("with"))


def test_frames_go_when_their_days_are_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert robocache(*FILM, *PURPOSE).code == 0
    days_later(monkeypatch, 29)
    assert result("runs", "gc")["items"] == []
    days_later(monkeypatch, 31)
    before = files()
    said = robocache("runs", "gc")
    assert "episodes of film" in said.out and "'consent of 4 May'" in said.out
    assert "nothing was removed: add --yes" in said.out
    assert files() == before

    told = result("runs", "gc", "--yes")
    size = sum(len(data) for name, data in before.items() if name.startswith("film/episodes/"))
    assert told["bytes"] == size > 0 and told["removed"] is True
    kept = {name: data for name, data in before.items() if not name.startswith("film/episodes/")}
    assert files() == kept
    record = RunStore().get("film")
    gone = {name.removeprefix("film/") for name in before.keys() - kept.keys()}
    assert gone and gone <= set(record.removed)
    assert len(Ledger(RunStore().engine, "film").rows()) == 4
    assert robocache("runs", "check").code == 0
    assert result("runs", "gc", "--yes")["items"] == []

    again = robocache(*FILM, *PURPOSE)
    assert again.code == 0 and "its episodes were removed on 2" in again.out
    said = robocache("train", "dataset=film")
    assert said.code == 3 and "episodes" in said.err
    assert robocache("runs", "rm", "film", "--yes").code == 0
    assert robocache(*FILM, *PURPOSE).code == 0
    assert len(recorded("film")) == 4


# --- runs -----------------------------------------------------------------------------------------


@pytest.fixture
def travelled(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home with demonstrations and a policy trained on them."""
    folder = tmp_path / "home"
    shutil.copytree(road, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def test_removing_runs(travelled: Path) -> None:
    before = files()
    said = robocache("runs", "rm", "demos", "--yes")
    assert said.code == 3 and "run 'demos' stays: run 'long' builds on it" in said.err
    said = robocache("runs", "rm", "lon", "--yes")
    assert said.code == 3 and "did you mean 'long'" in said.err
    said = robocache("runs", "rm", "demos", "long")
    assert said.code == 0 and "nothing was removed: add --yes" in said.out
    assert files() == before
    assert result("runs", "rm", "demos", "long", "demos", "--yes")["runs"] == ["demos", "long"]
    assert files() == {}
    assert RunStore().runs() == []
    assert robocache("runs", "check").code == 0


def test_a_removed_run_is_made_again_to_the_bit(travelled: Path) -> None:
    import tiny

    store = RunStore()
    fingerprint = store.get("demos").metrics["fingerprint"]
    assert robocache("runs", "rm", "long", "demos", "--yes").code == 0
    assert robocache(*tiny.COLLECT).code == 0
    assert store.get("demos").metrics["fingerprint"] == fingerprint


def test_the_table_and_what_stays(travelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days_later(monkeypatch, 100)
    told = result("runs", "gc", "keep_checkpoints=1", "datasets_after_days=90", "--yes")
    items = told["items"]
    assert [item["what"] for item in items] == ["episodes of demos", "checkpoint 1 of long"]
    assert [item["why"] for item in items] == [
        "collected 100 days ago",
        "not among the last 1, never judged",
    ]
    assert told["bytes"] == sum(item["bytes"] for item in items)
    assert robocache("runs", "check").code == 0
    assert robocache("eval", "long", "tasks=[examples.point_env:PointEnv]", "episodes=2").code == 0


def test_what_cannot_go_any_more_is_said(travelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needed(*arguments: object) -> None:
        raise RunError("run 'x' builds on it")

    monkeypatch.setattr("robocache.runs.retention.remove_checkpoint", needed)
    said = robocache("runs", "gc", "keep_checkpoints=1", "--yes")
    assert said.code == 0
    assert "stays: checkpoint 1 of long: run 'x' builds on it" in said.out
    assert "removed: 0 B" in said.out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("keep_checkpoint=2", "did you mean 'keep_checkpoints'"),
        ("keep_checkpoints=0", "keep_checkpoints must be at least 1, got 0"),
        ("failed_after_days=soon", "failed_after_days"),
        ("datasets_after_days=-1", "must be a number of days, got -1"),
    ],
)
def test_policies_that_make_no_sense(home: Path, setting: str, message: str) -> None:
    said = robocache("runs", "gc", setting)
    assert said.code == 3 and message in said.err
