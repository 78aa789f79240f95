"""`robocache data download`, and verbs that are given a URI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import robocache
from lerobot_folder import make_folder
from rlds_writer import simple_dataset


def results(out: str) -> dict:
    return json.loads(out.splitlines()[-1])


def test_download_into_the_cache(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    said = robocache("data", "download", f"file://{root}", "--episodes", "0:2", "--json")
    assert said.code == 0
    made = results(said.out)
    assert made["episodes"] == ["episode_000000", "episode_000001"]
    assert (made["files"], made["fetched"]) == (7, 7)
    assert Path(made["folder"], "meta/info.json").is_file()
    first = json.loads(said.out.splitlines()[0])
    assert (first["event"], first["title"], first["unit"]) == ("progress", "download", "MB")
    again = robocache("data", "download", f"file://{root}", "--episodes", "0:2", "--check")
    assert "7 files" in again.out
    assert "(7 were here)" in again.out


def test_download_into_a_folder(tmp_path: Path) -> None:
    folder = simple_dataset(tmp_path)
    said = robocache("data", "download", f"file://{folder}", "mine", "--split", "val")
    assert said.code == 0, said.err
    assert said.out.startswith("mine: 3 files, ")
    shown = robocache("data", "inspect", "mine", "--option", "rate_hz=5", "--json")
    report = results(shown.out)
    assert report["downloaded"]["uri"] == f"file://{folder}"
    again = robocache("data", "download", f"file://{folder}", "mine")
    assert again.code == 3
    assert "already exists" in again.err


def test_verbs_take_uris(tmp_path: Path) -> None:
    uri = f"file://{make_folder(tmp_path)}"
    shown = robocache("data", "inspect", uri, "--json")
    assert results(shown.out)["downloaded"]["uri"] == uri
    plotted = robocache("data", "plot", uri, "1", "--json")
    assert results(plotted.out)["episode"] == "episode_000001"
    converted = robocache("data", "convert", uri, "new", "--to", "episodes", "--json")
    assert converted.code == 0, converted.err
    assert results(converted.out)["folder"] == "new"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("path/to/folder",), "is no URI"),
        (("memory://nothing",), "no such file or folder"),
        (("hf://pusht",), "expected hf://[datasets/]OWNER/NAME"),
    ],
)
def test_download_mistakes(arguments: tuple[str, ...], words: str) -> None:
    said = robocache("data", "download", *arguments)
    assert said.code == 3
    assert words in said.err
