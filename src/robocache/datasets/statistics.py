"""Statistics of the streams a policy reads, in one pass over the low-dimensional samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from robocache.core.episode import Episode
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.core.stream import StreamSpec
from robocache.datasets.windows import WindowTable, checked_stream

LARGEST_SAMPLE = 4096
"""Video, and streams with more numbers per sample (images), get none; policies scale by range."""


def compute_statistics(
    episodes: Iterable[Episode], streams: Sequence[str], fingerprint: str
) -> Statistics:
    """Mean, std, range and 1 % / 99 % quantiles of the named streams; never decodes frames.

    A stream without any sample in all episodes gets mean 0 and std 1.

    Raises:
        DataError: a stream is missing or malformed; names episode and stream.
    """
    samples: dict[str, list[np.ndarray]] = {name: [] for name in streams}
    specs: dict[str, StreamSpec] = {}
    for episode in episodes:
        for name in streams:
            stream = episode.stream(name)
            lazy = not isinstance(stream.values, np.ndarray)
            if lazy or np.prod(stream.spec.shape) > LARGEST_SAMPLE:
                continue
            checked_stream(episode, name, like=specs.setdefault(name, stream.spec))
            samples[name].append(np.asarray(stream.values, dtype=np.float64))
    return Statistics(
        {
            name: _describe(np.concatenate(parts), specs[name].shape)
            for name, parts in samples.items()
            if parts
        },
        fingerprint,
    )


def relative_statistics(table: WindowTable, reference: str) -> StreamStatistics:
    """Statistics of a table's valid actions minus the latest sample of one of its inputs."""
    parts = []
    for rows in np.array_split(np.arange(len(table)), max(1, len(table) // 4096)):
        batch = table.batch(rows)
        relative = batch.actions - batch.values[reference][:, -1:].float()
        counted = batch.action_valid & batch.valid[reference][:, -1:]
        parts.append(relative[counted].double().numpy())
    return _describe(np.concatenate(parts), table.specs[table.window.action].shape)


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
