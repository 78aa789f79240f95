"""Statistics of the samples that a mixture hands out: each dataset counts by its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robocache.core.statistics import Statistics, StreamStatistics


def mix_statistics(
    parts: Mapping[str, Statistics], weights: Mapping[str, float], fingerprint: str
) -> Statistics:
    """Statistics of a mixture from those of its datasets; see `mix_streams`.

    Args:
        parts: name -> statistics of the dataset as the mixture sees it.
        weights: name -> share of the samples.
        fingerprint: of the mixture.
    """
    names = set.intersection(*(set(part.streams) for part in parts.values()))
    shares = [weights[name] for name in parts]
    streams = {
        name: mix_streams([part[name] for part in parts.values()], shares) for name in sorted(names)
    }
    return Statistics(streams, fingerprint)


def mix_streams(parts: Sequence[StreamStatistics], weights: Sequence[float]) -> StreamStatistics:
    """Statistics of one stream over several datasets.

    Mean and std are those of samples drawn by weight, however many each dataset has. The range is
    that of all of them, and so are the quantiles: the lowest q01 and the highest q99, outside of
    which lies at most 1 % on each side. Datasets without a sample do not count.
    """
    found = [(p, w) for p, w in zip(parts, weights, strict=True) if p.count]
    if not found:
        return parts[0]
    filled = [part for part, _ in found]
    shares = np.array([weight for _, weight in found]) / sum(weight for _, weight in found)
    mean = sum(share * part.mean for part, share in zip(filled, shares, strict=True))
    variance = sum(
        share * (part.std**2 + (part.mean - mean) ** 2)
        for part, share in zip(filled, shares, strict=True)
    )
    return StreamStatistics(
        mean=np.asarray(mean),
        std=np.sqrt(variance),
        minimum=np.min([part.minimum for part in filled], axis=0),
        maximum=np.max([part.maximum for part in filled], axis=0),
        q01=np.min([part.q01 for part in filled], axis=0),
        q99=np.max([part.q99 for part in filled], axis=0),
        count=sum(part.count for part in filled),
    )
