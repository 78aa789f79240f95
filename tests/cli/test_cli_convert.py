"""The verbs that write edited copies of datasets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robocache.cli import convert as verbs
from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError, StorageError
from robocache.datasets import open_dataset, write_shard

STEPS = 12


def episode(number: int) -> Episode:
    random = np.random.default_rng(number)
    times = np.arange(STEPS) / 10
    fast = np.arange(2 * STEPS) / 20
    pictures = random.integers(0, 255, (STEPS, 16, 16, 3), np.uint8)
    return Episode(
        f"arm/{number}",
        {
            "state": Stream(
                random.normal(size=(2 * STEPS, 2)).astype(np.float32),
                fast,
                StreamSpec((2,), rate_hz=20.0),
            ),
            "eye": Stream(pictures, times, StreamSpec((16, 16, 3), "uint8", 10.0)),
            "action": Stream(
                random.normal(size=(STEPS, 2)).astype(np.float32),
                times,
                StreamSpec((2,), rate_hz=10.0),
                times + 0.1,
            ),
        },
    )


@pytest.fixture
def demos(tmp_path) -> str:
    write_shard(tmp_path / "demos/a.episodes.parquet", [episode(k) for k in range(4)])
    return str(tmp_path / "demos")


def test_convert_says_what_it_did(tmp_path, demos, capsys):
    out = str(tmp_path / "out")
    told = verbs.convert(demos, out, to="lerobot", fps=10, codec="h264", crf=20, robot="arm")
    printed = capsys.readouterr().out
    assert f"{out}: 4 episodes, lerobot v3.0" in printed
    assert "state: 20 Hz -> 10 Hz, previous" in printed
    assert told["result"]["episodes"] == 4 and told["written"]["fps"] == 10
    assert told["resampled"]["streams"]["state"] == {"method": "previous", "from_hz": 20.0}
    json.dumps(told)
    dataset = open_dataset(out)
    assert dataset.report()["robot"] == "arm" and list(dataset.problems()) == []
    assert dataset[0].stream("eye").values.index.codec == "h264"
    few = str(tmp_path / "few")
    verbs.convert(demos, few, to="lerobot", fps=10, cameras="image", streams=["eye", "action"])
    assert sorted(open_dataset(few)[0].streams) == ["action", "eye"]
    with pytest.raises(StorageError, match="already exists"):
        verbs.convert(demos, out, to="episodes")
    with pytest.raises(ConfigError, match="state 20 Hz"):
        verbs.convert(demos, str(tmp_path / "x"), to="lerobot")
    with pytest.raises(ConfigError, match="unknown format"):
        verbs.convert(demos, str(tmp_path / "x"), to="rlds")


def test_editing_keeps_the_format(tmp_path, demos, capsys):
    def folder(name: str) -> str:
        return str(tmp_path / name)

    verbs.rename(demos, folder("renamed"), ["state=observation.state", "eye=eye.left"])
    assert sorted(open_dataset(folder("renamed"))[0].streams)[1:] == [
        "eye.left",
        "observation.state",
    ]
    verbs.delete(folder("renamed"), folder("fewer"), ["arm/3"])
    assert "1 of 4 episodes are left out" in capsys.readouterr().out
    verbs.trim(folder("fewer"), folder("short"), start=0.2, end=0.3)
    assert len(open_dataset(folder("short"))[0].stream("action")) == STEPS - 5
    verbs.merge(folder("both"), [folder("fewer"), folder("short")], prefix=True)
    assert open_dataset(folder("both")).report()["episodes"] == 6
    told = verbs.split(folder("both"), folder("parts"), ["train=0.5,val=0.33"])
    assert {n: p["result"]["episodes"] for n, p in told["parts"].items()} == {"train": 3, "val": 2}
    assert told["left_over"] == 1 and "in no part: 1" in capsys.readouterr().out
    history = json.loads((tmp_path / "parts/val/provenance.json").read_text())
    chain = history["sources"][0]["provenance"]["sources"][1]["provenance"]["sources"][0]
    assert Path(chain["path"]).name == "fewer"
    verbs.convert(demos, folder("lerobot"), to="lerobot", fps=10, cameras="image")
    verbs.delete(folder("lerobot"), folder("lerobot2"), ["arm/0"])
    assert open_dataset(folder("lerobot2")).report()["format"] == "lerobot v3.0"


def test_mistakes_are_explained(tmp_path, demos):
    out = str(tmp_path / "out")
    for call, message in (
        (lambda: verbs.rename(demos, out, ["state"]), "expected OLD=NEW, got 'state'"),
        (lambda: verbs.split(demos, out, ["train"]), "expected NAME=SHARE"),
        (lambda: verbs.split(demos, out, ["train=most"]), "'most' in 'train=most' is not a number"),
        (lambda: verbs.split(demos, out, ["a=1", "a=2"]), "named twice"),
        (lambda: verbs.trim(demos, out), "say what to trim"),
        (lambda: verbs.merge(out, []), "name the datasets"),
        (lambda: verbs.delete(demos, out, ["leg"]), "unknown episode"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
    assert not Path(out).exists()
