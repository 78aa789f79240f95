"""Figures over the steps of a run: one JSON line each, in a file of its own.

A line cut off by a kill is dropped the next time the file is written to. There is no time in a
line, so the file of a continued run equals that of one that never stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError
from robocache.runs.files import atomic_write, storage_errors
from robocache.runs.plain import numbers, plain

METRICS_NAME = "metrics.jsonl"


def append_metrics(path: Path, step: int, values: Mapping[str, Any]) -> None:
    """Add one line; it is with the operating system when this returns.

    Raises:
        ConfigError: a value is not a number, text, list or mapping.
        StorageError: it cannot be written; the file is as before.
    """
    line = json.dumps({"step": int(step), **plain(values)}).encode() + b"\n"
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _append(descriptor, line)
        finally:
            os.close(descriptor)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines in order; empty when there is no file yet.

    Raises:
        CorruptFileError: a line is not JSON; the message names it.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_parsed(line, number, path) for number, line in enumerate(lines, start=1)]


def rewind_metrics(path: Path, step: int) -> int:
    """Drop the lines after `step`, and a torn last line; how many complete lines were dropped."""
    if not path.exists():
        return 0
    rows = read_metrics(path)
    lines = path.read_bytes().split(b"\n")[:-1]
    kept = [line + b"\n" for line, row in zip(lines, rows, strict=True) if row["step"] <= step]
    atomic_write(path, b"".join(kept))
    return len(rows) - len(kept)


def _append(descriptor: int, line: bytes) -> None:
    start = _end_of_last_line(descriptor)
    os.ftruncate(descriptor, start)
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def _end_of_last_line(descriptor: int) -> int:
    """Where the last complete line ends, in bytes."""
    end = os.fstat(descriptor).st_size
    while end and os.pread(descriptor, 1, end - 1) != b"\n":
        end -= 1
    return end


def _parsed(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptFileError(f"line {number} is not JSON: {error}", file=path) from error
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise CorruptFileError(f"line {number} has no step", file=path)
    return numbers(row)
