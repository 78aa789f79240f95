"""Looking at runs: lists, one run, tags, notes, lineage and checks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import robocache

from robocache.runs import Registry, RunStore, checkpoint_folder
from robocache.runs.manifest import MANIFEST_NAME

DATA = "f" * 64


def write(folder: Path) -> None:
    (folder / "policy.json").write_text("{}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three runs: data, a training from it, an evaluation that was stopped."""
    home = tmp_path_factory.mktemp("made") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        patch.chdir(home.parent)
        store = RunStore()
        with store.begin("collect", {"n": 1}, name="demos", seeds=[0]) as run:
            run.finish({"episodes": 4, "fingerprint": DATA})
        with store.begin("train", {"n": 2}, name="arm", seeds=[3], datasets={"demos": DATA}) as run:
            sha256 = store.write_checkpoint(run, checkpoint_folder(run.folder, 7), 7, write)
            run.finish({"steps": 7, "checkpoint": sha256})
        with store.begin("eval", {"policy": sha256}, parents=[sha256]):
            pass
    return home


@pytest.fixture
def store(made: Path, home: Path) -> RunStore:
    """A copy of it for each test."""
    shutil.copytree(made, home)
    return RunStore()


def result(*arguments: str) -> dict[str, Any]:
    said = robocache(*arguments, "--json")
    assert said.code == 0, said
    return dict(json.loads(said.out.splitlines()[-1]))


def listed(*arguments: str) -> list[str]:
    return [run["run"] for run in result("runs", "ls", *arguments)["runs"]]


def test_filters(store: RunStore) -> None:
    evaluation = store.runs(verb="eval")[0].id
    store.tag("arm", ["paper"])
    assert listed() == ["demos", "arm", evaluation]
    assert listed("--verb", "train") == listed("--tag", "paper") == ["arm"]
    assert listed("--status", "interrupted") == listed("--name", "ev*") == [evaluation]
    assert listed("--tag", "paper", "--verb", "eval") == []
    wrong = robocache("runs", "ls", "--status", "done")
    assert wrong.code == 3 and "status must be running, complete" in wrong.err


def test_the_newest_and_how_many_more(store: RunStore) -> None:
    newest = result("runs", "ls", "--limit", "1")
    assert newest["more"] == 2 and len(newest["runs"]) == 1
    assert newest["runs"][0]["verb"] == "eval"
    assert result("runs", "ls", "--limit", "1", "--status", "complete")["more"] == 1
    assert listed("--limit", "1", "--all") == listed()
    said = robocache("runs", "ls", "--limit", "2")
    assert "1 older runs are not shown: --all, or --limit 3" in said.out
    assert "demos" not in said.out
    assert "not shown" not in robocache("runs", "ls").out


def test_a_line_for_each_run(store: RunStore) -> None:
    assert robocache("runs", "tag", "arm", "paper", "+talk").code == 0
    assert robocache("runs", "note", "arm", "the good one").code == 0
    heads, _, arm, _ = robocache("runs", "ls").out.splitlines()
    assert heads.split() == ["run", "verb", "status", "started", "tags", "figures"]
    assert arm.startswith("arm") and "paper talk (note)" in arm and "steps 7" in arm


def test_tags_and_notes(store: RunStore) -> None:
    assert result("runs", "tag", "arm", "one", "+two")["tags"] == ["one", "two"]
    assert result("runs", "tag", "arm", "--remove", "one", "--remove", "none")["tags"] == ["two"]
    assert robocache("runs", "tag", "arm").out == "arm: two\n"
    assert result("runs", "note", "arm", "[red] and so on")["note"] == "[red] and so on"
    assert "[red] and so on" in robocache("runs", "show", "arm").out
    assert result("runs", "note", "arm", "")["note"] is None
    assert store.get("arm").note is None
    wrong = robocache("runs", "tag", "arm", "two words")
    assert wrong.code == 3 and "must be up to 64 letters" in wrong.err


def test_showing_a_run(store: RunStore) -> None:
    said = robocache("runs", "show", "arm").out
    assert said.splitlines()[0] == "run       arm: train, complete"
    for text in (
        "demos (ffffffffffff)",
        "steps 7",
        "seeds     3",
        "machine",
        "took",
        "files     1",
    ):
        assert text in said, text
    shown = result("runs", "show", "arm")
    assert shown["manifest"] == json.loads((store.get("arm").folder / MANIFEST_NAME).read_text())
    assert shown["status"] == "complete"


def test_lineage(store: RunStore) -> None:
    sha256 = store.get("arm").metrics["checkpoint"]
    said = robocache("runs", "lineage", "arm@7").out
    up, down = said.split("what was made from it")
    assert "train arm" in up and "dataset ffffffffffff" in up and "collect demos" in up
    assert "eval" in down and "collect" not in down
    tree = result("runs", "lineage", "demos")["made_from_it"]
    (data,) = tree["links"]
    (training,) = data["links"]
    (checkpoint,) = training["links"]
    assert [data["kind"], training["id"], checkpoint["id"]] == ["dataset", "arm", sha256]
    assert result("runs", "lineage", sha256[:12])["made_from"]["id"] == sha256
    wrong = robocache("runs", "lineage", "slot:production")
    assert wrong.code == 3 and "unknown slot 'production'" in wrong.err


def test_check_names_every_place(store: RunStore) -> None:
    assert result("runs", "check")["problems"] == []
    assert "as it was recorded" in robocache("runs", "check", "arm").out
    manifest = store.get("demos").folder / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace('"n": 1', '"n": 5'))
    (checkpoint_folder(store.get("arm").folder, 7) / "policy.json").write_text("{ }")
    said = robocache("runs", "check")
    assert said.code == 4
    assert "run demos: manifest.json" in said.out and "config.n was 1, is 5" in said.out
    assert "policy.json" in said.out
    assert robocache("runs", "check", "demos").code == 4
    said = robocache("runs", "check", "arm", "--json")
    assert said.code == 4
    problems = json.loads(said.out.splitlines()[-1])["problems"]
    assert {problem["run"] for problem in problems} == {"arm"}


def test_check_tells_its_progress(store: RunStore) -> None:
    said = robocache("runs", "check", "--json")
    told = [json.loads(line) for line in said.out.splitlines()]
    assert [event["event"] for event in told] == ["progress", "progress", "result"]
    assert (told[1]["title"], told[1]["done"], told[1]["total"]) == ("check", 3, 3)


def test_an_empty_slot_is_listed(store: RunStore) -> None:
    Registry(store.engine).declare("production", {"floor": 0.5}, who="somebody")
    assert "slot production: empty" in robocache("runs", "ls").out
    assert result("runs", "ls")["slots"] == {"production": None}
