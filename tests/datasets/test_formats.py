"""Which reader a path gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from robocache.core.errors import ConfigError, CorruptFileError
from robocache.datasets import Reader, open_dataset
from robocache.datasets.reader import FORMATS, detect_format

SAMPLES = {
    "bridge_rlds": ("rlds", 50),
    "calvin": ("calvin", 1),
    "gr1_lerobot_v20": ("lerobot", 5),
    "language_table_rlds": ("rlds", 4),
    "lerobot_v21_written": ("lerobot", 4),
    "lerobot_v30_written": ("lerobot", 4),
    "mcap_multirate": ("ros", 1),
    "robomimic_hdf5": ("hdf5", 9),
    "robosuite_raw_hdf5": ("hdf5", 1),
    "rosbag2": ("ros", 16),
    "torture_rlds": ("rlds", 6),
    "unitree_g1_lerobot_v21": ("lerobot", 3),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_open_by_themselves(shared_data: Path, name: str) -> None:
    format, episodes = SAMPLES[name]
    assert detect_format(shared_data / name) == format
    dataset = open_dataset(shared_data / name)
    assert isinstance(dataset, Reader)
    assert len(dataset) == len(dataset.keys()) == episodes
    assert len(set(dataset.keys())) == episodes
    episode = dataset[0]
    assert episode.key == dataset.keys()[0]
    assert episode.streams
    assert all(stream.spec.clock == CLOCKS[format] for stream in episode.streams.values())
    assert dataset.report()["format"].startswith(format)


CLOCKS = dict.fromkeys(FORMATS, "synthetic") | {"ros": "measured"}


def test_options_go_to_the_reader(shared_data: Path) -> None:
    bridge = shared_data / "bridge_rlds"
    assert len(open_dataset(bridge, split="val")) == 25
    with pytest.raises(ConfigError, match="RLDSDataset does not take these options"):
        open_dataset(bridge, colour="red")


def test_a_file_may_be_a_dataset(shared_data: Path) -> None:
    assert len(open_dataset(shared_data / "robomimic_hdf5" / "low_dim.hdf5")) >= 1
    assert len(open_dataset(next((shared_data / "mcap_multirate").glob("*.mcap")))) == 1


def test_what_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError, match="not a known dataset"):
            open_dataset(path)
    with pytest.raises(ConfigError, match="did you mean 'lerobot'"):
        open_dataset(tmp_path, format="lerobt")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text("{")
    with pytest.raises(CorruptFileError, match="not readable as JSON"):
        open_dataset(tmp_path)
