"""Episodes with encoded pictures, made on the spot, as a dataset."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rlds_writer import png

from robocache.core import Episode, Provenance, Stream, StreamInput, StreamSpec, Window
from robocache.core.errors import DataError
from robocache.datasets.frames import EncodedFrames
from robocache.datasets.native import reading

WINDOW = Window((StreamInput("state"), StreamInput("camera", (-0.1, 0.0))), "action", 10.0, 3)


class EpisodeList:
    """A `Reader` of episodes in memory."""

    def __init__(self, name: str, episodes: list[Episode]) -> None:
        self.name, self.path = name, Path(name)
        self.fingerprint = name
        self._episodes = {episode.key: episode for episode in episodes}

    def keys(self) -> list[str]:
        return list(self._episodes)

    def __len__(self) -> int:
        return len(self._episodes)

    def __getitem__(self, key: int | str) -> Episode:
        return self._episodes[self.keys()[key] if isinstance(key, int) else key]

    def problems(self) -> Iterator[DataError]:
        return iter(())

    def report(self) -> dict:
        return {}


def located(key: str, error: DataError, number: int) -> DataError:
    return error.located(file=f"{key}.png", episode=key, stream="camera")


def picture_episode(
    key: str,
    steps: int = 6,
    *,
    seed: int = 0,
    names: tuple[str, str, str] = ("state", "camera", "action"),
    damaged: int | None = None,
) -> Episode:
    """State (3), pictures 5 x 4, actions (2) at 10 Hz; picture `damaged` cannot be decoded."""
    random = np.random.default_rng([seed, *key.encode()])
    times = np.arange(steps) / 10
    pictures = [png(random.integers(0, 255, (5, 4, 3), np.uint8)) for _ in range(steps)]
    if damaged is not None:
        pictures[damaged] = pictures[damaged][:-30]
    frame = ((5, 4, 3), np.dtype(np.uint8))
    state, camera, action = names
    numbers = random.normal(size=(steps, 5)).astype(np.float32)
    return Episode(
        key,
        {
            state: Stream(numbers[:, :3], times, StreamSpec((3,), rate_hz=10.0)),
            camera: Stream(
                EncodedFrames(pictures, place=partial(located, key), frame=frame),
                times,
                StreamSpec((5, 4, 3), "uint8", 10.0),
            ),
            action: Stream(numbers[:, 3:], times, StreamSpec((2,), rate_hz=10.0)),
        },
        instruction=f"do {key}",
        provenance=Provenance(source=f"{key}.file"),
    )


def picture_dataset(name: str, lengths: tuple[int, ...], **options) -> EpisodeList:
    return EpisodeList(
        name, [picture_episode(f"{name}-{k}", n, **options) for k, n in enumerate(lengths)]
    )


class EndsItsProcess:
    """A reader of frames in a library that crashes at a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, rows: np.ndarray) -> None:
        with reading(self._path):
            os.kill(os.getpid(), signal.SIGSEGV)
