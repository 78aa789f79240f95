"""Altered RLDS datasets: records whose checksums agree, whole shards, and the two descriptions."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fuzzing import FEW, MANY, Target, fuzz, require_survived, require_typed
from mutations import Random, altered, altered_json
from rlds_writer import (
    SIMPLE,
    framed,
    image,
    jpeg,
    sequence,
    shard_file,
    simple_episode,
    tensor,
    write_dataset,
)

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
FEATURES = {
    **SIMPLE,
    "wrist": image(8, 8, 3),
    "zip": tensor("float32", -1, encoding="zlib"),
    "rows": sequence(sequence(tensor("int32"))),
}
MORE = {
    "steps/wrist": [jpeg(np.full((8, 8, 3), 40 * k, np.uint8)) for k in range(4)],
    "steps/zip": [zlib.compress(struct.pack("<2f", 1, 2))] * 4,
    "steps/rows/ragged_flat_values": [1, 2, 300],
    "steps/rows/ragged_row_lengths_0": [1, 0, 1, 0],
    "steps/rows/ragged_row_lengths_1": [2, 1],
}
RECORD = simple_episode(1, **MORE)


def altered_record(whole: bytes, random: Random) -> bytes:
    """A shard that is sound, but not the record in it."""
    return framed(altered(RECORD, random))


@pytest.mark.parametrize("times", TIMES)
def test_altered_rlds(tmp_path: Path, times: int) -> None:
    root = write_dataset(tmp_path / "rlds", FEATURES, {"train": [[RECORD]]})
    shard = shard_file(root).name
    targets = [
        *[Target(shard, altered_record)] * 4,
        Target(shard, altered),
        Target("features.json", altered_json),
        Target("dataset_info.json", altered_json),
    ]
    counts = fuzz("rlds", root, targets, times)
    require_typed(counts, times)


@pytest.mark.parametrize("times", TIMES)
def test_altered_array_records(tmp_path: Path, times: int) -> None:
    module = pytest.importorskip("array_record.python.array_record_module")
    records = [simple_episode(number, **MORE) for number in range(3)]
    shards = {"train": [records]}
    root = write_dataset(tmp_path / "rlds", FEATURES, shards, fileFormat="array_record")
    shard_file(root).unlink()
    shard = root / "arm-train.array_record-00000-of-00001"
    writer = module.ArrayRecordWriter(str(shard), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    counts = fuzz("array_record", root, [Target(shard.name, altered_in_use)], times)
    require_survived(counts, times)


def altered_in_use(whole: bytes, random: Random) -> bytes:
    """Changed where a block is not filled up with zeros; blocks keep their size, mostly."""
    if random.random() < 0.1:
        return altered(whole, random)
    block = 65536 * random.randrange(len(whole) // 65536)
    used = whole[block : block + 65536].rstrip(b"\0")
    changed = altered(used, random)[:65536].ljust(65536, b"\0")
    return whole[:block] + changed + whole[block + 65536 :]
