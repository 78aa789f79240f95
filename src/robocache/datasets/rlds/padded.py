"""Streams of several episodes as arrays of one length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ShapeError
from robocache.datasets.frames import EncodedFrames, Room


class PaddedStreams:
    """Streams of B episodes, each (B, L, ...) with zeros after an episode's end.

    Pictures are decoded into the array that is handed out.

    Args:
        episodes: B episodes of at most L steps.
        steps: L.
        room: gives the memory of a stream.
    """

    def __init__(self, episodes: Sequence[Episode], steps: int, room: Room) -> None:
        self._episodes, self._steps, self._room = episodes, steps, room
        self._whole: dict[str, NDArray[Any]] = {}
        self._other: ShapeError | None = None

    def fill(self, row: int, name: str) -> None:
        """Read a stream of one episode; rows are filled in their order.

        Raises:
            DataError: it cannot be read.
        """
        values = self._episodes[row].stream(name).values
        place = partial(self._place, row, name)
        if isinstance(values, EncodedFrames) and len(values):
            values.read(place)
        else:
            array = np.asarray(values[:])
            place(array.shape, array.dtype)[:] = array

    def _place(
        self, row: int, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Where (T, ...) values of an episode belong."""
        wanted = len(self._episodes), self._steps, *shape[1:]
        whole = self._whole.get(name)
        if whole is None:
            whole = self._whole[name] = self._room(wanted, dtype)
        if whole.shape != wanted or whole.dtype != dtype:
            self._other = self._other or ShapeError(
                f"{dtype} of shape {shape[1:]}, in {self._episodes[0].key} it is {whole.dtype} "
                f"of {whole.shape[2:]}; batches need the same",
                episode=self._episodes[row].key,
                stream=name,
            )
            return np.empty(shape, dtype)
        whole[row, shape[0] :] = 0
        return whole[row, : shape[0]]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Stream -> (B, L, ...), when all rows are filled.

        Raises:
            ShapeError: a stream of another shape or dtype than in the first episode.
        """
        if self._other is not None:
            raise self._other
        return {name: torch.from_numpy(whole) for name, whole in self._whole.items()}
