"""The JSON record of an episode: whatever is not as it was written is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings

from robocache.core.errors import CorruptFileError
from robocache.datasets import EpisodeStore, write_shard
from robocache.datasets.episode_record import parse_record, parse_spec
from robocache.datasets.shards import read_index


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.episodes.parquet"
    write_shard(path, [recordings.episode(np.random.default_rng(0), "e", 3)])
    return path


def changed(record: dict[str, Any], place: str, value: Any) -> str:
    *above, last = place.split(".")
    inner = record
    for name in above:
        inner = inner[name]
    inner[last] = value
    return json.dumps(record)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("key", 3, "'key' in the record of an episode is 3"),
        ("sha256", None, "'sha256' in the record of an episode is None"),
        ("start_ns", "now", "'start_ns'"),
        ("outcome", [], "'outcome'"),
        ("outcome.success", "yes", "'success' in outcome is 'yes'"),
        ("outcome.steps", 1.5, "'steps' in outcome"),
        ("provenance.colour", "red", "provenance has .'colour'.*not known"),
        ("provenance.task", {}, "'task' in provenance"),
        ("specs.state", True, "the declaration of stream 'state' is True"),
        ("streams", {}, "no sha256 of stream"),
    ],
)
def test_records_of_other_types(shard: Path, place: str, value: Any, message: str) -> None:
    (record,) = read_index(shard)
    assert parse_record(json.dumps(record)) == record
    with pytest.raises((TypeError, ValueError), match=message):
        parse_record(changed(record, place, value))


@pytest.mark.parametrize("text", ["[]", "null", "{}", "{", '{"key": "e"}'])
def test_what_is_no_record(text: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        parse_record(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", [2, -1]),
        ("shape", ["2"]),
        ("shape", 2),
        ("dtype", "object"),
        ("dtype", "float33"),
        ("rate_hz", 0),
        ("rate_hz", float("nan")),
        ("rate_hz", "20"),
        ("unit", None),
        ("clock", "sundial"),
        ("privileged", 1),
        ("alignment", {"method": "nearest"} | {"max_gap_s": "1"}),
        ("alignment", {"method": "guess"}),
        ("colour", "red"),
    ],
)
def test_declarations_of_streams(shard: Path, name: str, value: Any) -> None:
    spec = read_index(shard)[0]["specs"]["state"]
    assert parse_spec(spec).to_json() == spec
    with pytest.raises((TypeError, ValueError)):
        parse_spec({**spec, name: value})


def test_a_pointer_in_place_of_a_shard(shard: Path) -> None:
    shard.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    store = EpisodeStore(shard.parent)
    assert store.keys() == []
    (problem,) = store.problems()
    assert isinstance(problem, CorruptFileError) and problem.file == str(shard)
    assert "git lfs pull" in problem.problem
