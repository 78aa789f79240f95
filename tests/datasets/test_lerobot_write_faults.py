"""Writes of LeRobot folders that cannot be, or are stopped half way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from lerobot_episodes import FAST, made

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    StorageError,
)
from robocache.datasets.lerobot import LeRobotDataset, VideoSettings, write_lerobot
from robocache.datasets.lerobot import encode as encode_module
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE


def change(number: int, name: str, stream: Stream) -> Episode:
    episode = made(number)
    return Episode(episode.key, {**episode.streams, name: stream})


def test_episodes_that_do_not_fit_are_named(tmp_path):
    times = np.arange(20) / 10
    other = Stream(np.zeros((20, 4), np.float32), times, StreamSpec((4,), rate_hz=10.0))
    holes = np.zeros((20, 3), np.float32)
    holes[4, 1] = np.nan
    nan = Stream(holes, times, StreamSpec((3,), rate_hz=10.0))
    second = made(1)
    fewer = Episode("less", {n: s for n, s in second.streams.items() if n != "action"})
    for wrong, error in (
        (change(1, "action", other), ShapeError),
        (change(1, "action", nan), NonFiniteError),
        (fewer, MissingStreamError),
    ):
        with pytest.raises(error) as caught:
            write_lerobot([made(0), wrong], tmp_path / "out", video=FAST)
        assert caught.value.episode == wrong.key and caught.value.stream == "action"
        assert list(tmp_path.iterdir()) == []


def test_a_key_is_written_once(tmp_path):
    with pytest.raises(DataError, match="an episode with this key before it") as caught:
        write_lerobot([made(0), made(1), made(0)], tmp_path / "out", cameras="image")
    assert caught.value.episode == "pick/0" and list(tmp_path.iterdir()) == []


def test_requests_that_cannot_be_met(tmp_path):
    odd = Stream(
        np.zeros((3, 5, 7, 3), np.uint8), np.arange(3) / 10, StreamSpec((5, 7, 3), "uint8", 10.0)
    )
    for episodes, options, message in (
        ([], {}, "no episodes"),
        ([Episode("a", {"eye": odd})], {}, "even sizes"),
        ([Episode("a", {"index": odd})], {}, "the name is taken"),
        ([Episode("a", {"x/y": odd, "x.y": odd})], {}, "the name is taken"),
        ([made(0)], {"cameras": "film"}, "'video' or 'image'"),
        ([made(0)], {"fps": -1}, "fps must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_lerobot(episodes, tmp_path / "out", **options)
    with pytest.raises(ConfigError, match="not one of auto"):
        VideoSettings(codec="vp9")
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match="already exists"):
        write_lerobot([made(0)], tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


class FullDisk:
    """A file that takes `room` bytes more."""

    def __init__(self, file, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str):
        return getattr(self._file, name)


@pytest.mark.parametrize("suffix", [".mp4", ".parquet", ".json"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, suffix):
    opened = Path.open

    def open_full(path, mode="r", *args, **kwargs):
        file = opened(path, mode, *args, **kwargs)
        full = path.suffix == suffix and "w" in mode and "out" in str(path)
        return FullDisk(file, 1000) if full and "b" in mode else file

    def text_full(path, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", open_full)
    if suffix == ".json":
        monkeypatch.setattr(Path, "write_text", text_full)
    with pytest.raises(StorageError, match="disk is full"):
        write_lerobot([made(k) for k in range(3)], tmp_path / "out", video=FAST)
    assert list(tmp_path.iterdir()) == []


def killed(folder: Path, at: str | None) -> int:
    """Write in a child that is killed at a crash point, or after its second episode."""

    def episodes():
        for k in range(3):
            if k == 2 and at is None:
                os._exit(CRASH_STATUS)
            yield made(k, steps=6)

    process = os.fork()
    if not process:
        os.environ[CRASH_VARIABLE] = at or ""
        write_lerobot(episodes(), folder, cameras="image")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("at", [None, "directory-written", "directory-renamed"])
def test_a_killed_writer_leaves_no_half_folder(tmp_path, at):
    folder = tmp_path / "out"
    assert killed(folder, at) == CRASH_STATUS
    whole = at == "directory-renamed"
    assert folder.exists() is whole and len(list(tmp_path.iterdir())) == 1
    if not whole:
        write_lerobot([made(k, steps=6) for k in range(3)], folder, cameras="image")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(LeRobotDataset(folder)) == 3 and list(LeRobotDataset(folder).problems()) == []


def test_lost_frames_are_noticed(tmp_path, monkeypatch):
    add = encode_module._File.add

    def lose(file, pixels):
        if file.frames == 3:
            file.frames += 1
            return
        add(file, pixels)

    monkeypatch.setattr(encode_module._File, "add", lose)
    with pytest.raises(CorruptFileError, match="frames were written, 19 are there"):
        write_lerobot([made(0)], tmp_path / "out", video=FAST)
    assert list(tmp_path.iterdir()) == []
