"""Where a training sample comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where a sample comes from.

    Attributes:
        episode: key of the episode.
        source: file of the episode, within the dataset.
        step: number of the action at which the sample was taken.
        now_s: time of that action on the episode's clock, seconds.
        dataset: name in the mixture, "" where there is only one dataset.
    """

    episode: str
    source: str
    step: int
    now_s: float
    dataset: str = ""
