"""Checkers that must fail: one thing is changed behind the store's back, every verb says where.

A collection (`demos`), a training (`long`), one that was stopped (`half`) and an evaluation under
the rule of a slot (`judged`) are made once; each test changes a copy.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import robocache
from sqlalchemy import select, update

import tiny
from robocache.datasets.shards import SUFFIX
from robocache.runs import RunStore
from robocache.runs.tables import episodes

PLAN = (tiny.TASKS, "episodes=10", "workers=0")
HALF = (*tiny.SHORT[:-1], "--name=half")
TRAIN_ON_IT = (*tiny.SHORT[:-1], "--name=new")

Tampering = Callable[[Path], str]
"""Changes one thing in a home; what an error must name (a pattern)."""


@pytest.fixture(scope="module")
def made(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home before anybody changes it."""
    home = tmp_path_factory.mktemp("made") / "home"
    shutil.copytree(road, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        patch.chdir(home.parent)
        for arguments in (
            ("slots", "declare", "arm", *PLAN[:2], "floor=0.3"),
            ("eval", "long", "--slot=arm", "workers=0", "--name=judged"),
        ):
            said = robocache(*arguments)
            assert said.code == 0, said.err
        patch.setattr("robocache.runs.run.append_metrics", stop_at_13)
        stopped = robocache(*HALF)
        assert stopped.code == 70 and "pulled the plug" in stopped.err
    return home


def stop_at_13(path: Path, step: int, values: dict[str, Any]) -> None:
    if step == 13:
        raise RuntimeError("somebody pulled the plug")


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(made, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def ledger_outcome(run: str) -> Tampering:
    """One outcome in the database."""

    def tamper(home: Path) -> str:
        mine = episodes.c.collection == run
        with RunStore().engine.begin() as connection:
            key, success = connection.execute(
                select(episodes.c.key, episodes.c.success).where(mine).order_by(episodes.c.key)
            ).first()
            changed = update(episodes).where(mine, episodes.c.key == key)
            connection.execute(changed.values(success=not success))
        return rf"run {run}: ledger row of episode {re.escape(key)} is altered: success"

    return tamper


def shard_byte(run: str) -> Tampering:
    def tamper(home: Path) -> str:
        shard = sorted((home / "runs" / run / "episodes").glob(f"*{SUFFIX}"))[0]
        flip(shard, shard.stat().st_size // 2)
        return rf"run {run}: episodes/{re.escape(shard.name)} is altered"

    return tamper


def manifest_field(run: str, name: str) -> Tampering:
    """One field, in a file that is otherwise as it was."""

    def tamper(home: Path) -> str:
        file = home / "runs" / run / "manifest.json"
        manifest = json.loads(file.read_text())
        manifest[name] = "doctored"
        file.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        return rf"run {run}: manifest\.json is altered: {name}"

    return tamper


def checkpoint_byte(run: str, step: int, name: str) -> Tampering:
    """One byte of a weight, or one word of what only continuing needs."""

    def tamper(home: Path) -> str:
        path = home / "runs" / run / "checkpoints" / f"step-{step:08d}" / name
        flip(path, path.stat().st_size - 2)
        return rf"step-{step:08d}.*{re.escape(name)} is altered"

    return tamper


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


CHECK_ALL = ("runs", "check")
PROMOTE = ("promote", "arm", "long")
AGAIN = ("eval", "long", "--slot=arm")
STATE, OPTIMIZER = "training/state.json", "training/optimizer.safetensors"
WEIGHTS = "policy.safetensors"


def looks(run: str) -> tuple[tuple[str, ...], ...]:
    """Verbs that look a run over."""
    return ("runs", "check", run), CHECK_ALL, ("reproduce", run)


OF_DEMOS = (*looks("demos"), ("data", "inspect", "demos"), TRAIN_ON_IT)
OF_JUDGED = (*looks("judged"), ("data", "inspect", "judged"), PROMOTE, AGAIN)
OF_LONG = (
    *looks("long"),
    PROMOTE,
    ("eval", "long", *PLAN),
    AGAIN,
    tiny.LONG,
    ("train", "dataset=demos", "init_from=long", "trainer.steps=2", "--name=onwards"),
)
OF_HALF = (*looks("half")[:2], HALF, ("eval", "half@12", *PLAN))

TAMPERINGS: dict[str, tuple[Tampering, tuple[tuple[str, ...], ...]]] = {
    "demos-outcome": (ledger_outcome("demos"), OF_DEMOS),
    "demos-shard": (shard_byte("demos"), OF_DEMOS),
    "demos-manifest": (manifest_field("demos", "config"), OF_DEMOS),
    "judged-outcome": (ledger_outcome("judged"), OF_JUDGED),
    "judged-shard": (shard_byte("judged"), OF_JUDGED),
    "judged-manifest": (manifest_field("judged", "packages"), OF_JUDGED),
    "long-weight": (checkpoint_byte("long", 400, WEIGHTS), OF_LONG),
    "long-state": (checkpoint_byte("long", 400, STATE), OF_LONG),
    "long-optimizer": (checkpoint_byte("long", 400, OPTIMIZER), OF_LONG),
    "long-manifest": (manifest_field("long", "seeds"), OF_LONG),
    "half-weight": (checkpoint_byte("half", 12, WEIGHTS), OF_HALF),
    "half-state": (checkpoint_byte("half", 12, STATE), OF_HALF),
    "half-optimizer": (checkpoint_byte("half", 12, OPTIMIZER), OF_HALF),
}
"""What is changed, and the verbs that must refuse or report it."""


def code_of(verb: tuple[str, ...]) -> int:
    """How the verb ends when something is altered: problems are listed, or nothing is done."""
    return 4 if verb[0] in ("data", "runs") else 3


def test_before_anything_is_changed_no_verb_complains(home: Path) -> None:
    """Else the tests below would prove nothing."""
    for verb in dict.fromkeys((*OF_DEMOS, *OF_JUDGED, *OF_LONG, *OF_HALF)):
        said = robocache(*verb)
        assert said.code == 0, (verb, said.err, said.out)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_verb_fails_and_names_the_place(home: Path, name: str) -> None:
    tamper, verbs = TAMPERINGS[name]
    place = tamper(home)
    for verb in verbs:
        said = robocache(*verb)
        assert said.code == code_of(verb), (verb, said)
        assert re.search(place, said.out + said.err), (verb, said)


def test_nothing_was_promoted_or_trained_meanwhile(home: Path) -> None:
    ledger_outcome("judged")(home)
    assert robocache(*PROMOTE).code == 3
    assert "empty" in robocache("slots", "show", "arm").out
    ledger_outcome("demos")(home)
    assert robocache(*TRAIN_ON_IT).code == 3
    assert "new" not in {record.id for record in RunStore().runs()}
