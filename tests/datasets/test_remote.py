"""Datasets elsewhere, on file systems that need no network: memory:// and file://."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import fsspec
import lerobot_v3_folder
import pytest
import rlds_writer
from fsspec.implementations.memory import MemoryFileSystem
from lerobot_folder import CAMERA, data_file, make_folder, video_file
from test_formats import SAMPLES

from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    DownloadError,
    MissingDependencyError,
    StorageError,
    UnreachableError,
)
from robocache.datasets import open_dataset
from robocache.datasets.lerobot import LeRobotDataset
from robocache.datasets.parts import content_hash
from robocache.datasets.reader import is_uri
from robocache.datasets.remote import copy_out, download
from robocache.datasets.remote.checksums import digests, from_base64
from robocache.datasets.remote.listing import RemoteFile
from robocache.datasets.remote.parts import chosen
from robocache.datasets.remote.uri import hub_place, shown

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that were taken out of memory://, in order."""
    names: list[str] = []
    original = MemoryFileSystem.get_file

    def get_file(self, rpath, lpath, **options):
        names.append(rpath.split("/", 2)[2])
        return original(self, rpath, lpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    yield names
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def upload(folder: Path) -> str:
    fsspec.filesystem("memory").put(str(folder), f"/{folder.name}", recursive=True)
    return f"memory://{folder.name}"


def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def info(self, path, **options):
        raise ConnectionResetError("nobody there")

    monkeypatch.setattr(MemoryFileSystem, "info", info)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_elsewhere_equals_the_one_here(shared_data: Path, fetched, name: str) -> None:
    here, there = open_dataset(shared_data / name), open_dataset(upload(shared_data / name))
    assert type(there) is type(here)
    assert (there.name, there.keys()) == (here.name, here.keys())
    assert there.fingerprint == here.fingerprint
    assert there.report()["downloaded"]["uri"] == f"memory://{name}"
    assert len(fetched) == sum(path.is_file() for path in (shared_data / name).rglob("*"))


def test_it_comes_once(tmp_path: Path, fetched) -> None:
    uri = upload(make_folder(tmp_path))
    first = open_dataset(uri)
    came = len(fetched)
    again = open_dataset(uri)
    assert len(fetched) == came == 9
    assert again.path == first.path
    episode = again[1]
    assert episode.streams[CAMERA].values[2].shape == (32, 48, 3)
    assert not list(again.problems())


def test_what_came_cannot_be_changed_by_accident(tmp_path: Path, fetched) -> None:
    dataset = open_dataset(upload(make_folder(tmp_path)))
    files = [path for path in dataset.path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


def test_another_content_is_another_version(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    uri = upload(root)
    first = open_dataset(uri)
    table = data_file(root, 1).read_bytes()
    with fsspec.open(f"{uri}/{data_file(root, 1).relative_to(root)}", "wb") as file:
        file.write(table + b" ")
    second = open_dataset(uri)
    assert second.path != first.path
    assert second.fingerprint != first.fingerprint
    version = first.report()["downloaded"]["version"]
    assert open_dataset(uri, revision=version).fingerprint == first.fingerprint
    with pytest.raises(ConfigError, match="40 hexadecimal digits"):
        open_dataset(uri, revision="main")
    with pytest.raises(ConfigError, match="has changed"):
        open_dataset(uri, revision="0" * 40)


def test_episodes_of_lerobot_v2_need_their_files_only(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    whole = LeRobotDataset(root)
    part = open_dataset(upload(root), episodes="2,0")
    keys = part.keys()
    assert keys == ["episode_000002", "episode_000000"]
    wanted = {"meta/info.json", "meta/episodes.jsonl", "meta/tasks.jsonl"}
    for index in (0, 2):
        for path in (data_file(root, index), video_file(root, index)):
            wanted.add(path.relative_to(root).as_posix())
    assert sorted(fetched) == sorted(wanted)
    assert part.name == "pick"
    assert [content_hash(e) for e in part] == [content_hash(whole[k]) for k in keys]
    assert not list(part.problems())
    with pytest.raises(ConfigError, match="episode_000001"):
        part["episode_000001"]
    report = part.report()
    assert report["episodes"] == 2
    assert report["downloaded"]["uri"] == "memory://pick"


def test_folders_with_other_names_are_found_before_they_came(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    (root / "videos").rename(root / "video")
    part = open_dataset(upload(root), episodes=[1])
    assert CAMERA in part[0].streams
    assert len(fetched) == 5


def test_a_video_that_nobody_has_is_still_told(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    video_file(root, 1).unlink()
    part = open_dataset(upload(root), episodes="0:2")
    assert [(p.episode, p.stream) for p in part.problems()] == [("episode_000001", CAMERA)]


def test_episodes_of_lerobot_v3_need_their_files_only(tmp_path: Path, fetched) -> None:
    root = lerobot_v3_folder.make_v3(tmp_path)
    whole = LeRobotDataset(root)
    part = open_dataset(upload(root), episodes="3:")
    front, side = lerobot_v3_folder.FRONT, lerobot_v3_folder.SIDE
    assert sorted(fetched) == [
        "data/chunk-000/file-001.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/tasks.parquet",
        f"videos/{front}/chunk-000/file-000.mp4",
        f"videos/{side}/chunk-000/file-003.mp4",
    ]
    assert part.keys() == whole.keys()[3:]
    assert content_hash(part[0]) == content_hash(whole[3])
    assert not list(part.problems())


def test_pictures_in_files_of_their_own_come_with_their_episode(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    for index in range(3):
        picture = root / f"images/wrist/episode_{index:06d}/frame_000000.png"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"png")
    open_dataset(upload(root), episodes=[1])
    assert [n for n in fetched if "images/wrist" in n] == [
        "images/wrist/episode_000001/frame_000000.png"
    ]


def test_a_part_and_then_the_whole(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    uri = upload(root)
    before = open_dataset(uri, episodes="0").fingerprint
    open_dataset(uri)
    assert len(fetched) == len(set(fetched)) == 9
    part = open_dataset(uri, episodes="0")
    assert part.fingerprint == before
    assert len(fetched) == 9


def test_episodes_of_rlds_need_their_shards_only(tmp_path: Path, fetched) -> None:
    folder = rlds_writer.simple_dataset(tmp_path)
    whole = open_dataset(folder)
    part = open_dataset(upload(tmp_path / "arm"), episodes="3,train/000004", rate_hz=5.0)
    assert sorted(fetched) == [
        "1.0.0/arm-train.tfrecord-00001-of-00002",
        "1.0.0/dataset_info.json",
        "1.0.0/features.json",
    ]
    assert part.keys() == ["train/000003", "train/000004"]
    assert part[0].instruction == whole[3].instruction == "lift block 3"
    assert not list(part.problems())


def test_a_split_of_rlds_needs_its_shards_only(tmp_path: Path, fetched) -> None:
    folder = rlds_writer.simple_dataset(tmp_path)
    val = open_dataset(upload(folder.parent), split="val")
    assert sorted(fetched)[0] == "1.0.0/arm-val.tfrecord-00000-of-00001"
    assert len(fetched) == 3
    assert val.fingerprint == open_dataset(folder, split="val").fingerprint
    with pytest.raises(ConfigError, match="unknown split 'test'"):
        open_dataset("memory://arm", split="test")


def test_other_formats_come_whole(tmp_path: Path, shared_data: Path, fetched) -> None:
    part = open_dataset(upload(shared_data / "robomimic_hdf5"), episodes="1")
    whole = open_dataset(shared_data / "robomimic_hdf5")
    assert part.keys() == whole.keys()[1:2]
    one = open_dataset("memory://robomimic_hdf5/low_dim.hdf5")
    assert one.name == "low_dim"
    assert one.fingerprint == open_dataset(shared_data / "robomimic_hdf5/low_dim.hdf5").fingerprint


@pytest.mark.parametrize("episodes", ["7", "episode_9", "3:", ":0"])
def test_episodes_that_are_not_there(tmp_path: Path, fetched, episodes: str) -> None:
    uri = upload(make_folder(tmp_path))
    with pytest.raises(ConfigError, match="episode"):
        open_dataset(uri, episodes=episodes)
    assert not any(name.endswith((".parquet", ".mp4")) for name in fetched)


def test_how_episodes_are_named() -> None:
    keys = [f"e{k}" for k in range(12)]
    assert chosen("0:3,7, e10 ,2", keys) == ["e0", "e1", "e2", "e7", "e10"]
    assert chosen([1, "e3"], keys) == ["e1", "e3"]
    assert chosen("10:", keys) == ["e10", "e11"]
    assert chosen("3", ["a", "3", "b", "c"]) == ["3"]  # a key that is a number
    with pytest.raises(ConfigError, match="in quotes"):
        chosen(620, keys)  # type: ignore[arg-type]


def test_a_truncated_file_comes_again(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    uri = upload(root)
    dataset = open_dataset(uri)
    fingerprint, table = dataset.fingerprint, data_file(dataset.path, 1)
    table.chmod(0o644)
    table.write_bytes(table.read_bytes()[:100])
    assert open_dataset(uri).fingerprint == fingerprint
    assert fetched.count(data_file(root, 1).relative_to(root).as_posix()) == 2


def test_an_altered_file_is_found_by_checking(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    uri = upload(root)
    dataset = open_dataset(uri)
    name, table = data_file(root, 1).relative_to(root).as_posix(), data_file(dataset.path, 1)
    data = bytearray(table.read_bytes())
    data[50] ^= 1
    table.chmod(0o644)
    table.write_bytes(data)
    assert download(uri).fetched == 0
    checked = download(uri, check=True)
    assert (checked.altered, checked.fetched) == ((name,), 1)
    assert table.read_bytes() == data_file(root, 1).read_bytes()
    assert download(uri, check=True).altered == ()


def test_a_file_that_comes_short_is_refused(tmp_path: Path, fetched, monkeypatch) -> None:
    uri = upload(make_folder(tmp_path))
    whole = MemoryFileSystem.get_file

    def short(self, rpath, lpath, **options):
        whole(self, rpath, lpath, **options)
        if rpath.endswith("episode_000001.mp4"):
            Path(lpath).write_bytes(Path(lpath).read_bytes()[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", short)
        with pytest.raises(DownloadError, match=r"episode_000001\.mp4 came with \d+ bytes"):
            open_dataset(uri)
    came = {Path(name).name for name in fetched}
    before = len(fetched)
    assert "episode_000001.mp4" in came
    assert len(open_dataset(uri)) == 3
    assert "episode_000001.mp4" in {Path(name).name for name in fetched[before:]}
    assert len(set(fetched)) == 9


def test_checksums_by_their_definition(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123456789")
    assert digests(path, "crc32c:") == (
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        "crc32c:e3069283",
    )
    assert digests(path, "md5:")[1] == "md5:25f9e794323b453885f5181f1b624d0b"
    path.write_bytes(b"hello\n")
    assert digests(path, "git:")[1] == "git:ce013625030ba8dba906f756967f9e9ca394464a"
    assert from_base64("md5", "JfnnlDI7RTiF9RgfG2JNCw==") == "md5:25f9e794323b453885f5181f1b624d0b"


def test_no_room(tmp_path: Path, fetched, monkeypatch) -> None:
    uri = upload(make_folder(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 2**28 + 100))
    with pytest.raises(StorageError, match=r"0\.000 GB, and 0\.268 GB are free"):
        open_dataset(uri)
    assert not fetched


def test_names_that_lead_out_are_refused(tmp_path: Path, fetched, monkeypatch) -> None:
    uri = upload(make_folder(tmp_path))
    honest = MemoryFileSystem.find
    for evil in ("/pick/../../evil", "/elsewhere/evil", "/pick/a//b", "/pick/a\nb", "/pick/a\\b"):

        def find(self, path, evil=evil, **options):
            return {**honest(self, path, **options), evil: {"type": "file", "size": 1}}

        monkeypatch.setattr(MemoryFileSystem, "find", find)
        with pytest.raises(CorruptFileError, match=r"leads out of it|not below it"):
            open_dataset(uri)
    assert not fetched


def test_without_a_connection_the_last_version_is_used(
    tmp_path: Path, fetched, monkeypatch
) -> None:
    uri = upload(make_folder(tmp_path))
    with monkeypatch.context() as patch:
        no_connection(patch)
        with pytest.raises(UnreachableError, match="nobody there"):
            open_dataset(uri)
    first = open_dataset(uri)
    no_connection(monkeypatch)
    with pytest.warns(UserWarning, match="the version of .* is used"):
        again = open_dataset(uri)
    assert again.fingerprint == first.fingerprint
    assert "nobody there" in again.report()["downloaded"]["offline"]
    version = first.report()["downloaded"]["version"]
    assert len(open_dataset(uri, revision=version)) == 3  # pinned: nothing is asked


def test_what_is_not_there_or_cannot_be_reached(tmp_path: Path, fetched) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        open_dataset("memory://nothing")
    with pytest.raises(ConfigError, match="Protocol not known: nonsense"):
        open_dataset("nonsense://host/folder")
    with pytest.raises(MissingDependencyError, match="pip install 'adlfs'"):
        open_dataset("abfs://container/folder")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("hello")
    with pytest.raises(ConfigError, match="not a known dataset"):
        open_dataset(upload(notes))
    with pytest.raises(ConfigError, match=r"memory://notes is not a known dataset"):
        open_dataset(upload(notes), episodes="0")


def test_progress_ends_at_the_whole(tmp_path: Path, fetched) -> None:
    told: list[tuple[int, int, str]] = []
    root = make_folder(tmp_path)
    open_dataset(upload(root), progress=lambda *figures: told.append(figures))
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert told[-1] == (size, size, "9/9 files")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_a_copy_of_a_part_remembers_what_it_is(tmp_path: Path, fetched) -> None:
    root = make_folder(tmp_path)
    came = download(upload(root), episodes="1:3")
    copy_out(came, tmp_path / "mine")
    mine = open_dataset(tmp_path / "mine")
    assert mine.keys() == ["episode_000001", "episode_000002"]
    assert not list(mine.problems())
    assert mine.report()["downloaded"]["uri"] == "memory://pick"
    assert not any(path.is_symlink() for path in (tmp_path / "mine").rglob("*"))
    with pytest.raises(StorageError, match="already exists"):
        copy_out(came, tmp_path / "mine")
    (tmp_path / "mine" / ".robocache-origin.json").write_text("{}")
    with pytest.raises(CorruptFileError, match="remove it"):
        open_dataset(tmp_path / "mine")


def test_file_uris_and_their_chains(tmp_path: Path) -> None:
    folder = rlds_writer.simple_dataset(tmp_path / "data")
    here = open_dataset(folder)
    assert open_dataset(f"file://{folder}").fingerprint == here.fingerprint
    archive = shutil.make_archive(str(tmp_path / "arm"), "zip", tmp_path / "data")
    assert open_dataset(f"zip://arm::file://{archive}").fingerprint == here.fingerprint


def test_what_is_a_uri() -> None:
    assert all(map(is_uri, ("hf://a/b", "gs://bucket/x", "zip://a::file:///b", "https://a/b.h5")))
    assert not any(map(is_uri, ("/data/x", "data", "C:\\x", "a:b", "run-1", Path("hf://a/b"))))


def test_addresses_of_the_hub() -> None:
    place = hub_place("hf://datasets/nvidia/gr1.v2@refs/pr/3/arms/left")
    assert (place.repository, place.revision) == ("nvidia/gr1.v2", "refs/pr/3")
    assert place.inside == "arms/left"
    assert hub_place("hf://lerobot/pusht@a%2Fb").revision == "a/b"
    assert hub_place("hf://lerobot/pusht").revision is None
    for wrong in ("hf://pusht", "hf://models/a/b", "hf://datasets/pusht", "hf://a/b@"):
        with pytest.raises(ConfigError, match="names no dataset on the hub"):
            hub_place(wrong)


def test_secrets_are_not_shown() -> None:
    assert shown("https://me:secret@host/a.h5?signature=secret") == "https://host/a.h5"
    assert shown("s3://key:secret@bucket/a") == "s3://bucket/a"


def test_a_remote_file_compares_by_all_it_knows() -> None:
    assert RemoteFile("a", 1, "md5:0") != RemoteFile("a", 1, "md5:1")
