"""Problems found in a process of its own: files that end it are named, the rest is looked at."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import hdf5_demos
import numpy as np
import pytest
from lerobot_folder import data_file, make_folder, video_file
from ros_bags import compressed, encoded, open_rows

from robocache.core.errors import ConfigError, CorruptFileError, DataError, TimesError
from robocache.datasets import native, open_dataset
from robocache.datasets.columns import row_count
from robocache.datasets.guarded import guarded, guarded_problems
from robocache.datasets.native import reading


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_refused", {})


def obey(folder: Path) -> Iterator[DataError]:
    """Read each file as a library would; its name says what it does to the process."""
    for path in sorted(folder.iterdir()):
        try:
            with reading(path):
                do(path.name)
        except CorruptFileError as error:
            yield error.located(episode=path.name)
        else:
            yield TimesError("was read", file=path)


def do(order: str) -> None:
    if "crash" in order:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif "hang" in order:
        signal.pause()
    elif "huge" in order:
        bytearray(2**40)


def files(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_every_file_that_ends_the_process_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = files(tmp_path / "d", "1", "2-crash", "3", "4-hang", "5-huge", "6-crash", "7")
    told = list(guarded(obey, folder, seconds=0.3))
    by_file = {Path(str(problem.file)).name: problem for problem in told}
    crashed = "reading it ended the process with signal 11 (SIGSEGV)"
    assert {name: problem.problem for name, problem in by_file.items()} == {
        "1": "was read",
        "2-crash": crashed,
        "3": "was read",
        "4-hang": "reading it did not end within 0.3 s",
        "5-huge": "cannot be read: it needs more memory than there is; damaged, or too large",
        "6-crash": crashed,
        "7": "was read",
    }
    assert len(set(map(str, told))) == len(told)
    assert sum(problem.episode == "2-crash" for problem in told) == 1  # with its place, once
    with pytest.raises(CorruptFileError, match="signal 11") as caught, reading(folder / "2-crash"):
        pytest.fail("the file must not be read here, either")
    assert caught.value.file == str(folder / "2-crash")


def one_by_one(folder: Path) -> Iterator[DataError]:
    yield TimesError("first", file=folder)
    do("crash")


def test_an_end_outside_of_any_file_is_told(tmp_path: Path) -> None:
    first, last = guarded(one_by_one, tmp_path)
    assert (first.problem, last.file) == ("first", str(tmp_path))
    assert "signal 11" in last.problem


def test_problems_are_the_same_as_without_a_guard(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    video_file(root, 1).write_bytes(b"no video")
    data_file(root, 2).write_bytes(b"no table")
    expected = [(type(p), str(p), p.stream) for p in open_dataset(root).problems()]
    found = [(type(p), str(p), p.stream) for p in guarded_problems(root)]
    assert len(found) == 2 and found == expected


def test_frames_are_decoded_where_the_reader_does_not(tmp_path: Path) -> None:
    good = encoded(np.zeros((16, 16, 3), np.uint8), "JPEG")
    pictures = [("/camera", compressed(k, data)) for k, data in enumerate([good, good[:40]])]
    dataset = open_rows(tmp_path, *pictures)
    assert list(dataset.problems()) == []
    (problem,) = guarded_problems(dataset.path)
    assert (problem.file, problem.stream) == (str(tmp_path / "bag.mcap"), "/camera")
    assert "picture 1" in problem.problem


def test_what_cannot_be_opened_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_bytes(b"")
    with pytest.raises(CorruptFileError, match="not a readable HDF5 file"):
        list(guarded_problems(tmp_path))
    with pytest.raises(ConfigError, match="does not take these options"):
        list(guarded_problems(tmp_path, colour="red"))
    with pytest.raises(ConfigError, match="unknown dataset format"):
        list(guarded_problems(tmp_path, "hdf6"))


def test_whoever_stops_listening_leaves_no_process(tmp_path: Path) -> None:
    problems = guarded(obey, files(tmp_path / "d", "1", "2-hang"))
    assert next(problems).problem == "was read"
    problems.close()


def test_refused_files_are_read_by_no_library(tmp_path: Path, monkeypatch) -> None:
    root = make_folder(tmp_path)
    native.refuse(str(data_file(root, 0)), "it ended a process")
    native.refuse(str(video_file(root, 1)), "it ended a process")
    with pytest.raises(CorruptFileError, match="it ended a process"):
        row_count(data_file(root, 0))
    monkeypatch.chdir(root.parent)
    problems = list(open_dataset(root.name).problems())  # by another path
    assert [problem.problem for problem in problems] == ["it ended a process"] * 2
    path = hdf5_demos.write(tmp_path / "lift.hdf5")
    native.refuse(str(path), "it ended a process")
    with pytest.raises(CorruptFileError, match="it ended a process"):
        open_dataset(path)


def test_the_mark_names_the_innermost_file(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = native.new_mark()
    monkeypatch.setattr(native, "_mark", None)
    native.watch(mark)
    assert mark.path == b""
    with reading(Path("/a")):
        with reading(Path("/a/../b")):
            assert mark.path == b"/b"
        assert mark.path == b"/a"
    assert (mark.path, mark.entered) == (b"", 4)


def read_one(path: Path) -> str:
    with reading(path):
        do(path.name)
    return path.name


def test_the_file_at_which_a_pool_broke_is_known(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    marks = native.Marks(1)
    with ProcessPoolExecutor(1, context, initializer=marks.watch_this_process) as pool:
        assert pool.submit(read_one, tmp_path / "a").result() == "a"
        assert marks.files() == []
        with pytest.raises(BrokenProcessPool):
            pool.submit(read_one, tmp_path / "b-crash").result()
    assert marks.files() == [str(tmp_path / "b-crash")]


def test_too_little_memory_is_told_of_the_file() -> None:
    with pytest.raises(CorruptFileError, match="more memory than there is"), reading(Path("a")):
        do("huge")
