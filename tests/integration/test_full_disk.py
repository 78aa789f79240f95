"""A disk that is full at every amount of room: an explained error, and the same bits in the end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from evidence_road import VERBS, came_of_it
from test_random_kills import go_on, staged

import processes

pytestmark = pytest.mark.stress

PAGE = 4096
ROOM = [PAGE * n for n in (0, 2, 8, 16, 32, 64, 128, 256)]
"""Bytes that are free when the verb starts."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here (are you root?): {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, size: int) -> None:
    command = ["mount", "-o", f"remount,size={size}", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def test_each_verb_with_ever_more_room(
    small_disk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", "unused")
    stages = staged(tmp_path / "stages")
    whole = came_of_it(stages["end"])
    failures = dict.fromkeys(VERBS, 0)
    home = tmp_path / "home"  # what is printed goes beside it, to another disk
    home.symlink_to(small_disk / "home")
    for verb, arguments in VERBS.items():
        for room in ROOM:
            shutil.copytree(stages[verb], small_disk / "home")
            resize(small_disk, max(PAGE, shutil.disk_usage(small_disk).used + room))
            ended = processes.run(arguments, home)
            resize(small_disk, 64 * 2**20)
            if ended.code != 0:
                assert ended.code == 3, f"{verb} with {room} bytes: {ended.output}"
                assert "error: " in ended.output
                assert "disk" in ended.output, ended.output
                failures[verb] += 1
            assert go_on(verb, home) == whole, f"{verb} with {room} bytes"
            shutil.rmtree(small_disk / "home")
    with capsys.disabled():
        print(f"\nfull disks met: {failures}")  # noqa: T201
    assert all(failures.values()), "a verb never met a full disk"
