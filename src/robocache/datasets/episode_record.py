"""The JSON record of an episode in a shard; its types are checked before anything is made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

import numpy as np

from robocache.core.episode import Outcome, Provenance
from robocache.core.stream import Clock, StreamSpec

_NUMBER = (int, float)
_RECORD: dict[str, Any] = {
    "key": str,
    "instruction": str,
    "outcome": dict,
    "provenance": dict,
    "start_ns": int,
    "specs": dict,
    "streams": dict,
    "sha256": str,
}
_OUTCOME: dict[str, Any] = {
    "success": (bool, NoneType),
    "terminated": bool,
    "truncated": bool,
    "steps": int,
    "reward": (*_NUMBER, NoneType),
    "details": dict,
}
_PROVENANCE: dict[str, Any] = {
    "dataset": str,
    "source": str,
    "task": str,
    "seed": (int, NoneType),
    "index": int,
    "simulator": str,
    "actor": str,
}


def parse_record(text: str) -> dict[str, Any]:
    """A record as `shards` writes it; what its streams hold is left to `parse_spec`.

    Raises:
        ValueError, TypeError: it is not one.
    """
    record = json.loads(text)
    _require(record, _RECORD, "the record of an episode")
    parse_history(record)
    for name, spec in record["specs"].items():
        if not isinstance(spec, dict):
            raise TypeError(f"the declaration of stream {name!r} is {spec!r}")
        if not isinstance(record["streams"].get(name), str):
            raise ValueError(f"there is no sha256 of stream {name!r}")
    whole: dict[str, Any] = record
    return whole


def parse_history(record: Mapping[str, Any]) -> tuple[Outcome, Provenance]:
    """How an episode ended, and where it comes from.

    Raises:
        ValueError, TypeError, KeyError: the record does not tell of it as it was written.
    """
    for what, types in (("outcome", _OUTCOME), ("provenance", _PROVENANCE)):
        _require(record[what], types, what)
        if unknown := record[what].keys() - types.keys():
            raise ValueError(f"{what} has {sorted(unknown)}, which are not known")
    return Outcome(**record["outcome"]), Provenance(**record["provenance"])


def parse_spec(declared: Mapping[str, Any]) -> StreamSpec:
    """The declaration of a stream.

    Raises:
        ValueError, TypeError, KeyError: it is not one.
    """
    spec = StreamSpec.from_json(declared)
    rate = spec.rate_hz
    gap = spec.alignment.max_gap_s
    sound = (
        all(type(size) is int and size >= 0 for size in spec.shape)
        and np.dtype(spec.dtype).kind in "biuf"
        and (rate is None or (isinstance(rate, _NUMBER) and math.isfinite(rate) and rate > 0))
        and isinstance(spec.unit, str)
        and spec.clock in get_args(Clock)
        and isinstance(spec.privileged, bool)
        and (gap is None or isinstance(gap, _NUMBER))
    )
    if not sound:
        raise ValueError(f"not the declaration of a stream: {dict(declared)}")
    return spec


def _require(record: Any, types: dict[str, Any], what: str) -> None:
    if not isinstance(record, dict):
        raise TypeError(f"{what} is {record!r}")
    for name, kind in types.items():
        if name not in record:
            raise ValueError(f"{what} has no {name!r}")
        if not isinstance(record[name], kind):
            raise TypeError(f"{name!r} in {what} is {record[name]!r}")
