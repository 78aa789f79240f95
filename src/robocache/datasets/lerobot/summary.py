"""Statistics as LeRobot keeps them: of each episode, and of all.

Numbers are all counted; their mean and deviation are exact, quantiles of all episodes are the
mean of the episodes' quantiles, weighted by frames, as in the lerobot package. Pictures are
sampled as it does (about n^0.75 frames, thinned to about 150 pixels) and their numbers, scaled to
0..1, come from exact histograms of the three channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Numbers = dict[str, NDArray[Any]]
"""min, max, mean, std, count and the quantiles of one feature."""


def describe(values: NDArray[Any]) -> Numbers:
    """Statistics of (T, ...) samples over all axes but the last; of (T,) samples, one number."""
    flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    flat = flat.astype(np.int64) if flat.dtype.kind == "b" else flat
    exact = flat.astype(np.float64)
    found: Numbers = {
        "min": flat.min(axis=0),
        "max": flat.max(axis=0),
        "mean": exact.mean(axis=0),
        "std": exact.std(axis=0),
        "count": np.array([len(values)]),
    }
    levels = np.quantile(exact, list(QUANTILES.values()), axis=0)
    return {**found, **dict(zip(QUANTILES, levels, strict=True))}


def sampled_frames(count: int) -> NDArray[np.int64]:
    """Which frames of an episode of `count` frames its statistics look at."""
    wanted = max(min(count, 100), min(int(count**0.75), 10_000))
    return np.unique(np.round(np.linspace(0, count - 1, wanted)).astype(np.int64))


class PictureSummary:
    """Histograms of the channels of (H, W, 3) uint8 pictures."""

    def __init__(self) -> None:
        self.counts = np.zeros((3, 256), np.int64)
        self.frames = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        step = 1
        if max(height, width) >= 300:
            step = max(1, (width if width > height else height) // 150)
        thinned = picture[::step, ::step]
        for channel in range(3):
            self.counts[channel] += np.bincount(thinned[..., channel].ravel(), minlength=256)
        self.frames += 1

    def merge(self, other: PictureSummary) -> None:
        self.counts += other.counts
        self.frames += other.frames

    def describe(self) -> Numbers:
        """Statistics with the shape (3, 1, 1) that LeRobot gives to pictures."""
        levels = np.arange(256) / 255.0
        share = self.counts / self.counts.sum(axis=1, keepdims=True)
        mean = share @ levels
        seen = self.counts > 0
        found: Numbers = {
            "min": levels[seen.argmax(axis=1)],
            "max": levels[255 - seen[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.sum(share * (levels - mean[:, None]) ** 2, axis=1)),
        }
        below = np.cumsum(share, axis=1)
        for name, part in QUANTILES.items():
            found[name] = levels[(below >= part - 1e-12).argmax(axis=1)]
        shaped = {name: numbers.reshape(3, 1, 1) for name, numbers in found.items()}
        return {**shaped, "count": np.array([self.frames])}


class Aggregate:
    """Statistics of all episodes of one feature, from those of each."""

    def __init__(self) -> None:
        self._total: Numbers | None = None

    def add(self, episode: Numbers) -> None:
        if self._total is None:
            self._total = dict(episode)
            return
        total, new = self._total, episode
        old_count, count = int(total["count"][0]), int(new["count"][0])
        part = count / (old_count + count)
        shift = new["mean"] - total["mean"]
        variance = (1 - part) * total["std"] ** 2 + part * new["std"] ** 2
        self._total = {
            "min": np.minimum(total["min"], new["min"]),
            "max": np.maximum(total["max"], new["max"]),
            "mean": total["mean"] + part * shift,
            "std": np.sqrt(variance + part * (1 - part) * shift**2),
            "count": np.array([old_count + count]),
            **{name: total[name] + part * (new[name] - total[name]) for name in QUANTILES},
        }

    def numbers(self) -> Numbers:
        return dict(self._total or {})
