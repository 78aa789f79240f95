"""Altered shards of this project's own episodes: sound Parquet, and damaged bytes."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings
from fuzzing import FEW, MANY, Target, fuzz, require_survived, require_typed
from mutations import Random, altered, altered_json
from parquet_tables import altered_table, written

from robocache.datasets import write_shard

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
SHARD = "a.episodes.parquet"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "episodes"
    folder.mkdir()
    random = np.random.default_rng(0)
    write_shard(folder / SHARD, [recordings.episode(random, f"e{k}", 3) for k in range(2)])
    return folder


def altered_record(whole: bytes, random: Random) -> bytes:
    """A shard in which the JSON record of one episode is another."""
    table = pq.read_table(io.BytesIO(whole))
    records = table.column("episode").to_pylist()
    at = random.randrange(len(records))
    records[at] = altered_json(records[at].encode(), random).decode("utf-8", "replace")
    number = table.schema.get_field_index("episode")
    return written(table.set_column(number, "episode", pa.array(records)), group_rows=1)


@pytest.mark.parametrize("times", TIMES)
def test_altered_episodes(root: Path, times: int) -> None:
    targets = [
        *[Target(SHARD, altered_record)] * 3,
        Target(SHARD, partial(altered_table, group_rows=1)),
    ]
    counts = fuzz("episodes", root, targets, times)
    require_typed(counts, times)


@pytest.mark.parametrize("times", TIMES)
def test_altered_shard_bytes(root: Path, times: int) -> None:
    counts = fuzz("episodes bytes", root, [Target(SHARD, altered)], times)
    require_survived(counts, times)
