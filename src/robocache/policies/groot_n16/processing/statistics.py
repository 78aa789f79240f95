"""Statistics of one embodiment: which are used, and statistics.json.

Letters: H horizon, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.statistics import StreamStatistics

StatisticsPolicy = Literal["pretrained", "dataset", "merge"]
"""`pretrained`: the checkpoint's. `dataset`: those of the data. `merge`: of both together."""

KINDS = ("state", "action", "relative_action")
FIELDS = {
    "min": "minimum",
    "max": "maximum",
    "mean": "mean",
    "std": "std",
    "q01": "q01",
    "q99": "q99",
}


@dataclass(frozen=True, eq=False)
class EmbodimentStatistics:
    """Group name -> statistics, for each kind of group.

    Attributes:
        state, action: arrays are (D,).
        relative_action: of actions relative to a state, by step; arrays are (H, D).
    """

    state: Mapping[str, StreamStatistics] = field(default_factory=dict)
    action: Mapping[str, StreamStatistics] = field(default_factory=dict)
    relative_action: Mapping[str, StreamStatistics] = field(default_factory=dict)

    def named(self) -> dict[str, StreamStatistics]:
        """All of them, as "state.arm", "action.arm", "relative_action.arm"."""
        return {f"{kind}.{key}": s for kind in KINDS for key, s in getattr(self, kind).items()}

    @classmethod
    def of_named(cls, named: Mapping[str, StreamStatistics]) -> Self:
        """The inverse of `named`."""
        kinds: dict[str, dict[str, StreamStatistics]] = {kind: {} for kind in KINDS}
        for name, statistics in named.items():
            kind, _, key = name.partition(".")
            if kind not in kinds:
                raise unknown_name("kind of statistics", kind, KINDS)
            kinds[kind][key] = statistics
        return cls(**kinds)

    def to_json(self) -> dict[str, Any]:
        """As in statistics.json; counts are not kept there."""
        return {
            kind: {key: _group_to_json(group) for key, group in getattr(self, kind).items()}
            for kind in KINDS
        }

    @classmethod
    def from_json(cls, tag: str, data: Mapping[str, Any]) -> Self:
        """
        Args:
            tag: of the embodiment.
            data: kind -> group -> min, max, mean, std, q01, q99.

        Raises:
            DataError: a number is missing or no number; names embodiment and group.
        """
        if not isinstance(data, Mapping):
            raise DataError(f"embodiment {tag}: statistics are an object, got {data!r}")
        named: dict[str, StreamStatistics] = {}
        for kind, groups in data.items():
            if kind not in KINDS:
                raise unknown_name(f"kind of statistics of embodiment {tag}", kind, KINDS)
            if not isinstance(groups, Mapping):
                raise DataError(f"embodiment {tag}: {kind} is an object, got {groups!r}")
            for key, group in groups.items():
                named[f"{kind}.{key}"] = _group_from_json(tag, f"{kind}.{key}", group)
        return cls.of_named(named)


@dataclass(frozen=True, eq=False)
class ChosenStatistics:
    """Statistics and where each of them is from.

    Attributes:
        statistics: what is used.
        origin: name such as "state.arm" -> "pretrained", "dataset" or "merge".
    """

    statistics: EmbodimentStatistics
    origin: Mapping[str, StatisticsPolicy]


def choose_statistics(
    policy: StatisticsPolicy,
    tag: str,
    *,
    pretrained: EmbodimentStatistics | None,
    dataset: EmbodimentStatistics | None,
    dataset_weight: float = 0.5,
) -> ChosenStatistics:
    """What an embodiment is normalised with; nothing is taken from elsewhere in silence.

    With `merge`, a group that only one side has is taken from it, and `origin` says so.

    Args:
        policy: see `StatisticsPolicy`.
        tag: of the embodiment.
        pretrained: of the checkpoint; None: it has none for this embodiment.
        dataset: of the data; None: not computed.
        dataset_weight: weight of the data when means and variances are merged, 0..1.

    Raises:
        ConfigError: the policy is unknown, or the statistics it asks for are not there.
        ShapeError: both sides have a group with different shapes; names group and embodiment.
    """
    if policy not in get_args(StatisticsPolicy):
        raise unknown_name("statistics policy", policy, get_args(StatisticsPolicy))
    sides = {"pretrained": pretrained, "dataset": dataset}
    needed = list(sides) if policy == "merge" else [policy]
    for side in needed:
        found = sides[side]
        if found is None or not found.named():
            raise ConfigError(
                f"statistics={policy} needs those of the {side}, which has none for embodiment "
                f"{tag}; choose statistics={'dataset' if side == 'pretrained' else 'pretrained'}"
            )
    have = {side: found.named() for side, found in sides.items() if found and side in needed}
    origin: dict[str, StatisticsPolicy] = {}
    named: dict[str, StreamStatistics] = {}
    for name in dict.fromkeys(name for side in have.values() for name in side):
        holders = [side for side in have if name in have[side]]
        if len(holders) == 2:
            origin[name] = "merge"
            pair = [have["pretrained"][name], have["dataset"][name]]
            named[name] = _merged(pair, [1 - dataset_weight, dataset_weight], tag, name)
        else:
            origin[name] = "pretrained" if holders[0] == "pretrained" else "dataset"
            named[name] = have[holders[0]][name]
    return ChosenStatistics(EmbodimentStatistics.of_named(named), origin)


def merge_statistics(
    parts: Sequence[EmbodimentStatistics], weights: Sequence[float], tag: str
) -> EmbodimentStatistics:
    """Of several datasets with one embodiment: weighted mean and variance, widest range.

    Quantiles cannot be merged from quantiles; the outermost are taken, as the public code does.

    Args:
        parts: each with the same groups.
        weights: of the parts, not all zero.
        tag: of the embodiment.

    Raises:
        ConfigError: groups differ, or there is no positive weight.
        ShapeError: a group has different shapes; names group and embodiment.
    """
    tables = [part.named() for part in parts]
    if not tables or len(weights) != len(tables) or min(weights) < 0 or sum(weights) <= 0:
        raise ConfigError(f"embodiment {tag}: {len(parts)} statistics with weights {weights}")
    for table in tables[1:]:
        if differ := sorted(set(table) ^ set(tables[0])):
            raise ConfigError(f"embodiment {tag}: not all datasets have the groups {differ}")
    return EmbodimentStatistics.of_named(
        {name: _merged([t[name] for t in tables], weights, tag, name) for name in tables[0]}
    )


def read_statistics(data: Mapping[str, Any]) -> dict[str, EmbodimentStatistics]:
    """The content of statistics.json: embodiment -> statistics."""
    return {tag: EmbodimentStatistics.from_json(tag, groups) for tag, groups in data.items()}


def _merged(
    parts: Sequence[StreamStatistics], weights: Sequence[float], tag: str, name: str
) -> StreamStatistics:
    shapes = {part.mean.shape for part in parts}
    if len(shapes) > 1:
        raise ShapeError(
            f"embodiment {tag}: statistics of shapes {sorted(shapes)} cannot be merged", stream=name
        )
    share = np.asarray(weights, np.float64) / np.sum(weights)
    mean = sum(w * part.mean for w, part in zip(share, parts))
    square = sum(w * (part.std**2 + part.mean**2) for w, part in zip(share, parts))
    return StreamStatistics(
        mean=np.asarray(mean),
        std=np.sqrt(np.maximum(square - np.square(mean), 0)),
        minimum=np.min([part.minimum for part in parts], axis=0),
        maximum=np.max([part.maximum for part in parts], axis=0),
        q01=np.min([part.q01 for part in parts], axis=0),
        q99=np.max([part.q99 for part in parts], axis=0),
        count=sum(part.count for part in parts),
    )


def _group_to_json(group: StreamStatistics) -> dict[str, Any]:
    return {short: getattr(group, name).tolist() for short, name in FIELDS.items()}


def _group_from_json(tag: str, name: str, group: object) -> StreamStatistics:
    if not isinstance(group, Mapping) or (missing := [f for f in FIELDS if f not in group]):
        lacks = f"lack {', '.join(missing)}" if isinstance(group, Mapping) else f"are {group!r}"
        raise DataError(f"embodiment {tag}: statistics {lacks}", stream=name)
    arrays: dict[str, NDArray[np.float64]] = {}
    for short, field_name in FIELDS.items():
        try:
            arrays[field_name] = np.asarray(group[short], np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"embodiment {tag}: {short} ({error})", stream=name) from None
        array = arrays[field_name]
        if array.shape != arrays["minimum"].shape or array.ndim not in (1, 2):
            raise ShapeError(f"embodiment {tag}: {short} has shape {array.shape}", stream=name)
        if not np.isfinite(array).all():
            raise DataError(f"embodiment {tag}: {short} is not finite", stream=name)
    return StreamStatistics(**arrays, count=0)
