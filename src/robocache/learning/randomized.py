"""Batches as other cameras and range sensors would have taken them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from robocache.core.stream import StreamSpec
from robocache.datasets import Batch
from robocache.sim_to_real import Randomization, StreamRandomizer, is_changed


class BatchRandomizer:
    """Changes the pictures and ranges of training windows; a new drawing in every step.

    Window n of a training, counted over all steps, is changed by what follows from (seed, n): not
    from the number of processes, workers or parts, nor from a restart. The frames of one window are
    changed alike, but for their noise; one that is not there stays zeros.

    Args:
        config: what to draw from.
        seed: of the training.
        specs: stream name -> its declaration, as windows hold it.
    """

    def __init__(self, config: Randomization, seed: int, specs: Mapping[str, StreamSpec]) -> None:
        self._views = {
            name: StreamRandomizer(config, seed, name, spec)
            for name, spec in specs.items()
            if is_changed(config, name, spec)
        }

    @property
    def streams(self) -> list[str]:
        """What is changed."""
        return list(self._views)

    def __call__(self, batch: Batch, first: int) -> Batch:
        """The batch changed; its first window is window `first` of the training."""
        if batch.rows:
            rows = (self(row, first + n) for n, row in enumerate(batch.rows))
            return replace(batch, rows=tuple(rows))
        numbers = first + torch.arange(len(batch.index))
        changed = {
            name: view.windows(batch.values[name], numbers, batch.valid[name])
            for name, view in self._views.items()
            if name in batch.values
        }
        return replace(batch, values={**batch.values, **changed})
