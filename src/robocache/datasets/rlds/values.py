"""From the flat lists of an Example to the values of its steps.

Under the steps, values of a fixed shape are joined over time; values of varying length (a sequence
inside a step) come flat, with the row lengths of each level beside them. Tensors may be stored as
raw or zlib-compressed bytes, one item a step.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, ShapeError
from robocache.datasets.rlds.example import Record, Span
from robocache.datasets.rlds.features import Leaf

LARGEST_BYTES = 2**30
"""One compressed feature of one episode may unfold to this."""
_COUNTS_STEPS = ("is_first", "is_last", "is_terminal")


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures as places in the record."""

    spans: list[Span]


@dataclass(frozen=True)
class Ragged:
    """Values whose length varies; one entry a step, with lists inside where there are levels."""

    rows: list[Any]


Values = NDArray[Any] | list[Any] | Pictures | Ragged
"""Of all steps: (T, ...) array, T texts or byte strings, T pictures, or T entries of any length."""


def count_steps(record: Record, leaves: Sequence[Leaf]) -> int:
    """Number of steps of an episode, never from values of varying length.

    Raises:
        CorruptFileError: nothing tells it.
    """
    first = [leaf for leaf in leaves if leaf.name in _COUNTS_STEPS]
    for leaf in [*first, *leaves]:
        if leaf.levels != 1 or not (leaf.known_shape or leaf.kind == "image"):
            continue
        size = record.size(leaf.key)
        each = math.prod(leaf.shape) if leaf.kind == "tensor" and leaf.encoding == "none" else 1
        if size is not None and each:
            return size // each
    raise CorruptFileError("nothing in the record tells the number of its steps")


def step_values(record: Record, leaf: Leaf, steps: int) -> Values:
    """What a leaf holds in every step.

    Raises:
        CorruptFileError, MissingStreamError, ShapeError: damaged, absent, or not as declared.
    """
    if leaf.levels > 1:
        return _ragged(record, leaf, steps)
    return _items(record, leaf, leaf.key, steps)


def episode_value(record: Record, leaf: Leaf) -> Any:
    """What a leaf outside the steps holds; pictures as encoded bytes.

    Raises:
        CorruptFileError, MissingStreamError, ShapeError: damaged, absent, or not as declared.
    """
    if leaf.levels > 1:
        return _ragged(record, leaf, None).rows
    if leaf.key not in record.features and not leaf.known_shape and leaf.kind == "tensor":
        return np.empty([max(size, 0) for size in leaf.shape], _numpy_dtype(leaf))
    values = _items(record, leaf, leaf.key, 1 if leaf.levels == 0 else None)
    if isinstance(values, Pictures):
        values = [record.data[slice(*span)] for span in values.spans]
    rows = values.rows if isinstance(values, Ragged) else values
    return rows[0] if leaf.levels == 0 else rows


def rectangular(ragged: Ragged) -> NDArray[Any] | None:
    """The rows as one array when all have the same shape and hold numbers; else None."""
    try:
        rows = [_stacked(row) for row in ragged.rows]
    except ValueError:
        return None
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else None


def _stacked(row: Any) -> NDArray[Any]:
    if isinstance(row, np.ndarray) and row.dtype != object:
        return row
    if not isinstance(row, list) or not row:
        raise ValueError("no numbers")
    return np.stack([_stacked(part) for part in row])


def _items(record: Record, leaf: Leaf, key: str, count: int | None) -> Values:
    """`count` values of a leaf (None: as many as there are)."""
    if leaf.kind == "image":
        return Pictures(_counted(record.spans(key), leaf, count))
    if leaf.dtype == "string":
        each = math.prod(leaf.shape)
        if leaf.kind == "tensor" and each != 1:
            return _byte_strings(record, leaf, key, count)
        strings = [record.data[slice(*s)] for s in _counted(record.spans(key), leaf, count)]
        return [_text(item, leaf) for item in strings] if leaf.kind == "text" else strings
    if leaf.encoding != "none":
        return _unpacked_tensors(record, leaf, key, count)
    numbers = record.floats(key) if _numpy_dtype(leaf).kind == "f" else record.integers(key)
    return _typed(numbers.reshape(_full_shape(len(numbers), leaf, count)), leaf)


def _full_shape(size: int, leaf: Leaf, count: int | None) -> tuple[int, ...]:
    """(count, *shape) that `size` values make.

    Raises:
        ShapeError: they do not.
    """
    unknown = leaf.shape.count(-1)
    each = math.prod(length for length in leaf.shape if length != -1)
    if unknown == 0:
        rows = count if count is not None else (size // each if each else 0)
        if rows * each == size:
            return (rows, *leaf.shape)
    elif unknown == 1 and count:
        length, rest = divmod(size, count * each) if each else (0, size)
        if rest == 0:
            return (count, *(length if n == -1 else n for n in leaf.shape))
    many = "values" if count is None else f"{count} values"
    raise ShapeError(f"{size} numbers do not make {many} of shape {leaf.shape}")


def _numpy_dtype(leaf: Leaf) -> np.dtype[Any]:
    """The dtype a leaf is given in; bfloat16, which numpy does not have, becomes float32."""
    if leaf.dtype == "string":
        return np.dtype(object)
    return np.dtype(np.float32 if leaf.dtype == "bfloat16" else leaf.dtype)


def _typed(values: NDArray[Any], leaf: Leaf) -> NDArray[Any]:
    """Stored float32 or int64 values in the declared dtype.

    Raises:
        ShapeError: an integer does not fit into it.
    """
    dtype = _numpy_dtype(leaf)
    if dtype.kind in "iu" and dtype.itemsize < 8 and values.size:
        limits = np.iinfo(dtype)
        low, high = int(values.min()), int(values.max())
        if low < limits.min or high > limits.max:
            raise ShapeError(f"holds {low} to {high}, which is not {leaf.dtype}")
    if dtype == np.uint64:
        return values.view(np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype)


def _counted(spans: list[Span], leaf: Leaf, count: int | None) -> list[Span]:
    if count is not None and len(spans) != count:
        raise ShapeError(f"{len(spans)} {leaf.kind} values, expected {count}")
    return spans


def _text(item: bytes, leaf: Leaf) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{leaf.key} holds bytes that are not UTF-8 text") from error


def _byte_strings(record: Record, leaf: Leaf, key: str, count: int | None) -> Ragged:
    """Arrays of byte strings, one a step."""
    spans = record.spans(key)
    shape = _full_shape(len(spans), leaf, count)
    strings = np.empty(len(spans), object)
    strings[:] = [record.data[slice(*span)] for span in spans]
    return Ragged(list(strings.reshape(shape)))


def _unpacked_tensors(record: Record, leaf: Leaf, key: str, count: int | None) -> Values:
    """Tensors stored as bytes, each perhaps compressed."""
    shapes: list[tuple[int, ...]] | None = None
    if leaf.shape.count(-1) > 1:  # then each tensor's shape is stored beside it
        sizes = record.integers(f"{key}/shape")
        rank = len(leaf.shape)
        if len(sizes) % rank:
            raise ShapeError(f"{len(sizes)} numbers are not shapes of {rank} axes")
        shapes = [tuple(row) for row in sizes.reshape(-1, rank).tolist()]
        key = f"{key}/value"
    spans = _counted(record.spans(key), leaf, count)
    if shapes is not None and len(shapes) != len(spans):
        raise ShapeError(f"{len(spans)} tensors with {len(shapes)} shapes")
    dtype = np.dtype("<u2") if leaf.dtype == "bfloat16" else np.dtype(leaf.dtype).newbyteorder("<")
    room, tensors = LARGEST_BYTES, []
    for number, span in enumerate(spans):
        shape = shapes[number] if shapes is not None else leaf.shape
        data = record.data[slice(*span)]
        if leaf.encoding == "zlib":
            known = math.prod(shape) * dtype.itemsize
            data = _inflated(data, room if -1 in shape else min(known, room))
        room -= len(data)
        tensors.append(_tensor(data, dtype, shape, number))
    same = leaf.known_shape or len({tensor.shape for tensor in tensors}) == 1
    if not same:
        return Ragged(tensors)
    whole = np.stack(tensors) if tensors else np.empty((0, *leaf.shape), dtype)
    if leaf.dtype == "bfloat16":
        return (whole.astype(np.uint32) << 16).view(np.float32)
    return whole.astype(np.dtype(leaf.dtype), copy=False)


def _tensor(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], number: int) -> NDArray[Any]:
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:
        raise ShapeError(
            f"tensor {number} has {len(data)} bytes, which is not {dtype.name} of shape {shape}"
        ) from error


def _inflated(data: bytes, most: int) -> bytes:
    """zlib data unfolded, to at most `most` bytes."""
    stream = zlib.decompressobj()
    try:
        unfolded = stream.decompress(data, max(most, 0) + 1)
    except zlib.error as error:
        raise CorruptFileError(f"a compressed tensor is damaged ({error})") from error
    if len(unfolded) > most:
        raise CorruptFileError(f"a compressed tensor unfolds to more than {most} bytes")
    if not stream.eof:
        raise CorruptFileError("a compressed tensor is truncated")
    return unfolded


def _ragged(record: Record, leaf: Leaf, steps: int | None) -> Ragged:
    values = _items(record, leaf, f"{leaf.key}/ragged_flat_values", None)
    rows: Any = values
    if isinstance(values, Pictures):
        rows = [record.data[slice(*span)] for span in values.spans]
    elif isinstance(values, Ragged):
        rows = values.rows
    for level in reversed(range(leaf.levels - 1)):
        key = f"{leaf.key}/ragged_row_lengths_{level}"
        lengths = record.integers(key)
        wrong = (lengths < 0) | (lengths > len(rows))
        if wrong.any() or int(lengths.sum()) != len(rows):
            raise ShapeError(f"{key} does not add up to the {len(rows)} entries that are there")
        ends = np.cumsum(lengths).tolist()
        rows = [rows[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    if steps is not None and len(rows) != steps:
        raise ShapeError(f"{len(rows)} rows, expected one for each of {steps} steps")
    return Ragged(rows)
