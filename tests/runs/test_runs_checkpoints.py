from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from robocache.core.errors import CheckpointError, StorageError
from robocache.runs import commit_checkpoint, latest_checkpoint, list_checkpoints, verify_checkpoint


def write(folder: Path) -> None:
    (folder / "policy.json").write_text("{}")
    (folder / "policy.safetensors").write_bytes(bytes(range(256)))
    (folder / "training").mkdir()
    (folder / "training" / "state.json").write_text("5")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    commit_checkpoint(write, tmp_path / "checkpoints" / "step-00000005")
    return tmp_path / "checkpoints" / "step-00000005"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_identity_by_hand(checkpoint: Path) -> None:
    lines = f"policy.json\0{digest(b'{}')}\npolicy.safetensors\0{digest(bytes(range(256)))}\n"
    assert verify_checkpoint(checkpoint) == digest(lines.encode())


def test_the_training_state_is_not_part_of_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    def other_state(folder: Path) -> None:
        write(folder)
        (folder / "training" / "state.json").write_text("6")

    assert commit_checkpoint(other_state, tmp_path / "b") == verify_checkpoint(checkpoint)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the program sha256sum is missing")
def test_sha256sum_agrees(checkpoint: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256"]
    assert subprocess.run(command, cwd=checkpoint, capture_output=True, check=False).returncode == 0
    (checkpoint / "policy.json").write_text("[]")
    assert subprocess.run(command, cwd=checkpoint, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors", "training/state.json"])
def test_one_altered_bit_is_named(checkpoint: Path, name: str) -> None:
    data = bytearray((checkpoint / name).read_bytes())
    data[-1] ^= 1
    (checkpoint / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} is altered"):
        verify_checkpoint(checkpoint)


def test_missing_added_and_renamed_files_are_named(checkpoint: Path) -> None:
    (checkpoint / "note.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"note.txt was added"):
        verify_checkpoint(checkpoint)
    (checkpoint / "note.txt").unlink()
    (checkpoint / "policy.json").unlink()
    with pytest.raises(CheckpointError, match=r"policy.json is missing"):
        verify_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (digest(b"{}"), digest(b"[]")),
        ("policy.json", "policy.yaml"),
        ("# not part of the identity\n", ""),
        ("# robocache checkpoint 1", "# robocache checkpoint 2"),
    ],
)
def test_an_altered_listing_is_refused(checkpoint: Path, old: str, new: str) -> None:
    listing = checkpoint / "SHA256"
    text = listing.read_text()
    assert old in text
    listing.write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=r"SHA256 is altered"):
        verify_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n\n\n"])
def test_a_garbage_listing_is_refused(checkpoint: Path, content: bytes) -> None:
    (checkpoint / "SHA256").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"SHA256 is altered"):
        verify_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        verify_checkpoint(checkpoint.parent)


def test_the_same_again_is_fine_and_another_is_refused(checkpoint: Path) -> None:
    before = (checkpoint / "SHA256").stat().st_mtime_ns
    assert commit_checkpoint(write, checkpoint) == verify_checkpoint(checkpoint)
    assert (checkpoint / "SHA256").stat().st_mtime_ns == before

    def other(folder: Path) -> None:
        (folder / "policy.json").write_text("[]")

    with pytest.raises(CheckpointError, match="already holds checkpoint"):
        commit_checkpoint(other, checkpoint)
    (checkpoint / "policy.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"policy.json is altered"):
        commit_checkpoint(write, checkpoint)
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_failed_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> None:
        write(folder)
        raise ZeroDivisionError

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ZeroDivisionError):
        commit_checkpoint(broken, tmp_path / "a")
    with pytest.raises(CheckpointError, match="no file was written"):
        commit_checkpoint(lambda folder: None, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="disk is full"):
            commit_checkpoint(write, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["two\nlines", "back\\slash", "SHA256"])
def test_names_the_listing_cannot_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="may not be named"):
        commit_checkpoint(lambda folder: (folder / name).touch(), tmp_path / "a")


def test_the_latest_is_the_highest_complete_step(tmp_path: Path, checkpoint: Path) -> None:
    assert latest_checkpoint(tmp_path / "nothing") is None
    folder = checkpoint.parent
    commit_checkpoint(write, folder / "step-100000000")
    (folder / "step-99999999").mkdir()  # nothing in it
    shutil.copytree(checkpoint, folder / ".step-99999998.tmp-1-ab")
    shutil.copytree(checkpoint, folder / "best")
    assert latest_checkpoint(tmp_path) == folder / "step-100000000"
    assert list(list_checkpoints(tmp_path)) == [5, 100000000]
