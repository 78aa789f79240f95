"""Batches of a mixture, put together from those of its datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.datasets.windows import Batch

Parts = Sequence[tuple[NDArray[np.int64], Batch]]


def interleaved(
    parts: Parts,
    rows: NDArray[np.int64],
    embodiments: list[str],
    dtypes: Mapping[str, torch.dtype],
) -> Batch:
    """One batch of several, each of which goes to its places.

    Args:
        parts: places in the batch, and what goes there.
        rows: (B,) row numbers of the mixture.
        embodiments: B names of robots.
        dtypes: stream -> dtype that its values get.
    """
    batches = [batch for _, batch in parts]
    back = torch.argsort(torch.from_numpy(np.concatenate([at for at, _ in parts])))
    texts = [text for batch in batches for text in batch.instructions]
    return Batch(
        values=_joined([_cast(batch.values, dtypes) for batch in batches], back),
        valid=_joined([batch.valid for batch in batches], back),
        age_s=_joined([batch.age_s for batch in batches], back),
        instructions=[texts[at] for at in back.tolist()],
        actions=torch.cat([batch.actions for batch in batches])[back],
        action_valid=torch.cat([batch.action_valid for batch in batches])[back],
        index=rows,
        embodiments=embodiments,
    )


def _joined(
    parts: Sequence[Mapping[str, torch.Tensor]], back: torch.Tensor
) -> dict[str, torch.Tensor]:
    return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}


def _cast(
    values: Mapping[str, torch.Tensor], dtypes: Mapping[str, torch.dtype]
) -> dict[str, torch.Tensor]:
    return {name: value.to(dtypes.get(name, value.dtype)) for name, value in values.items()}


def side_by_side(parts: Parts, rows: NDArray[np.int64], embodiments: list[str]) -> Batch:
    """One batch of several whose streams differ; see `interleaved` and `Batch.rows`."""
    placed: dict[int, Batch] = {}
    for places, batch in parts:
        for place, window in zip(places.tolist(), batch.windows(), strict=True):
            placed[place] = replace(
                window, index=rows[place : place + 1], embodiments=[embodiments[place]]
            )
    return Batch.of_unlike([placed[place] for place in range(len(rows))])
