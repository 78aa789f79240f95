"""Downloads that are killed, and two at once; every process is real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lerobot_folder import make_folder

from robocache.datasets import open_dataset
from robocache.runs import sha256_directory

OPEN = "import sys; from robocache.datasets import open_dataset; open_dataset(sys.argv[1])"
PART = OPEN.replace("argv[1]", "argv[1], episodes='1'")
HALF = """
import os, signal, sys
from fsspec.implementations.local import LocalFileSystem
from robocache.datasets import open_dataset
def half(self, source, target, **options):
    data = open(source, "rb").read()
    half = source.endswith("episode_000001.mp4")
    with open(target, "wb") as file:
        file.write(data[:len(data) // 2] if half else data)
    if half:
        os.kill(os.getpid(), signal.SIGKILL)
LocalFileSystem.get_file = half
open_dataset(sys.argv[1])
"""
STUCK = """
import sys
from robocache.datasets import open_dataset
def stuck(done, total, figures):
    if figures.startswith("3/"):
        print("in the middle", flush=True)
        sys.stdin.read()
open_dataset(sys.argv[1], progress=stuck)
"""


def start(code: str, uri: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, uri],
        env={**os.environ, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copies(home: Path) -> list[Path]:
    return [path.parent for path in home.rglob("listing.json")]


def require_whole(root: Path, home: Path) -> None:
    """The copy has the content of `root`, and nothing half is left."""
    dataset = open_dataset(f"file://{root}")
    assert sha256_directory(dataset.path) == sha256_directory(root)
    (copy,) = copies(home)
    assert {path.name for path in copy.iterdir()} == {"listing.json", "files", "SHA256SUMS", "lock"}
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", copy / "SHA256SUMS"], cwd=dataset.path, check=False
    )
    assert checked.returncode == 0


def test_killed_in_the_middle(tmp_path: Path, home: Path) -> None:
    root = make_folder(tmp_path)
    process = start(STUCK, f"file://{root}")
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (copy,) = copies(home)
    there = {path for path in (copy / "files").rglob("*") if path.is_file()}
    assert 3 <= len(there) < 9
    inodes = {path: path.stat().st_ino for path in there}
    require_whole(root, home)
    assert {path: path.stat().st_ino for path in there} == inodes  # those did not come again


def test_killed_in_the_middle_of_a_file(tmp_path: Path, home: Path) -> None:
    root = make_folder(tmp_path)
    process = start(HALF, f"file://{root}")
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    (copy,) = copies(home)
    assert list(copy.glob(".transfer.tmp-*"))
    require_whole(root, home)


@pytest.mark.parametrize("place", ["file-written", "file-renamed", "directory-written"])
@pytest.mark.slow
def test_killed_between_two_steps(tmp_path: Path, home: Path, place: str) -> None:
    root = make_folder(tmp_path)
    process = start(PART, f"file://{root}", ROBOCACHE_CRASH_AT=place)
    process.communicate()
    assert process.returncode == 137
    part = open_dataset(f"file://{root}", episodes="1")
    assert part.keys() == ["episode_000001"]
    assert not list(part.problems())
    assert not list(home.rglob("*.tmp-*"))


def test_two_at_once(tmp_path: Path, home: Path) -> None:
    root = make_folder(tmp_path)
    both = [start(OPEN, f"file://{root}") for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    require_whole(root, home)
    (copy,) = copies(home)
    assert len((copy / "SHA256SUMS").read_text().splitlines()) == 9  # each file came once
