"""What every training step saw and gave: which batch, which loss and gradient norm, to the bit.

`trace.bin` has one record of 16 bytes a step: its number, the crc32 of the batch's row numbers,
loss and gradient norm as float32, all little-endian. Two runs that part do so at the first record
that differs. Records wait in memory as tensors and are written when the loop stops for figures or a
checkpoint anyway, so that no step has to wait for a graphics card.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robocache.core.errors import CorruptFileError
from robocache.runs.drift import Difference
from robocache.runs.files import storage_errors

TRACE_NAME = "trace.bin"
RECORD = np.dtype([("step", "<u4"), ("batch", "<u4"), ("loss", "<f4"), ("gradient_norm", "<f4")])


class Trace:
    """The trace of a run that goes on after `step`; what was recorded beyond it is dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        self._steps: list[tuple[int, int]] = []
        self._figures: list[Tensor] = []
        if path.exists():
            steps = _records(path)["step"].astype(np.int64)
            sound = (np.diff(steps, prepend=0) > 0) & (steps <= step)  # a power cut leaves zeros
            with storage_errors(path):
                os.truncate(path, int(np.cumprod(sound).sum()) * RECORD.itemsize)

    def add(self, step: int, rows: NDArray[np.int64], loss: Tensor, gradient_norm: Tensor) -> None:
        """Remember a step: (B,) row numbers of its batch, and two tensors without a dimension."""
        self._steps.append((step, zlib.crc32(np.ascontiguousarray(rows, "<i8").tobytes())))
        self._figures += [loss.detach(), gradient_norm.detach()]

    def flush(self) -> None:
        """Hand what is remembered to the operating system.

        Raises:
            StorageError: it cannot be written; the file is as before.
        """
        if not self._steps:
            return
        records = np.empty(len(self._steps), RECORD)
        records["step"], records["batch"] = np.array(self._steps, np.uint32).T
        figures = torch.stack(self._figures).float().cpu().numpy().reshape(-1, 2)
        records["loss"], records["gradient_norm"] = figures.T
        _append(self._path, records.tobytes())
        self._steps.clear()
        self._figures.clear()


def read_trace(path: Path) -> NDArray[np.void]:
    """(N,) records of type `RECORD`; empty where there is no file, without a torn last record.

    Raises:
        CorruptFileError: the steps do not increase.
    """
    records = _records(path)
    if (np.diff(records["step"].astype(np.int64), prepend=0) <= 0).any():
        raise CorruptFileError("not the trace of a training: its steps do not increase", file=path)
    return records


def compare_traces(was: NDArray[np.void], now: NDArray[np.void]) -> tuple[Difference | None, int]:
    """The first difference in the steps that both recorded, and how many those are."""
    common = np.intersect1d(was["step"], now["step"])
    ours, theirs = (records[np.isin(records["step"], common)] for records in (was, now))
    words = [records.view("<u4").reshape(-1, len(RECORD.names or ())) for records in (ours, theirs)]
    rows, columns = np.nonzero(words[0] != words[1])
    if not len(rows):
        return None, len(common)
    old, new, name = ours[rows[0]], theirs[rows[0]], (RECORD.names or ())[columns[0]]
    step = int(old["step"])
    if name == "batch":
        sums = (f"rows with crc32 {int(record[name]):08x}" for record in (old, new))
        return Difference(f"batch {step}", *sums), len(common)
    # The shortest text that gives the same float32 again.
    values = (float(str(record[name])) for record in (old, new))
    return Difference(f"step {step}, {name.replace('_', ' ')}", *values), len(common)


def _records(path: Path) -> NDArray[np.void]:
    data = path.read_bytes() if path.exists() else b""
    return np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)


def _append(path: Path, data: bytes) -> None:
    with storage_errors(path), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(end)
            raise
