from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robocache.core.errors import StorageError
from robocache.runs import (
    atomic_directory,
    atomic_write,
    sha256_directory,
    sha256_file,
    sweep_temporaries,
)


def failing(code: int) -> Callable[..., int]:
    def call(*args: object, **kwargs: object) -> int:
        raise OSError(code, os.strerror(code))

    return call


def test_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not permitted"),
    ],
)
def test_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, advice: str
) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(StorageError, match=advice) as raised:
            atomic_write(path, b"new")
    assert str(path) in str(raised.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_other_errors_are_not_disguised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EBADF))
        with pytest.raises(OSError, match="Bad file descriptor"):
            atomic_write(tmp_path / "file", b"new")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: whole(fd, bytes(data[:3])))
        atomic_write(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_content_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        events.append("sync folder" if folder else "sync file")
        sync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", noted_sync)
        patch.setattr(os, "replace", noted_replace)
        atomic_write(tmp_path / "file", b"x")
    assert events == ["sync file", "rename", "sync folder"]


def half_written(target: Path) -> None:
    with atomic_directory(target) as folder:
        (folder / "file").write_text("half")
        raise ZeroDivisionError


def test_directory_appears_complete_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "made"
    with pytest.raises(ZeroDivisionError):
        half_written(target)
    assert list(tmp_path.iterdir()) == []

    synced: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        assert not target.exists() or os.readlink(f"/proc/self/fd/{descriptor}") == str(tmp_path)
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", noted)
        with atomic_directory(target) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "one").write_text("1")
            (folder / "two").write_text("2")
            assert not target.exists()
    assert {"one", "two", "deep", folder.name, tmp_path.name} == set(synced)
    assert (target / "deep" / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_directory_never_replaces_another(tmp_path: Path) -> None:
    target = tmp_path / "made"
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(StorageError, match="already exists"), atomic_directory(target):
        pass
    assert [p.name for p in tmp_path.rglob("*")] == ["made", "mine"]


def test_full_disk_inside_a_directory_is_typed(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="disk is full"),
        atomic_directory(tmp_path / "made"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_hashes_by_hand(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"one")
    (tmp_path / "a").write_bytes(b"two")
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    assert sha256_file(tmp_path / "a") == two
    expected = hashlib.sha256(f"a\0{two}\nb/x\0{one}\n".encode()).hexdigest()
    assert sha256_directory(tmp_path) == expected
    (tmp_path / "a").rename(tmp_path / "c")
    assert sha256_directory(tmp_path) != expected


def test_sweep_removes_only_temporaries(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".file.tmp-1-ab").write_text("x")
    (tmp_path / ".folder.tmp-1-ab").mkdir()
    (tmp_path / ".folder.tmp-1-ab" / ".inner.tmp-1-cd").write_text("x")
    (tmp_path / "kept.tmp").write_text("x")
    assert len(sweep_temporaries(tmp_path)) == 3
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "kept.tmp"]
