"""Processes killed at random moments, and the same command again: the same bits."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import processes
import tiny
from robocache.runs import RunStore, verify_checkpoint

pytestmark = pytest.mark.stress

KILLS = 12
COLLECT = (*tiny.COLLECT[:-2], "episodes=400", "batch=5", "--name=demos")


def killed_until_done(
    arguments: tuple[str, ...], home: Path, random_s: Callable[[], float], draws: random.Random
) -> int:
    """Run the command again and again, killing it or one of its workers; how many kills."""
    kills = 0
    while True:
        process = processes.start(arguments, home)
        process.join(random_s())
        if process.exitcode is None:
            children = psutil.Process(process.pid).children(recursive=True)
            if children and draws.random() < 0.3:
                draws.choice(children).kill()
                kills += 1
                process.join(random_s())
            if process.exitcode is None:
                process.kill()
                kills += 1
        process.join()
        if process.exitcode == 0:
            return kills


def said(kills: int, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{kills} kills in {rounds} rounds")  # noqa: T201
    assert kills >= KILLS


@pytest.mark.parametrize("workers", [0, 2])
def test_collect(workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    assert processes.run((*COLLECT, "workers=0"), tmp_path / "whole").code == 0
    draws = random.Random()
    kills = rounds = 0
    fingerprints = set()
    for home in (tmp_path / "whole", *(tmp_path / f"home{n}" for n in range(50))):
        if home.name != "whole":
            kills += killed_until_done(
                (*COLLECT, f"workers={workers}"),
                home,
                lambda: draws.uniform(0.2, 6.0 if workers else 2.0),
                draws,
            )
            rounds += 1
        monkeypatch.setenv("ROBOCACHE_HOME", str(home))
        fingerprints.add(RunStore().get("demos").metrics["fingerprint"])
        folder = home / "runs" / "demos" / "episodes"
        assert processes.run(["data", "inspect", str(folder)], home).code == 0
        assert not list(home.rglob("*.tmp-*"))
        if kills >= KILLS:
            break
    assert len(fingerprints) == 1
    said(kills, rounds, capsys)


def test_train(tmp_path: Path, capsys: pytest.CaptureFixture[str],
               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    demos = tmp_path / "demos"
    assert processes.run(tiny.COLLECT, demos).code == 0
    train = (*tiny.TRAIN, "trainer.steps=3000", "trainer.checkpoint_every=50", "--name=run")
    draws = random.Random()
    kills = rounds = 0
    hashes = set()
    for home in (tmp_path / "whole", *(tmp_path / f"home{n}" for n in range(50))):
        shutil.copytree(demos, home)
        if home.name == "whole":
            assert processes.run(train, home).code == 0
        else:
            kills += killed_until_done(train, home, lambda: draws.uniform(0.3, 2.5), draws)
            rounds += 1
        monkeypatch.setenv("ROBOCACHE_HOME", str(home))
        final = RunStore().find_checkpoint("run")
        hashes.add(verify_checkpoint(final))
        hashes.add((final / "training" / "optimizer.safetensors").read_bytes()[-200:])
        assert not list(home.rglob("*.tmp-*"))
        if kills >= KILLS:
            break
    assert len(hashes) == 2
    said(kills, rounds, capsys)
