"""Altered LeRobot folders of v2.1 and v3.0: descriptions, tables, and the bytes of their files."""

from __future__ import annotations

import json
from pathlib import Path

import lerobot_folder
import lerobot_v3_folder
import pytest
from fuzzing import FEW, MANY, Target, fuzz, require_survived, require_typed
from mutations import altered, altered_json, altered_lines
from parquet_tables import altered_table

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
V2, V3 = "pick", "third"
DATA_2 = "data/chunk-000/episode_000001.parquet"
DATA_3 = "data/chunk-000/file-000.parquet"
LISTING = "meta/episodes/chunk-000/file-000.parquet"
MODALITY = {
    "state": {"arm": {"start": 0, "end": 3}, "hand": {"start": 3, "end": 5}},
    "action": {"arm": {"start": 0, "end": 3}},
    "video": {"front": {"original_key": "observation.images.front"}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "lerobot"
    lerobot_folder.make_folder(folder)
    lerobot_v3_folder.make_v3(folder)
    (folder / V2 / "meta/modality.json").write_text(json.dumps(MODALITY))
    return folder


@pytest.mark.parametrize("times", TIMES)
def test_altered_lerobot(root: Path, times: int) -> None:
    targets = [
        Target("meta/info.json", altered_json, V2),
        Target("meta/modality.json", altered_json, V2),
        Target("meta/episodes.jsonl", altered_lines, V2),
        Target("meta/tasks.jsonl", altered_lines, V2),
        Target(DATA_2, altered_table, V2),
        Target("meta/info.json", altered_json, V3),
        Target("meta/tasks.parquet", altered_table, V3),
        *[Target(LISTING, altered_table, V3)] * 2,
        Target(DATA_3, altered_table, V3),
    ]
    counts = fuzz("lerobot", root, targets, times)
    require_typed(counts, times)


@pytest.mark.parametrize("times", TIMES)
def test_altered_parquet_and_video(root: Path, times: int) -> None:
    targets = [
        Target(DATA_2, altered, V2),
        Target("videos/chunk-000/observation.images.front/episode_000001.mp4", altered, V2),
        Target(LISTING, altered, V3),
        Target("videos/observation.images.front/chunk-000/file-000.mp4", altered, V3),
    ]
    counts = fuzz("parquet, mp4", root, targets, times)
    require_survived(counts, times)
