"""Parquet files that are sound, with other columns and values in them."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
from mutations import Random, altered, altered_tree

TRIES = 8
_REFUSED = (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, OverflowError,
            RecursionError)  # fmt: skip


def altered_table(whole: bytes, random: Random, group_rows: int | None = None) -> bytes:
    """Values, columns and types changed, as far as Arrow can write them."""
    columns = pq.read_table(io.BytesIO(whole)).to_pydict()
    for _ in range(TRIES):
        changed = altered_tree(columns, random)
        try:
            return written(pa.table(changed), group_rows)
        except _REFUSED:
            continue
    return altered(whole, random)


def written(table: pa.Table, group_rows: int | None = None) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=group_rows)
    return out.getvalue()
