"""Statistics of an embodiment's groups, computed from the arrays of a dataset's episodes.

Letters: N steps of an episode, W windows, H horizon, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError, NonFiniteError, ShapeError
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.datasets.statistics_summary import Summary, merge, most_kept, summarise
from robocache.policies.groot_n16.processing.modality import EmbodimentConfig
from robocache.policies.groot_n16.processing.relative import to_relative
from robocache.policies.groot_n16.processing.statistics import FIELDS, EmbodimentStatistics

Groups = Mapping[str, NDArray[Any]]


def compute_statistics(
    config: EmbodimentConfig, episodes: Iterable[tuple[Groups, Groups]]
) -> EmbodimentStatistics:
    """Statistics of every state and action group, and of the relative ones, in one pass.

    Quantiles are exact where no episode has more samples than `summarise` keeps. Groups declared
    RELATIVE or DELTA get statistics of both kinds.

    Args:
        config: the embodiment.
        episodes: (states, actions) of each episode; group -> (N, D).

    Raises:
        ShapeError, NonFiniteError, DataError: name group and embodiment.
        DataError: no episode holds a whole window.
    """
    found: dict[str, list[Summary]] = {}
    for states, actions in episodes:
        for kind, groups, keys in (
            ("state", states, config.state.modality_keys),
            ("action", actions, config.action.modality_keys),
        ):
            for key in keys:
                values = _checked(config, groups, kind, key)
                found.setdefault(f"{kind}.{key}", []).append(_summary(values))
        for key in filter(config.is_relative, config.action.modality_keys):
            windows = relative_windows(config, key, states, actions)
            if len(windows):
                found.setdefault(f"relative_action.{key}", []).append(_summary(windows))
    for key in filter(config.is_relative, config.action.modality_keys):
        if f"relative_action.{key}" not in found:
            raise DataError(
                f"embodiment {config.tag}: no episode holds a window of {config.horizon} steps",
                stream=f"action.{key}",
            )
    return EmbodimentStatistics.of_named({name: merge(parts) for name, parts in found.items()})


def relative_windows(
    config: EmbodimentConfig, key: str, states: Groups, actions: Groups
) -> NDArray[np.float64]:
    """(W, H, D) relative actions of all windows that lie inside an episode.

    Args:
        config: the embodiment.
        key: an action group that is declared RELATIVE or DELTA.
        states, actions: group -> (N, D) of the episode.

    Raises:
        ShapeError, NonFiniteError, DataError: name group and embodiment.
    """
    values_ND = _checked(config, actions, "action", key)
    reference_ND = _checked(config, states, "state", config.reference_key(key))
    if len(values_ND) != len(reference_ND):
        raise ShapeError(
            f"embodiment {config.tag}: {len(values_ND)} actions, {len(reference_ND)} states",
            stream=f"action.{key}",
        )
    indices = np.asarray(config.action.delta_indices)
    last = config.state.delta_indices[-1]
    starts = np.arange(max(0, -min(indices[0], last)), len(values_ND) - max(0, indices[-1], last))
    windows_WHD = values_ND[starts[:, None] + indices]
    how = config.action.action_config(key)
    try:
        return to_relative(windows_WHD, reference_ND[starts + last], how)
    except DataError as error:
        problem = f"embodiment {config.tag}: {error.problem}"
        raise type(error)(problem, stream=f"action.{key}") from None


def from_streams(
    config: EmbodimentConfig,
    streams: Statistics,
    names: Mapping[str, str] | None = None,
    relative: Mapping[str, StreamStatistics] | None = None,
) -> EmbodimentStatistics:
    """Statistics that were computed per stream, as those of groups.

    Args:
        config: the embodiment.
        streams: of a dataset's streams; samples of more dimensions are flattened.
        names: "state.arm" -> name of its stream; what is not named is called alike.
        relative: action group -> statistics by step, (H, D).

    Raises:
        MissingStreamError: a stream has no statistics.
    """
    named = {
        f"{kind}.{key}": _flat(streams[(names or {}).get(f"{kind}.{key}", f"{kind}.{key}")])
        for kind in ("state", "action")
        for key in getattr(config, kind).modality_keys
    }
    for key, statistics in (relative or {}).items():
        named[f"relative_action.{key}"] = statistics
    return EmbodimentStatistics.of_named(named)


def _summary(values: NDArray[Any]) -> Summary:
    return summarise(values, most_kept(int(np.prod(values.shape[1:]))))


def _checked(config: EmbodimentConfig, groups: Groups, kind: str, key: str) -> NDArray[np.float32]:
    values = np.asarray(groups.get(key))
    place = f"{kind}.{key}"
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise ShapeError(
            f"embodiment {config.tag}: expected (steps, dimensions) of numbers, "
            f"got {values.dtype} {values.shape}",
            stream=place,
        )
    if not np.isfinite(values).all():
        raise NonFiniteError(f"embodiment {config.tag}: holds NaN or infinity", stream=place)
    return values.astype(np.float32)


def _flat(part: StreamStatistics) -> StreamStatistics:
    flat = {name: getattr(part, name).reshape(-1) for name in FIELDS.values()}
    return StreamStatistics(**flat, count=part.count)
