"""`robocache data inspect` on small datasets: what it reads, says and finds."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calvin_folder
import hdf5_demos
import lerobot_folder
import numpy as np
import pytest
import rlds_writer
import ros_bags
from command import Said, robocache
from PIL import Image

from robocache.cli.output import console
from robocache.cli.sample import EPISODES, SECONDS, sample_all, sample_first
from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets import EpisodeStore
from robocache.datasets.shards import write_shard

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def inspected(path: Path, *arguments: str) -> dict[str, Any]:
    """Its result, and with which exit code it must have ended."""
    said = robocache("data", "inspect", str(path), "--json", *arguments)
    result: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    assert result["event"] == "result", said
    assert said.code == (4 if result["problems"] else 0)
    return result


def episode(key: str, *, words: str = "", dropped: tuple[int, ...] = (), **more: Any) -> Episode:
    """A force at 10 Hz with samples missing, and whatever else is given: name -> values."""
    kept = np.delete(np.arange(20), dropped)
    random = np.random.default_rng(sum(key.encode()))
    streams = {
        "force": Stream(
            random.uniform(-1, 1, (len(kept), 2)), kept / 10, StreamSpec((2,), "float64", 10.0, "N")
        )
    }
    for name, values in more.items():
        spec = StreamSpec(values.shape[1:], values.dtype.name, 10.0)
        streams[name] = Stream(values, np.arange(len(values)) / 10, spec)
    return Episode(key, streams, instruction=words)


def store(folder: Path, *episodes: Episode) -> Path:
    folder.mkdir()
    write_shard(folder / "0.episodes.parquet", episodes)
    return folder


class Many:
    """A dataset of 10,000 episodes that counts what is read."""

    name, path, fingerprint = "many", Path("many"), ""

    def __init__(self) -> None:
        self.read: list[str] = []

    def keys(self) -> list[str]:
        return [f"e{number}" for number in range(10_000)]

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, key: int | str) -> Episode:
        self.read.append(str(key))
        if key == "e1":
            raise CorruptFileError("is cut off")
        return episode(str(key), words="lift")

    def problems(self) -> Iterator[DataError]:
        raise AssertionError("reads everything")

    def report(self) -> dict[str, Any]:
        return {}


def test_only_the_first_episodes_are_read() -> None:
    many = Many()
    found = sample_first(many)
    assert many.read == [f"e{number}" for number in range(EPISODES)]
    assert (found.asked, found.read, found.of) == (EPISODES, EPISODES - 1, 10_000)
    assert [problem.episode for problem in found.unreadable] == ["e1"]
    assert found.instructions == {"lift": EPISODES - 1}


def test_fewer_where_they_take_long() -> None:
    many, moments = Many(), iter([0.0, SECONDS - 1, SECONDS + 1])
    assert sample_first(many, clock=lambda: next(moments)).asked == 2
    many, moments = Many(), iter([0.0, 2 * SECONDS])
    assert sample_first(many, clock=lambda: next(moments)).asked == 1, "always one"


def test_all_are_read_and_compared(tmp_path: Path) -> None:
    folder = store(tmp_path / "demos", *(episode(key) for key in ("one", "two")))
    same = episode("one")
    write_shard(folder / "1.episodes.parquet", [Episode("three", same.streams)])
    told: list[tuple[int, int, str]] = []
    found = sample_all(EpisodeStore(folder), lambda *now: told.append(now))
    assert told == [(1, 3, ""), (2, 3, ""), (3, 3, "")]
    assert found.equal == [["one", "three"]]


def test_rates_gaps_ranges_and_words(tmp_path: Path) -> None:
    folder = store(
        tmp_path / "demos",
        episode("one", words="lift [it]", dropped=(4, 11, 12)),
        episode("two", words="lift [it]"),
        episode("three"),
    )
    found = inspected(folder)
    force = found["sampled"]["streams"]["force"]
    assert (force["samples"], force["gaps"], force["nominal_hz"]) == (57, 2, 10.0)
    assert force["longest_s"] == pytest.approx(0.3) and force["jitter_s"] == 0.0
    assert force["rate_hz"] == pytest.approx(54 / 5.7)
    assert (force["clock"], force["unit"], force["shape"]) == ("measured", "N", "2")
    assert found["sampled"]["different_instructions"] == 1
    assert found["sampled"]["empty_instructions"] == 1
    said = robocache("data", "inspect", str(folder))
    assert said.code == 0 and "“lift [it]”" in said.out
    assert "1 different instruction, 1 episode without" in said.out
    assert "9.474 Hz (10)" in said.out and "2, 300 ms" in said.out


def test_problems_need_check_or_lie_in_the_first_episodes(tmp_path: Path) -> None:
    folder = lerobot_folder.make_folder(tmp_path)
    assert inspected(folder)["checked"] is False
    lerobot_folder.change_info(folder, total_frames=1)
    quick = robocache("data", "inspect", str(folder))
    assert quick.code == 0 and "no problems found so far: --check reads everything" in quick.out
    found = inspected(folder, "--check")
    (problem,) = found["problems"]
    assert problem["kind"] == "CorruptFileError" and "total_frames is 1" in problem["problem"]
    assert found["checked"] is True
    said = robocache("data", "inspect", str(folder), "--check")
    assert said.code == 4 and "CorruptFileError file meta/info.json: total_frames" in said.out
    assert said.out.endswith("1 problem found\n")


def test_a_pointer_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    folder = lerobot_folder.make_folder(tmp_path)
    table, video = lerobot_folder.data_file(folder, 1), lerobot_folder.video_file(folder, 2)
    table.write_bytes(POINTER)
    video.write_bytes(POINTER)
    for arguments in ((), ("--check",)):
        found = inspected(folder, *arguments)["problems"]
        assert {problem["file"] for problem in found} >= {str(table), str(video)}
        assert all("git lfs" in problem["problem"].lower() for problem in found)
    hdf5_demos.write(tmp_path / "demos.hdf5").write_bytes(POINTER)
    said = robocache("data", "inspect", str(tmp_path / "demos.hdf5"))
    assert said.code == 3 and "git lfs" in said.err.lower() and "demos.hdf5" in said.err
    shards = store(tmp_path / "shards", episode("one"))
    (shards / "1.episodes.parquet").write_bytes(POINTER)
    (problem,) = inspected(shards)["problems"]
    assert problem["file"].endswith("1.episodes.parquet")


def test_a_bag_without_types_is_named(tmp_path: Path) -> None:
    rows = [ros_bags.Row("/odd", ros_bags.joints(n, [1.0, 2.0]), n * 10**7) for n in range(3)]
    rows += [ros_bags.Row("/arm", ros_bags.joints(n, [1.0, 2.0]), n * 10**7) for n in range(3)]
    bag = ros_bags.write_bag(tmp_path / "bag", sorted(rows, key=lambda row: row.log_ns))
    (file,) = bag.glob("*.db3")
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("DELETE FROM message_definitions")
        connection.execute("UPDATE topics SET type = 'mine/msg/Odd' WHERE name = '/odd'")
    connection.close()
    found = inspected(bag, "--check")
    (problem,) = found["problems"]
    assert problem["stream"] == "/odd" and "mine/msg/Odd has no definition" in problem["problem"]
    assert set(found["sampled"]["streams"]) == {"/arm/position"}
    assert "mine/msg/Odd" in robocache("data", "inspect", str(bag)).out, "not read, and why"


def test_episodes_in_two_splits_are_a_problem(tmp_path: Path) -> None:
    lift = [rlds_writer.simple_episode(number) for number in range(4)]
    shards = {"train": [lift[:3]], "val": [[lift[3], lift[1]]]}
    rlds = rlds_writer.write_dataset(tmp_path / "arm" / "1.0.0", rlds_writer.SIMPLE, shards)
    found = inspected(rlds, "--check")
    assert found["equal_episodes"] == [["train/000001", "val/000001"]]
    (overlap,) = (p["problem"] for p in found["problems"] if "same content" in p["problem"])
    assert "train and val" in overlap and "train/000001 and val/000001" in overlap
    assert not inspected(rlds)["problems"] and inspected(rlds)["equal_episodes"] is None
    assert not inspected(rlds, "--check", "--option", "split=train")["problems"]

    calvin = tmp_path / "calvin"
    calvin_folder.write(calvin / "training")
    calvin_folder.write(calvin / "validation", play=((100, 107), (200, 202)), windows=None)
    problems = [problem["problem"] for problem in inspected(calvin, "--check")["problems"]]
    assert problems == [
        "splits training and validation hold 1 episodes with the same content "
        "(training/play_0000100_0000107 = validation/play_0000100_0000107)"
    ]

    masks = {"train": ["demo_0", "demo_1"], "valid": ["demo_2"], "all": ["demo_0", "demo_2"]}
    file = hdf5_demos.write(tmp_path / "lift.hdf5", masks=masks)
    assert not inspected(file, "--check")["problems"]
    hdf5_demos.close_files()
    with hdf5_demos.h5py.File(file, "a") as handle:
        del handle["data/demo_2"]
        handle.copy("data/demo_0", "data/demo_2")
    (problem,) = inspected(file, "--check")["problems"]
    assert problem["problem"].startswith("splits train and valid hold 1 episodes")
    assert "(demo_0 = demo_2)" in problem["problem"]


def test_options_are_read_like_settings(tmp_path: Path) -> None:
    folder = rlds_writer.simple_dataset(tmp_path)
    found = inspected(folder, "--option", "split=[val]", "--option", "rate_hz=2.5")
    assert found["episodes"] == 1 and found["rate_hz"] == 2.5
    assert inspected(folder, "--option", "format=rlds")["episodes"] == 6

    def refused(*options: str) -> Said:
        given = (part for option in options for part in ("--option", option))
        said = robocache("data", "inspect", str(folder), *given)
        assert said.code == 3
        return said

    assert "expected key=value, e.g. --option split=val" in refused("split").err
    assert "'vall'; did you mean 'val'" in refused("split=vall").err
    assert "does not take these options" in refused("colour=red").err
    assert "did you mean 'rlds'" in refused("format=rldss").err
    assert "--option split=[val:" in refused("split=[val").err


def test_problems_in_the_same_words_are_not_repeated(tmp_path: Path) -> None:
    folder = lerobot_folder.make_folder(tmp_path)
    rows = [{"episode_index": n, "tasks": ["task 0"], "length": 9} for n in range(12)]
    lerobot_folder.write_lines(folder / "meta" / "episodes.jsonl", rows)
    said = robocache("data", "inspect", str(folder), "--check")
    assert said.out.count("listed, but has no Parquet file") == 6
    assert "and 4 more: listed, but has no Parquet file (--json names all)" in said.out
    told = [p["problem"] for p in inspected(folder, "--check")["problems"]]
    assert told.count("listed, but has no Parquet file") == 9


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_columns_are_aligned_and_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(console, "_width", None)  # that of when it was made
    monkeypatch.setenv("COLUMNS", str(columns))
    long = "observation.annotation.human_validity"
    flags = np.zeros((20, 1), np.int64)
    folder = store(tmp_path / "demos", episode("one", dropped=(3, 4), **{long: flags, "x": flags}))
    lines = robocache("data", "inspect", str(folder)).out.splitlines()
    assert max(map(len, lines[1:])) <= columns, "all but the path"
    rows = [line for line in lines if "int64" in line or "float64" in line]
    assert len(rows) == 3 and len({line.index("64") for line in rows}) <= 2
    rates = [re.search(r"[\d.]+ Hz", line) for line in rows]
    assert len({rate.start() for rate in rates if rate}) == 1 and all(rates)
    named = [line.split()[0] for line in lines if line.split()]
    assert [n for n in named if n in ("force", long, "x")] == ["force", long, "x"]
    assert (columns == 120) == any(line.startswith(long) and "int64" in line for line in lines)


def test_thumbnails(tmp_path: Path) -> None:
    red = np.zeros((9, 30, 40, 3), np.uint8)
    red[0, ..., 0], red[4, ..., 1], red[8, ..., 2] = 255, 255, 255
    depth = np.linspace(1, 2, 9 * 30 * 40, dtype=np.float32).reshape(9, 30, 40)
    folder = store(tmp_path / "demos", episode("blind"), episode("seeing", front=red, depth=depth))
    sheet = tmp_path / "sheet.png"
    found = inspected(folder, "--thumbnails", str(sheet))
    assert found["thumbnails"] == str(sheet)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        colours = {colour for _, colour in picture.getcolors(2**20) or ()}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= colours, "first, middle, last"
    assert {(68, 1, 84), (253, 231, 37)} <= colours, "nearest and farthest"
    said = robocache("data", "inspect", str(folder), "--thumbnails", str(sheet))
    assert f"{sheet}: pictures of 2 cameras in 1 episode\n" in said.out
    none = store(tmp_path / "blind", episode("blind"))
    away = tmp_path / "none.png"
    assert inspected(none, "--thumbnails", str(away))["thumbnails"] is None and not away.exists()
    said = robocache("data", "inspect", str(none), "--thumbnails", "sheet.jpg")
    assert said.code == 3 and "call it .png" in said.err


def test_a_damaged_picture_is_met_when_pictures_are_wanted(tmp_path: Path) -> None:
    lift = [rlds_writer.simple_episode(0, **{"steps/observation/front": [b"\xff\xd8\xff no"] * 4})]
    folder = tmp_path / "arm" / "1.0.0"
    rlds_writer.write_dataset(folder, rlds_writer.SIMPLE, {"train": [lift]})
    found = inspected(folder, "--thumbnails", str(tmp_path / "sheet.png"))
    (problem,) = found["problems"]
    place = problem["episode"], problem["stream"]
    assert place == ("train/000000", "observation/front") and not inspected(folder)["problems"]


def test_what_ended_the_process_that_checks_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashed(path: str, **_: Any) -> Iterator[DataError]:
        yield CorruptFileError("reading it ended the process with signal 11", file=f"{path}/a.h5")

    monkeypatch.setattr("robocache.cli.data.guarded_problems", crashed)
    folder = store(tmp_path / "own", episode("a", words="push"))
    assert inspected(folder)["problems"] == []
    (problem,) = inspected(folder, "--check")["problems"]
    assert "signal 11" in problem["problem"] and problem["file"].endswith("a.h5")
