"""Statistics of the streams a policy reads, in one pass over the low-dimensional samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from robocache.core.episode import Episode
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.datasets.windows import checked_stream

LARGEST_SAMPLE = 4096
"""Streams with more numbers per sample (images) get no statistics; policies scale them by range."""


def compute_statistics(
    episodes: Iterable[Episode], streams: Sequence[str], fingerprint: str
) -> Statistics:
    """Mean, std, range and 1 % / 99 % quantiles of the named streams; never decodes frames.

    A stream without any sample in all episodes gets mean 0 and std 1.

    Raises:
        DataError: a stream is missing or malformed; names episode and stream.
    """
    samples: dict[str, list[np.ndarray]] = {name: [] for name in streams}
    shapes: dict[str, tuple[int, ...]] = {}
    for episode in episodes:
        for name in streams:
            stream = episode.stream(name)
            if np.prod(stream.spec.shape) > LARGEST_SAMPLE:
                continue
            checked_stream(episode, name, like=None)
            shapes[name] = stream.spec.shape
            samples[name].append(np.asarray(stream.values, dtype=np.float64))
    return Statistics(
        {
            name: _describe(np.concatenate(parts), shapes[name])
            for name, parts in samples.items()
            if parts
        },
        fingerprint,
    )


def _describe(values: np.ndarray, shape: tuple[int, ...]) -> StreamStatistics:
    if len(values) == 0:
        zero, one = np.zeros(shape), np.ones(shape)
        return StreamStatistics(zero, one, zero, zero, zero, zero, 0)
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    return StreamStatistics(
        mean=values.mean(axis=0),
        std=values.std(axis=0),
        minimum=values.min(axis=0),
        maximum=values.max(axis=0),
        q01=low,
        q99=high,
        count=len(values),
    )
