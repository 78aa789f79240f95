"""Damaged episodes, found beforehand, left out, counted and told: in every format."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calvin_folder
import hdf5_demos
import lerobot_folder
import numpy as np
import ordered_files
import pytest
import recordings
import rlds_writer
import ros_bags
from damaged_copies import CASES, Case, flip, write_episodes

from robocache.core.errors import ConfigError, CorruptFileError, DataError, NonFiniteError
from robocache.datasets import (
    Reader,
    damaged,
    damaged_kept,
    episode_files,
    native,
    open_dataset,
    write_shard,
)
from robocache.datasets.damaged import Needed
from robocache.datasets.reader import FORMATS
from robocache.datasets.skipping import SoundEpisodes, open_sound
from robocache.datasets.views import select

every_format = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_refused", {})


def assert_same(one: Reader, other: Reader, keys: list[str]) -> None:
    for key in keys:
        mine, theirs = one[key], other[key]
        assert (mine.instruction, mine.outcome) == (theirs.instruction, theirs.outcome)
        assert mine.streams.keys() == theirs.streams.keys() and mine.streams
        for name, stream in mine.streams.items():
            assert stream.spec == theirs.streams[name].spec
            np.testing.assert_array_equal(stream.values[:], theirs.streams[name].values[:])
            np.testing.assert_array_equal(stream.times_s, theirs.streams[name].times_s)


def read_all(dataset: Reader, key: str) -> None:
    for stream in dataset[key].streams.values():
        stream.values[:]


def opened(path: Path, warns: str, **options: Any) -> SoundEpisodes:
    with pytest.warns(UserWarning, match=warns) as warned:
        found = open_dataset(path, on_error="skip", **options)
    assert len(warned) == 1 and isinstance(found, SoundEpisodes)
    return found


@every_format
def test_a_damaged_episode_is_skipped_and_the_rest_is_as_it_was(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    sound = open_dataset(shutil.copytree(tmp_path, tmp_path / "sound") / path.relative_to(tmp_path))
    keys = sound.keys()
    case.damage(path)
    raising = open_dataset(path)
    with pytest.raises(DataError):  # as ever: in reading it, or its pictures
        read_all(raising, case.key)

    found = opened(path, f"1 of {len(keys)} episodes are damaged and skipped .*{case.key}")
    assert list(found.damaged) == [case.key] and found.absent == []
    assert case.reason in str(found.damaged[case.key])
    assert found.keys() == [key for key in keys if key != case.key] and len(found) == len(keys) - 1
    assert_same(found, sound, found.keys())
    assert found.fingerprint not in (sound.fingerprint, raising.fingerprint)
    with pytest.raises(type(found.damaged[case.key])) as caught:
        found[case.key]
    assert caught.value.episode == case.key
    sent = pickle.loads(pickle.dumps(found))
    assert sent.keys() == found.keys() and str(sent.skipped[0]) == str(found.skipped[0])


@every_format
def test_where_nothing_is_damaged_nothing_changes(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    found = open_dataset(path, on_error="skip")  # a warning would be an error
    assert isinstance(found, SoundEpisodes) and found.skipped == []
    plain = open_dataset(path)
    assert (found.keys(), found.fingerprint) == (plain.keys(), plain.fingerprint)


def test_what_reading_does_not_stop_at_is_not_skipped(tmp_path: Path) -> None:
    """Equal episodes, empty words, wrong totals, black pictures: problems, but no damage."""
    shards = {
        "train": [[rlds_writer.simple_episode(1)] * 2],
        "val": [[rlds_writer.simple_episode(1)]],
    }
    rlds = rlds_writer.write_dataset(tmp_path / "arm", rlds_writer.SIMPLE, shards)
    hdf5 = hdf5_demos.write(
        tmp_path / "lift.hdf5",
        demo_attrs={"num_samples": 99},
        more={"obs/front_image": np.zeros((6, 6, 8, 3), np.uint8)},
    )
    lerobot = lerobot_folder.make_folder(tmp_path)
    lerobot_folder.change_info(lerobot, total_frames=7, total_videos=9)
    calvin = calvin_folder.write(tmp_path / "val", scenes={"A": [100, 103]})
    for path in (rlds, hdf5, lerobot, calvin):
        assert list(open_dataset(path).problems()), path
        found = open_dataset(path, on_error="skip")
        assert isinstance(found, SoundEpisodes) and found.skipped == []


def test_samples_of_others_lose_only_what_cannot_be_read(shared_data: Path) -> None:
    for name in ("bridge_rlds", "gr1_lerobot_v20", "rosbag2"):
        found = open_dataset(shared_data / name, on_error="skip")
        assert isinstance(found, SoundEpisodes) and found.skipped == []
        assert next(found.problems(), None) is not None


def test_what_is_listed_and_not_there_is_counted(shared_data: Path) -> None:
    """Of 100 listed episodes 97 have no table, and 2 of the 3 others no video."""
    path = shared_data / "unitree_g1_lerobot_v21"
    found = opened(path, "2 of 3 episodes are damaged and skipped, 97 more are listed and not")
    assert found.keys() == ["episode_000001"]
    assert {error.problem for error in found.damaged.values()} == {"the video is missing"}
    assert {error.problem for error in found.absent} == {"listed, but has no Parquet file"}
    told = found.to_json()
    assert (told["episodes"], told["of"], told["absent"], len(told["problems"])) == (2, 3, 97, 99)
    without = open_sound(path, needed=Needed(("observation.state", "action")))
    assert len(without) == 3 and len(without.absent) == 97


def test_shards_files_and_segments_that_are_lost_are_counted(tmp_path: Path) -> None:
    rlds = rlds_writer.simple_dataset(tmp_path)
    rlds_writer.shard_file(rlds, number=1, count=2).unlink()
    found = opened(rlds, "0 of 4 episodes are damaged and skipped, 2 more")
    assert [error.episode for error in found.absent] == ["train/000003", "train/000004"]

    demos = tmp_path / "demonstrations"
    demos.mkdir()
    hdf5_demos.write(demos / "a.hdf5")
    (demos / "b.hdf5").write_bytes(b"no HDF5")
    found = opened(demos, r"1 more are listed and not there \(file b.hdf5: not a readable HDF5")
    assert len(found) == 3

    calvin = calvin_folder.write(tmp_path / "val")
    np.save(calvin / "ep_start_end_ids.npy", np.array([(100, 107), (9, 3)]))
    assert len(opened(calvin, "row 1 is no range of frames: 9..3")) == 1
    calvin_folder.write_words(calvin, [*calvin_folder.WINDOWS, ("a", 3, "go", "go")])
    assert len(opened(calvin, "annotation 2 is no window", segments="language")) == 2

    lerobot = lerobot_folder.make_folder(tmp_path)
    listing = lerobot / "meta" / "episodes.jsonl"
    listing.write_text(listing.read_text() + "{\n")
    assert len(opened(lerobot, "line 4 is not an object with 'episode_index'")) == 3


def test_a_shard_that_cannot_be_opened_does_not_stop_the_rest(tmp_path: Path) -> None:
    path = write_episodes(tmp_path)
    whole = open_dataset(path)
    kept = open_sound(path)
    (path / "1.episodes.parquet").write_bytes(b"no shard")
    with pytest.raises(CorruptFileError):
        _ = open_dataset(path).fingerprint
    found = opened(path, r"0 of 3 .* 1 more are listed and not there \(file 1.episodes.parquet")
    assert_same(found, whole, ["e0", "e1", "e2"])
    (path / "1.episodes.parquet").unlink()
    assert found.fingerprint == open_dataset(path).fingerprint != kept.fingerprint


def test_two_episodes_under_one_key_are_none(tmp_path: Path) -> None:
    path = write_episodes(tmp_path)
    other = recordings.episode(np.random.default_rng(9), "e1")
    write_shard(path / "2.episodes.parquet", [other])
    found = opened(path, "1 of 4 .*the same key has other content")
    assert found.keys() == ["e0", "e2", "e3"]


def nan_bags(folder: Path, *positions: float) -> Path:
    """Bags in which the second joint position of `/arm` is one of these, `/hand` is zero."""
    folder.mkdir()
    for number, value in enumerate(positions):
        rows = [
            ros_bags.Row(topic, ros_bags.joints(at, [0.0, last]), at)
            for at in (0, 10_000_000, 20_000_000)
            for topic, last in (("/arm", value), ("/hand", 0.0))
        ]
        ros_bags.write_mcap(folder / f"{number}.mcap", rows)
    return folder


def test_streams_that_are_not_needed_are_not_looked_at(tmp_path: Path) -> None:
    bags = nan_bags(tmp_path / "bags", 1.0, np.nan)
    found = opened(bags, "1 of 2 episodes .*stream /arm/position: ")
    assert found.keys() == ["0"] and isinstance(found.damaged["1"], NonFiniteError)
    assert len(open_sound(bags, needed=Needed(("/hand/position",)))) == 2
    case = CASES["hdf5"]
    path = case.write(tmp_path)
    case.damage(path)
    assert len(open_sound(path, needed=Needed(("action", "obs/object")))) == 3
    assert len(open_sound(path, needed=Needed(pictures=False))) == 3
    assert len(open_sound(path, needed=Needed(("obs/front_image",)))) == 2


def test_none_may_be_skipped_where_none_would_be_left(tmp_path: Path, home: Path) -> None:
    with pytest.raises(CorruptFileError, match=r"none of its 2 episodes can be read.*arm/position"):
        open_dataset(nan_bags(tmp_path / "bags", np.nan, np.nan), on_error="skip")
    (tmp_path / "a.hdf5").write_bytes(b"")
    with pytest.raises(CorruptFileError, match="not a readable HDF5 file"):
        open_dataset(tmp_path / "a.hdf5", on_error="skip")
    with pytest.raises(ConfigError, match="unknown on_error 'skipp'; did you mean 'skip'"):
        open_dataset(tmp_path / "a.hdf5", on_error="skipp")
    with pytest.raises(ConfigError, match="does not take these options"):
        open_dataset(tmp_path / "a.hdf5", on_error="skip", colour="red")
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        open_dataset(tmp_path / "nowhere", on_error="skip")
    assert not (home / "cache" / "damage").exists()


def test_what_breaks_afterwards_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    case = CASES["lerobot v2"]
    path = case.write(tmp_path)
    found = open_sound(path)
    case.damage(path)
    with pytest.raises(CorruptFileError, match="not a readable video") as caught:
        found[case.key]
    assert caught.value.file == str(lerobot_folder.video_file(path, 1))


@pytest.fixture
def ordered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of which two crash whatever reads them."""
    monkeypatch.setitem(FORMATS, ordered_files.FORMAT, None)  # and away again at the end
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("1", "2-crash", "3", "4-crash", "5"):
        (folder / name).write_bytes(b"")
    return folder


def test_files_that_crash_a_library_are_found_and_never_read_here(
    ordered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ordered_files.make_known()
    told = []
    found = open_sound(
        ordered, ordered_files.FORMAT, {"known": known}, progress=lambda *now: told.append(now)
    )
    assert found.keys() == ["1", "3", "5"] and told == [(done, 5) for done in range(1, 6)]
    crashed = "reading it ended the process with signal 11 (SIGSEGV)"
    assert {key: error.problem for key, error in found.damaged.items()} == {
        "2-crash": crashed,
        "4-crash": crashed,
    }
    with pytest.raises(CorruptFileError, match="signal 11"):
        found.source["2-crash"]  # would end this process

    monkeypatch.setattr(native, "_refused", {})
    monkeypatch.setattr(damaged, "guarded", no_search)
    again = open_sound(ordered, ordered_files.FORMAT, {"known": known})
    assert [str(error) for error in again.skipped] == [str(error) for error in found.skipped]
    with pytest.raises(CorruptFileError, match="signal 11"):
        again.source["4-crash"]


def no_search(*_: object, **__: object) -> Iterator[Any]:
    raise AssertionError("it is known")


def test_what_was_found_is_kept_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    case = CASES["rlds"]
    path = case.write(tmp_path)
    case.damage(path)
    first = open_sound(path)
    with monkeypatch.context() as patch:
        patch.setattr(damaged, "guarded", no_search)
        kept = open_sound(path)
        assert str(kept.skipped[0]) == str(first.skipped[0]) and kept.keys() == first.keys()
        for other in ({"split": "train"}, {"rate_hz": 3.0}):
            with pytest.raises(AssertionError, match="it is known"):
                open_sound(path, options=other)
        with pytest.raises(AssertionError, match="it is known"):
            open_sound(path, needed=Needed(("action",)))
    flip(rlds_writer.shard_file(path, count=2), 500)  # mended
    assert open_sound(path).skipped == []
    files = list((home / "cache" / "damage").iterdir())
    for file in files:
        flip(file, 100)
    assert len(files) == 2 and open_sound(path).skipped == []


def test_a_stopped_search_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    monkeypatch.setattr(damaged_kept, "WRITE_EVERY", 1)
    path = CASES["calvin"].write(tmp_path)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_sound(path, progress=stop)
    told = []
    open_sound(path, progress=lambda *now: told.append(now))
    assert told == [(3, 3)]


def test_nothing_is_kept_of_files_that_just_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(episode_files, "SETTLED_NS", 10**15)
    open_sound(CASES["calvin"].write(tmp_path))
    assert not (home / "cache" / "damage").exists()


def test_the_state_of_a_folder_follows_links_and_names_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (folder / "a").mkdir(parents=True)
    elsewhere.mkdir()
    states = [episode_files.folder_state(folder)]

    def changed() -> bool:
        states.append(episode_files.folder_state(folder))
        return states[-1] is not None and states[-1] not in states[:-1]

    (folder / "a" / "1").write_bytes(b"1")
    assert changed()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "circle").symlink_to(folder)
    (elsewhere / "2").write_bytes(b"2")
    assert changed()
    (elsewhere / "2").write_bytes(b"3")
    assert changed()
    (folder / "a" / "nowhere").symlink_to(tmp_path / "nowhere")
    assert changed()
    assert not changed()


def test_views_of_what_is_left_work_as_of_any_dataset(tmp_path: Path) -> None:
    case = CASES["lerobot v2"]
    path = case.write(tmp_path)
    case.damage(path)
    found = open_sound(path)
    assert [problem for problem in found.problems() if problem.episode == case.key] == []
    assert found.report()["episodes"] == 2 and found.report()["skipped"] == 1
    part = select(found, found.keys()[1:])
    assert part.keys() == ["episode_000002"] and part.fingerprint != found.fingerprint
    with pytest.raises(ConfigError, match="unknown episode of pick 'episode_000001'"):
        select(found, [case.key])
