"""What the pipelines share: epochs of aligned windows on one clock, resumed exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.core.stream import AlignmentPolicy
from robocache.core.window import StreamInput, Window
from robocache.datasets.loader import Loader
from robocache.datasets.origin import Origin
from robocache.datasets.windows import Batch, WindowTable

Made = TypeVar("Made")


class Epochs(ABC, Generic[Made]):
    """The windows of a dataset in batches, each made into what a pipeline hands out.

    Each `for` goes through one epoch, whose order follows from (seed, number of the epoch) alone.
    Its last, smaller batch is left out unless there are fewer windows than one batch. After
    `load_state_dict` the next `for` ends the epoch that was under way.

    Args:
        episodes: read once; pictures stay on disk.
        window: what a sample sees and predicts.
        batch_size: windows per batch.
        seed: root seed of the order.
        shuffle: False: in the order of the episodes.
        workers: processes that read pictures ahead; 0: they are read here.

    Raises:
        DataError, ConfigError: as `WindowTable` and `Loader` do.
    """

    def __init__(
        self,
        episodes: Iterable[Episode],
        window: Window,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        workers: int,
    ) -> None:
        self.table = WindowTable(episodes, window)
        self._loader = Loader(self.table, batch_size, seed, workers=workers, shuffle=shuffle)

    @abstractmethod
    def made(self, batch: Batch, origins: list[Origin]) -> Made:
        """What is handed out for these windows, which come from these places."""

    @property
    def batch_size(self) -> int:
        """Windows per batch."""
        return self._loader.batch_size

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Made]:
        position = int(self.state_dict()["position"])
        left = (len(self.table) - position) // self.batch_size
        for _ in range(left or len(self)):
            batch = next(self._loader)
            yield self.made(batch, self._loader.provenance(batch.index))

    def state_dict(self) -> dict[str, Any]:
        """Where the epochs stand, as JSON, with what they must be loaded into."""
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ConfigError: the state belongs to other samples, or another seed, order or batch size.
        """
        self._loader.load_state_dict(state)

    def close(self) -> None:
        """End the worker processes; they end with this one, too."""
        self._loader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def one_clock(
    streams: Sequence[str], action: str, rate_hz: float, steps: int, horizon: int
) -> Window:
    """`steps` samples of each stream up to now and `horizon` actions from now on, where streams
    and actions have the same clock.

    Raises:
        ConfigError: a number below 1.
    """
    if steps < 1 or horizon < 1:
        raise ConfigError(f"observation_steps and horizon must be at least 1: {steps}, {horizon}")
    offsets = tuple(-step / rate_hz for step in reversed(range(steps)))
    near = AlignmentPolicy("nearest", max_gap_s=0.5 / rate_hz)  # absorbs rounding of k / rate
    inputs = tuple(StreamInput(name, offsets, near) for name in streams)
    return Window(inputs, action, rate_hz, horizon)
