"""`robocache data inspect --check` on the sample datasets: counts, rates and known defects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from command import robocache


class Known(NamedTuple):
    """What is known of a sample dataset.

    Attributes:
        samples: of which stream there are how many, over all episodes.
        rate_hz: of every stream; None: looked at by a test of its own.
        problems: words that a problem holds -> how many do; together all there are.
    """

    format: str
    episodes: int
    samples: tuple[str, int]
    rate_hz: float | None
    clock: str = "synthetic"
    problems: Mapping[str, int] = MappingProxyType({})


WITHOUT_TYPES = {
    "holds no topic that could be read": 12,
    "has no definition in the bag": 9,
    "declared, but has no message": 2,
    "rcl_interfaces/Parameter is not defined in the bag": 1,
    "bytes more than the definition of rcl_interfaces/Log": 1,
}
KNOWN = {
    "bridge_rlds": Known(
        "rlds (tfrecord)",
        50,
        ("action", 500),
        5.0,
        problems={
            "says that the camera was not there, its pictures show otherwise": 3,
            "true at no step": 1,
            "splits train and val hold 25 episodes with the same content": 1,
        },
    ),
    "calvin": Known("calvin", 1, ("actions", 40), 30.0),
    "gr1_lerobot_v20": Known(
        "lerobot v2.0",
        5,
        ("action", 2096),
        20.0,
        problems={"total_videos is 2, but there are 5": 1, "without a video in any episode": 1},
    ),
    "language_table_rlds": Known("rlds (tfrecord)", 4, ("action", 62), 10.0),
    "lerobot_v21_written": Known("lerobot v2.1", 4, ("action", 86), 10.0),
    "lerobot_v30_written": Known("lerobot v3.0", 4, ("action", 86), 10.0),
    "mcap_multirate": Known(
        "ros 2 bag",
        1,
        ("/ft_sensor", 1500),
        None,
        "measured",
        problems={"gaps above 3 periods of a 30.0 Hz stream, the longest 0.101 s": 1},
    ),
    "robomimic_hdf5": Known("hdf5 raw, robomimic", 9, ("action", 315), 20.0),
    "robosuite_raw_hdf5": Known("hdf5 raw", 1, ("action", 174), 20.0),
    "rosbag2": Known("ros 2 bag", 16, ("topic1", 5), None, "measured", problems=WITHOUT_TYPES),
    "torture_rlds": Known("rlds (tfrecord)", 6, ("action", 25), 1.0),
    "unitree_g1_lerobot_v21": Known(
        "lerobot v2.1",
        3,
        ("action", 1093),
        30.0,
        problems={
            "listed, but has no Parquet file": 97,
            "the video is missing": 2,
            "total_videos is 100, but there are 1": 1,
        },
    ),
}
NO_DATASETS = {"PROVENANCE.md", "qwen2_tokenizer"}
_CHECKED: dict[str, dict[str, Any]] = {}


def checked(shared_data: Path, name: str) -> dict[str, Any]:
    if name not in _CHECKED:
        said = robocache("data", "inspect", str(shared_data / name), "--check", "--json")
        _CHECKED[name] = json.loads(said.out.splitlines()[-1]) | {"code": said.code}
    return _CHECKED[name]


def test_every_folder_is_known(shared_data: Path) -> None:
    there = {path.name for path in shared_data.iterdir() if path.suffix != ".json"}
    assert there == set(KNOWN) | NO_DATASETS


@pytest.mark.parametrize("name", KNOWN)
def test_counts_rates_and_defects(shared_data: Path, name: str) -> None:
    known, found = KNOWN[name], checked(shared_data, name)
    assert (found["format"], found["episodes"]) == (known.format, known.episodes)
    assert found["sampled"]["read"] == known.episodes
    streams = found["sampled"]["streams"]
    stream, samples = known.samples
    assert streams[stream]["samples"] == samples
    for figures in streams.values():
        assert figures["clock"] == known.clock
        if known.rate_hz is not None:
            assert figures["rate_hz"] == pytest.approx(known.rate_hz)
            assert figures["nominal_hz"] == known.rate_hz and figures["gaps"] == 0
            assert figures["jitter_s"] == pytest.approx(0, abs=1e-9)
    told = Counter(
        next((words for words in known.problems if words in problem["problem"]), str(problem))
        for problem in found["problems"]
    )
    assert told == known.problems
    assert found["code"] == (4 if known.problems else 0)


def test_every_episode_of_bridge_is_in_both_splits(shared_data: Path) -> None:
    pairs = checked(shared_data, "bridge_rlds")["equal_episodes"]
    train, val = zip(*pairs, strict=True)
    assert sorted(train) == [f"train/{number:06d}" for number in range(25)]
    assert sorted(val) == [f"val/{number:06d}" for number in range(25)]


def test_missing_files_of_unitree_are_named(shared_data: Path) -> None:
    found = checked(shared_data, "unitree_g1_lerobot_v21")
    folder = shared_data / "unitree_g1_lerobot_v21"
    missing = [problem for problem in found["problems"] if problem["episode"] is not None]
    assert len(missing) == 99 and not any(Path(problem["file"]).exists() for problem in missing)
    assert found["listed_episodes"] == 100
    assert len(list(folder.rglob("*.parquet"))) == 3 and len(list(folder.rglob("*.mp4"))) == 1


def test_every_sensor_of_the_multirate_bag(shared_data: Path) -> None:
    streams = checked(shared_data, "mcap_multirate")["sampled"]["streams"]
    camera = streams.pop("/camera/color/image_raw/compressed")
    assert (camera["samples"], camera["nominal_hz"], camera["gaps"]) == (87, 30.0, 2)
    assert camera["rate_hz"] == pytest.approx(29.03, abs=0.01)
    assert camera["longest_s"] == pytest.approx(0.101, abs=0.001)
    assert 0.002 < camera["jitter_s"] < 0.004
    rates = {"/cmd": 20, "/ft_sensor": 500, "/joint_states": 100}
    for name, figures in streams.items():
        expected = rates[name.removesuffix("/" + name.split("/")[-1]) or name]
        assert figures["rate_hz"] == pytest.approx(expected, rel=0.005), name
        assert figures["gaps"] == 0
        assert (figures["jitter_s"] > 1e-4) == name.startswith("/joint_states")


def test_what_is_no_dataset_is_refused(shared_data: Path) -> None:
    for name in ("qwen2_tokenizer", "robocasa_instructions.json", "PROVENANCE.md"):
        said = robocache("data", "inspect", str(shared_data / name))
        assert said.code == 3 and "is not a known dataset" in said.err


def test_the_quick_look_reads_the_first_episodes(shared_data: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "bridge.png"
    said = robocache(
        "data", "inspect", str(shared_data / "bridge_rlds"), "--thumbnails", str(sheet)
    )
    assert said.code == 0 and sheet.stat().st_size > 10_000
    assert "those of the first 5 of 50 episodes" in said.out
    assert "times from        table of conventions (bridge_dataset)" in said.out
