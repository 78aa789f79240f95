"""A robot's streams as the views and groups of one embodiment, and actions back.

Letters: T steps, H horizon, A width of the action stream, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, MissingStreamError
from robocache.core.stream import StreamSpec
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.settings import EmbodimentSettings, StateGroup

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Robot:
    """One embodiment of a policy.

    Attributes:
        tag: its name.
        settings: what its streams are to the network.
        width: A, numbers in an action of its stream.
    """

    tag: str
    settings: EmbodimentSettings
    width: int

    @property
    def predicted(self) -> int:
        """How many numbers of an action the groups have."""
        return sum(
            self.width if part.columns is None else part.columns[1] - part.columns[0]
            for part in self.settings.action.values()
        )

    def action_names(self) -> tuple[str, ...]:
        """A names such as left_arm[0], by group; "" of a column that no group has."""
        names = [""] * self.width
        for key, part in self.settings.action.items():
            for number, column in enumerate(range(self.width)[_slice(part.columns)]):
                names[column] = f"{key}[{number}]"
        return tuple(names)

    def state_widths(self, specs: Mapping[str, StreamSpec]) -> dict[str, int]:
        """State group -> D."""
        widths = {}
        for key, group in self.settings.state.items():
            if group.zeros:
                widths[key] = group.zeros
            elif group.columns is None:
                widths[key] = int(np.prod(specs[group.stream].shape))
            else:
                widths[key] = group.columns[1] - group.columns[0]
        return widths

    def check(self, specs: Mapping[str, StreamSpec]) -> None:
        """Raise ConfigError where views and groups do not fit the streams.

        Args:
            specs: the streams that the policy reads.
        """
        for view, stream in self.settings.video.items():
            spec = self._spec(specs, stream, f"video.{view}")
            if spec.dtype != "uint8" or len(spec.shape) != 3 or spec.shape[2] != 3:
                raise self._error(
                    f"video.{view}", f"{stream} is {spec.dtype} {spec.shape}, not uint8 (H, W, 3)"
                )
        for key, group in self._from_streams().items():
            spec = self._spec(specs, group.stream, f"state.{key}")
            self._require_columns(f"state.{key}", group.columns, int(np.prod(spec.shape)))
        taken = np.zeros(self.width, bool)
        for key, part in self.settings.action.items():
            self._require_columns(f"action.{key}", part.columns, self.width)
            columns = _slice(part.columns)
            if taken[columns].any():
                raise self._error(f"action.{key}", "shares columns with another group")
            taken[columns] = True

    def states(self, values: Arrays) -> dict[str, NDArray[Any]]:
        """Group -> (T, D), of stream -> (T, ...).

        Raises:
            MissingStreamError: a stream is not there.
        """
        found = {}
        for key, group in self._from_streams().items():
            stream = self._stream(values, group.stream)
            found[key] = stream.reshape(len(stream), -1)[:, _slice(group.columns)]
        steps = len(next(iter(found.values()), ()))
        return {
            key: np.zeros((steps, group.zeros), np.float32) if group.zeros else found[key]
            for key, group in self.settings.state.items()
        }

    def _from_streams(self) -> dict[str, StateGroup]:
        return {key: group for key, group in self.settings.state.items() if group.stream}

    def columns(self, actions_NA: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Action group -> (N, D)."""
        return {k: actions_NA[:, _slice(part.columns)] for k, part in self.settings.action.items()}

    def chunk(self, actions_HA: NDArray[Any], valid_H: NDArray[np.bool_]) -> dict[str, Any]:
        """`action` and `action_valid` of a sample: as many steps as this robot has.

        Steps that are not valid repeat the last one that is, since poses cannot be zero.
        """
        steps = self.settings.horizon
        last = np.maximum.accumulate(np.where(valid_H, np.arange(len(valid_H)), 0))
        return {
            "action": self.columns(actions_HA[last][:steps]),
            "action_valid": valid_H[:steps],
        }

    def sample(self, values: Arrays, instruction: str) -> Sample:
        """What the processor reads, of stream -> (T, ...).

        Raises:
            MissingStreamError: a stream is not there.
        """
        return {
            "video": {
                view: self._stream(values, stream) for view, stream in self.settings.video.items()
            },
            "state": self.states(values),
            "language": instruction,
        }

    def stream_of(self, groups: Arrays, rest_A: NDArray[Any]) -> NDArray[np.float32]:
        """(H, A) float32 actions of the stream, of group -> (H, D).

        Args:
            rest_A: for columns that no group has.
        """
        steps = len(next(iter(groups.values())))
        whole = np.tile(np.asarray(rest_A, np.float32), (steps, 1))
        for key, group in self.settings.action.items():
            whole[:, _slice(group.columns)] = groups[key]
        return whole

    def _stream(self, values: Arrays, name: str) -> NDArray[Any]:
        if name not in values:
            have = ", ".join(sorted(values))
            raise MissingStreamError(f"not observed (streams: {have})", stream=name)
        return values[name]

    def _spec(self, specs: Mapping[str, StreamSpec], stream: str, place: str) -> StreamSpec:
        if stream not in specs:
            have = ", ".join(specs)
            raise self._error(place, f"{stream} is none of the policy's inputs ({have})")
        return specs[stream]

    def _require_columns(self, place: str, columns: tuple[int, int] | None, width: int) -> None:
        if columns is not None and not 0 <= columns[0] < columns[1] <= width:
            raise self._error(place, f"columns {list(columns)} of a stream of {width}")

    def _error(self, place: str, problem: str) -> ConfigError:
        return ConfigError(f"embodiment {self.tag}, {place}: {problem}")


def _slice(columns: tuple[int, int] | None) -> slice:
    return slice(None) if columns is None else slice(*columns)
