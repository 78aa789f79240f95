"""Reproducing what was interrupted, and interrupting what reproduces."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import processes
import tiny
from robocache.runs import RunStore, check_store, list_checkpoints, read_manifest


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a few demonstrations, and a finished training."""
    home = tmp_path_factory.mktemp("demos") / "home"
    for arguments in ((*tiny.COLLECT[:-1], "episodes=8", "--name=demos"), tiny.SHORT):
        ended = processes.run(arguments, home)
        assert ended.code == 0, ended.output
    return home


@pytest.fixture
def home(demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(demos, folder)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def wound(number: int | None, scratch: Path, action: Callable[[], None]) -> None:
    """Let training do `action` at this step; scratch homes are made in `scratch`."""
    importlib.import_module("torch._dynamo")  # leaves a folder of its own when it is imported
    tempfile.tempdir = str(scratch)
    from robocache.learning import imitation

    schedule = imitation.cosine_with_warmup

    def wounded(step: int, **settings: Any) -> float:
        if step == number:
            action()
        return schedule(step, **settings)

    imitation.cosine_with_warmup = wounded


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def fill_the_disk() -> None:
    from robocache.learning.engine import checkpoint

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkpoint.save_tensors = full


def test_an_interrupted_training_reproduces(home: Path, tmp_path: Path) -> None:
    train = (*tiny.SHORT[:-1], "--name=stopped")
    scratch = tmp_path / "scratch"
    for step, number, code in ((8, signal.SIGINT, 130), (14, signal.SIGKILL, -signal.SIGKILL)):
        wounded = functools.partial(wound, step, scratch, functools.partial(send, number))
        assert processes.run(train, home, before=wounded).code == code
    assert processes.run(train, home).code == 0
    folder = home / "runs" / "stopped"
    assert list(list_checkpoints(folder)) == [6, 9, 12, 18, 24]
    assert len(read_manifest(folder)["earlier"]) == 2
    assert (folder / "trace.bin").read_bytes() == (
        home / "runs" / "short" / "trace.bin"
    ).read_bytes()
    ended = processes.run(["reproduce", "stopped"], home)
    assert ended.code == 0, ended.output
    assert "identical: 24 steps, 72 figures on the way, 4 checkpoints" in ended.output


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [
        (functools.partial(send, signal.SIGINT), 130, ""),
        (fill_the_disk, 3, "the disk is full: free some space"),
    ],
)
def test_nothing_is_left_behind(
    home: Path, tmp_path: Path, action: Callable[[], None], code: int, said: str
) -> None:
    wounded = functools.partial(wound, 8, tmp_path / "scratch", action)
    ended = processes.run(["reproduce", "short"], home, before=wounded)
    assert ended.code == code, ended.output
    assert said in " ".join(ended.output.split())
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list(check_store(RunStore().engine)) == []
