"""Datasets of the Hugging Face hub: the real client against a hub on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, serving
from lerobot_folder import data_file, make_folder, video_file
from lerobot_v3_folder import make_v3

from robocache.core.errors import ConfigError, CorruptFileError, DownloadError
from robocache.datasets import Reader, open_dataset
from robocache.datasets.parts import content_hash
from robocache.datasets.remote import download
from robocache.runs import sha256_directory

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving(make_folder(tmp_path)) as hub:
        yield hub


def opened(hub: Hub, uri: str = "hf://robots/pick", **options) -> Reader:
    return open_dataset(uri, storage_options={"endpoint": hub.endpoint}, **options)


def test_a_repository_equals_its_folder(hub: Hub) -> None:
    dataset = opened(hub)
    assert sha256_directory(dataset.path) == sha256_directory(hub.folder)
    assert dataset.fingerprint == open_dataset(hub.folder).fingerprint
    assert dataset.name == "pick"
    told = dataset.report()["downloaded"]
    assert told == {"uri": "hf://datasets/robots/pick", "version": hub.commit}
    assert len(hub.served) == 9


def test_a_commit_that_is_here_asks_nothing(hub: Hub) -> None:
    opened(hub)
    asked = len(hub.asked)
    opened(hub, f"hf://datasets/robots/pick@{hub.commit}")
    opened(hub, revision=hub.commit)
    assert len(hub.asked) == asked
    opened(hub, "hf://robots/pick@v1.0")
    assert hub.asked[asked:] == ["/api/datasets/robots/pick/revision/v1.0"]


def test_selected_episodes(hub: Hub) -> None:
    part = opened(hub, episodes="1")
    wanted = [data_file(hub.folder, 1), video_file(hub.folder, 1)]
    wanted += [
        hub.folder / "meta" / name for name in ("info.json", "episodes.jsonl", "tasks.jsonl")
    ]
    assert sorted(hub.served) == sorted(p.relative_to(hub.folder).as_posix() for p in wanted)
    assert part.keys() == ["episode_000001"]
    assert not list(part.problems())
    asked = len(hub.asked)
    opened(hub, episodes="1", revision=hub.commit)
    assert len(hub.asked) == asked


def test_selected_episodes_of_v3(tmp_path: Path) -> None:
    with serving(make_v3(tmp_path)) as hub:
        part = opened(hub, episodes="0:1")
        assert len(hub.served) == 6
        assert content_hash(part[0]) == content_hash(open_dataset(hub.folder)[0])


def test_a_moving_branch(hub: Hub) -> None:
    first = opened(hub, "hf://robots/pick@main")
    data_file(hub.folder, 2).unlink()
    hub.commit = "b" * 40
    second = opened(hub, "hf://robots/pick@main")
    assert (len(first), len(second)) == (3, 2)
    assert second.report()["downloaded"]["version"] == hub.commit
    hub.closed = True
    with pytest.warns(UserWarning, match="is used, bbbb"):
        third = opened(hub, "hf://robots/pick@main")
    assert third.fingerprint == second.fingerprint
    assert "503" in third.report()["downloaded"]["offline"]


@pytest.mark.parametrize("inside", ["robots", "robots/pick/meta/../data"])
def test_a_folder_of_a_repository(tmp_path: Path, inside: str) -> None:
    make_folder(tmp_path / "all" / "robots")
    with serving(tmp_path / "all") as hub:
        if ".." in inside:
            with pytest.raises(ConfigError, match="no files"):
                opened(hub, f"hf://robots/pick/{inside}")
            return
        dataset = opened(hub, "hf://robots/pick/robots/pick")
        assert dataset.fingerprint == open_dataset(tmp_path / "all/robots/pick").fingerprint
        one = download(
            "hf://robots/pick/robots/pick/meta/info.json",
            storage_options={"endpoint": hub.endpoint},
        )
        assert one.path.name == "info.json"
        assert one.path.is_file()


@pytest.mark.parametrize("kind", ["meta/info.json", "data/chunk-000/episode_000001.parquet"])
def test_what_comes_damaged_is_refused(hub: Hub, kind: str) -> None:
    data = bytearray((hub.folder / kind).read_bytes())
    data[20] ^= 1
    hub.damaged[kind] = bytes(data)  # as long as announced
    with pytest.raises(DownloadError, match=f"{kind} came with checksum"):
        opened(hub)
    hub.damaged.clear()
    assert len(opened(hub)) == 3


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "meta/../../evil"])
def test_paths_that_lead_out(hub: Hub, name: str) -> None:
    hub.listed = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40}]
    with pytest.raises(CorruptFileError, match="leads out of it"):
        opened(hub)
    assert not hub.served


def test_what_the_hub_refuses(hub: Hub) -> None:
    with pytest.raises(ConfigError, match="no such dataset on the hub, or it is private"):
        opened(hub, "hf://robots/place")
    with pytest.raises(ConfigError, match="no revision 'v9'"):
        opened(hub, "hf://robots/pick@v9")
    with pytest.raises(ConfigError, match="no files at commit"):
        opened(hub, "hf://robots/pick/nothing")
    with pytest.raises(ConfigError, match=r"names revision main, and v1\.0 was given"):
        opened(hub, "hf://robots/pick@main", revision="v1.0")
    with pytest.raises(ConfigError, match="storage_options of the hub"):
        open_dataset("hf://robots/pick", storage_options={"password": "x"})
    hub.gated = True
    with pytest.raises(ConfigError, match="accept its conditions"):
        opened(hub)


def test_damaged_episodes_of_what_came_are_skipped(hub: Hub) -> None:
    video_file(hub.folder, 1).write_bytes(b"no video")
    with pytest.warns(UserWarning, match="1 of 2 episodes are damaged and skipped"):
        part = opened(hub, episodes="0:2", on_error="skip")
    assert part.keys() == ["episode_000000"]
    assert part.fingerprint != opened(hub, episodes="0:2").fingerprint
    assert len(hub.served) == len(set(hub.served))
