"""The trace of a training: written without waiting, rewound, compared to the bit."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from robocache.core.errors import CheckpointError, CorruptFileError, StorageError
from robocache.learning.engine.checkpoint import compare_checkpoints, compare_tensors
from robocache.learning.engine.trace import RECORD, Trace, compare_traces, read_trace


def fill(trace: Trace, first: int, last: int) -> None:
    for step in range(first, last + 1):
        rows = np.array([step, 2 * step], np.int64)
        trace.add(step, rows, torch.tensor(1 / step), torch.tensor(0.1 * step))
    trace.flush()


def test_bytes_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    trace = Trace(path, 0)
    loss = torch.tensor(0.5, requires_grad=True) * 1
    trace.add(1, np.array([3, -1]), loss, torch.tensor(2.25, dtype=torch.float64))
    assert not path.exists(), "nothing is written before it is asked for"
    trace.flush()
    trace.flush()
    crc = zlib.crc32(struct.pack("<qq", 3, -1))
    assert path.read_bytes() == struct.pack("<IIff", 1, crc, 0.5, 2.25)


def test_gone_on_with(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fill(Trace(whole, 0), 1, 9)
    fill(Trace(stopped, 0), 1, 7)
    stopped.write_bytes(stopped.read_bytes() + b"torn" + bytes(28))
    fill(Trace(stopped, 5), 6, 9)
    assert stopped.read_bytes() == whole.read_bytes()
    fill(Trace(stopped, 0), 1, 2)
    assert list(read_trace(stopped)["step"]) == [1, 2]
    assert len(read_trace(tmp_path / "none")) == 0


def test_not_a_trace(tmp_path: Path) -> None:
    (tmp_path / "trace.bin").write_bytes(b"something else, of 32 bytes, yes")
    records = np.zeros(2, RECORD)
    for steps in ([2, 1], [1, 1], [0, 1]):
        records["step"] = steps
        (tmp_path / "trace.bin").write_bytes(records.tobytes())
        with pytest.raises(CorruptFileError, match="steps do not increase"):
            read_trace(tmp_path / "trace.bin")


def test_a_full_disk_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.tell() > 3 * RECORD.itemsize:
                raise OSError(errno.ENOSPC, "no space")
            return super().write(data[:5])

    trace = Trace(tmp_path / "trace.bin", 0)
    fill(trace, 1, 3)
    before = (tmp_path / "trace.bin").read_bytes()
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: FullDisk(path, mode))
    with pytest.raises(StorageError, match=r"trace\.bin: the disk is full"):
        fill(trace, 4, 5)
    monkeypatch.undo()
    assert (tmp_path / "trace.bin").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "place", "values"),
    [
        ("batch", 0xABCD, "batch 3", ("rows with crc32 00000007", "rows with crc32 0000abcd")),
        ("loss", np.nextafter(np.float32(0.1), np.float32(1)), "step 3, loss", (0.1, 0.10000001)),
        ("gradient_norm", np.nan, "step 3, gradient norm", (0.1, float("nan"))),
        ("loss", 0.1, None, ()),
    ],
)
def test_first_difference(name: str, value: float, place: str | None, values: tuple) -> None:
    was = np.zeros(5, RECORD)
    was["step"], was["batch"] = range(1, 6), 7
    was["loss"] = was["gradient_norm"] = 0.1
    was["loss"][0] = np.nan  # the same bits are no difference
    now = was.copy()
    now[name][2:] = value
    found, steps = compare_traces(was, now[1:])
    assert steps == 4, "step 1 is known of one alone"
    if place is None:
        assert found is None
        return
    assert found is not None and found.place == place
    np.testing.assert_equal((found.was, found.now), values)


def test_tensors_to_the_bit() -> None:
    was = {"b": torch.zeros(2, 3), "a": torch.tensor([float("nan")]), "c": torch.tensor(3)}
    now = {name: tensor.clone() for name, tensor in was.items()}
    assert compare_tensors(was, now) is None
    now["c"] += 1
    found = compare_tensors(was, now)
    assert found is not None and (found.place, found.was, found.now) == ("tensor c", 3, 4)
    now["b"][1, 2] = -0.0
    now["b"][1, 1] = 0.1
    found = compare_tensors(was, now)
    assert found is not None and (found.place, found.was, found.now) == ("tensor b[1, 1]", 0, 0.1)
    now["b"][1, 1] = 0
    found = compare_tensors(was, now)
    assert found is not None and found.place == "tensor b[1, 2]", "a zero with another sign"
    now["b"] = now["b"].double()
    found = compare_tensors(was, now)
    assert found is not None and str(found) == ("tensor b: was float32 (2, 3), now float64 (2, 3)")
    del now["a"]
    found = compare_tensors(was, now)
    assert found is not None and (found.place, found.now) == ("tensor a", "nothing")


def test_checkpoints_file_by_file(tmp_path: Path) -> None:
    was, now = tmp_path / "was", tmp_path / "now"
    for folder in (was, now):
        (folder / "training").mkdir(parents=True)
        (folder / "training" / "state.json").write_text('{"step": 3, "sampler": {"epoch": 1}}')
    assert compare_checkpoints(was, now) is None
    (now / "training" / "state.json").write_text('{"sampler": {"epoch": 2}, "step": 3}')
    found = compare_checkpoints(was, now)
    assert str(found) == "training/state.json, sampler.epoch: was 1, now 2"
    (was / "a.safetensors").write_bytes(b"damaged")
    assert str(compare_checkpoints(was, now)) == "a.safetensors: was a file, now nothing"
    (now / "a.safetensors").write_bytes(b"also damaged")
    with pytest.raises(CheckpointError, match="cannot be compared"):
        compare_checkpoints(was, now)
