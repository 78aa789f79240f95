"""States and actions as the network wants them, and actions back.

Numbers are read as float32; relative actions are float64 until the network's vector is made.
Letters: T state steps, H horizon, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import (
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
)
from robocache.core.statistics import StreamStatistics
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    EmbodimentConfig,
    Representation,
)
from robocache.policies.groot_n16.processing.relative import from_relative, to_relative
from robocache.policies.groot_n16.processing.scaling import Scaling
from robocache.policies.groot_n16.processing.statistics import EmbodimentStatistics

Groups = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ScalingOptions:
    """Settings of the processor that concern numbers; defaults are those of the public code.

    Attributes:
        use_percentiles: 1 % and 99 % quantiles instead of minimum and maximum.
        clip_outliers: what lies outside of -1..1 is cut.
        apply_sincos_state_encoding: honour `sin_cos_embedding_keys`.
        use_relative_action: honour RELATIVE and DELTA.
    """

    use_percentiles: bool = False
    clip_outliers: bool = True
    apply_sincos_state_encoding: bool = False
    use_relative_action: bool = False


def as_array(values: object, tag: str, stream: str) -> NDArray[Any]:
    """An array of what came, e.g. of a list.

    Raises:
        ShapeError: rows of different lengths; names the embodiment and the stream.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"embodiment {tag}: {error}", stream=stream) from None


class StateActionProcessor:
    """States and actions of one embodiment.

    Args:
        config: its modalities.
        statistics: what it is normalised with.
        options: settings of the processor.
        compat: what is done as in the public code.

    Raises:
        MissingStreamError: statistics of a group are missing.
        ShapeError: relative statistics are not of the action's horizon.
    """

    def __init__(
        self,
        config: EmbodimentConfig,
        statistics: EmbodimentStatistics,
        options: ScalingOptions,
        compat: Compat,
    ) -> None:
        self.config, self.options, self.compat = config, options, compat
        sin_cos = config.state.sin_cos_embedding_keys or ()
        self.sin_cos_keys = frozenset(sin_cos if options.apply_sincos_state_encoding else ())
        self._states = {
            key: self._state_scaling(key, self._found(statistics.state, "state", key))
            for key in config.state.modality_keys
            if key not in self.sin_cos_keys
        }
        self._actions = {
            key: self._action_scaling(key, statistics) for key in config.action.modality_keys
        }

    @property
    def action_widths(self) -> dict[str, int]:
        """Dimensions of each action group, in the order of the network's vector."""
        return {key: scaling.width for key, scaling in self._actions.items()}

    def is_relative(self, key: str) -> bool:
        """Whether an action group is made relative to a state here."""
        if not self.options.use_relative_action or not self.config.is_relative(key):
            return False
        delta = self.config.action.action_config(key).rep is Representation.DELTA
        return not (delta and self.compat.delta_as_absolute)

    def encode_states(self, states: Groups) -> dict[str, NDArray[np.float32]]:
        """Group -> (T, D) numbers of the network, float32; sine and cosine have 2 D.

        Raises:
            MissingStreamError, ShapeError, NonFiniteError: name the group and embodiment.
        """
        encoded = {}
        for key in self.config.state.modality_keys:
            values = self._state(states, key)
            if key in self.sin_cos_keys:
                encoded[key] = np.concatenate([np.sin(values), np.cos(values)], axis=-1)
            else:
                encoded[key] = self._states[key].apply(values)
        return encoded

    def encode_actions(self, actions: Groups, states: Groups) -> dict[str, NDArray[Any]]:
        """Group -> (H, D) numbers of the network, float32, relative groups float64.

        Args:
            actions: group -> (H, D) absolute actions.
            states: group -> (T, D); relative actions refer to the last one.

        Raises:
            MissingStreamError, ShapeError, NonFiniteError, DataError: name group and embodiment.
        """
        encoded = {}
        for key, scaling in self._actions.items():
            shape = (self.config.horizon, scaling.width)
            values = self._numbers(actions, "action", key, shape)
            if self.is_relative(key):
                values = self._related(to_relative, key, values, self._reference(states, key))
            encoded[key] = scaling.apply(values)
        return encoded

    def decode_actions(
        self, encoded: Groups, states: Sequence[Groups] | None
    ) -> dict[str, NDArray[np.float64]]:
        """Group -> (B, H, D) absolute actions from the network's numbers.

        Args:
            encoded: group -> (B, H, D).
            states: of each of the B samples: group -> (T, D); needed for relative groups.

        Raises:
            MissingStreamError, ShapeError, NonFiniteError, DataError: name group and embodiment.
        """
        decoded = {}
        for key, scaling in self._actions.items():
            shape = (None, self.config.horizon, scaling.width)
            single = np.asarray(encoded.get(key)).dtype == np.float32
            dtype = np.float32 if single else np.float64
            values = self._numbers(encoded, "action", key, shape, dtype)
            decoded[key] = scaling.undo(values)
            if self.is_relative(key):
                if states is None:
                    name = self.config.reference_key(key)
                    raise MissingStreamError(
                        f"embodiment {self.config.tag}: action.{key} is relative to it",
                        stream=f"state.{name}",
                    )
                references = np.stack([self._reference(groups, key) for groups in states])
                decoded[key] = self._related(from_relative, key, decoded[key], references)
        return decoded

    def _related(
        self,
        how: Callable[[NDArray[Any], NDArray[Any], ActionConfig], NDArray[np.float64]],
        key: str,
        values: NDArray[Any],
        reference: NDArray[Any],
    ) -> NDArray[np.float64]:
        with self._located(f"action.{key}"):
            return how(values, reference, self.config.action.action_config(key))

    def _reference(self, states: Groups, key: str) -> NDArray[Any]:
        last: NDArray[Any] = self._state(states, self.config.reference_key(key))[-1]
        return last

    def _state(self, states: Groups, key: str) -> NDArray[Any]:
        steps = len(self.config.state.delta_indices)
        width = self._states[key].width if key in self._states else None
        return self._numbers(states, "state", key, (steps, width))

    def _numbers(
        self,
        groups: Groups,
        kind: str,
        key: str,
        shape: tuple[int | None, ...],
        dtype: type = np.float32,
    ) -> NDArray[Any]:
        """The values of a group, checked; None in `shape` is any size."""
        if key not in groups:
            have = ", ".join(sorted(map(str, groups))) or "none"
            raise MissingStreamError(
                f"embodiment {self.config.tag} needs it; there are: {have}", stream=f"{kind}.{key}"
            )
        values = as_array(groups[key], self.config.tag, f"{kind}.{key}")
        fits = values.ndim == len(shape)
        if not fits or any(w not in (None, n) for n, w in zip(values.shape, shape)):
            expected = ", ".join("any" if size is None else str(size) for size in shape)
            raise ShapeError(
                f"embodiment {self.config.tag}: expected shape ({expected}), got {values.shape}",
                stream=f"{kind}.{key}",
            )
        if values.dtype.kind not in "fiub":
            raise ShapeError(
                f"embodiment {self.config.tag}: expected numbers, got {values.dtype}",
                stream=f"{kind}.{key}",
            )
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"embodiment {self.config.tag}: holds NaN or infinity", stream=f"{kind}.{key}"
            )
        return values.astype(dtype)

    def _state_scaling(self, key: str, group: StreamStatistics) -> Scaling:
        if key in (self.config.state.mean_std_embedding_keys or ()):
            return Scaling("z", group.mean, group.std, clip=False, clip_back=False)
        low, high = self._range(group, self.options.use_percentiles)
        clip = self.options.clip_outliers
        return Scaling("range", low, high, clip=clip, clip_back=clip)

    def _action_scaling(self, key: str, statistics: EmbodimentStatistics) -> Scaling:
        relative = self.is_relative(key)
        if relative:
            group = self._found(statistics.relative_action, "relative_action", key)
            if group.mean.shape[:-1] != (self.config.horizon,):
                raise ShapeError(
                    f"embodiment {self.config.tag}: statistics of shape {group.mean.shape} for "
                    f"{self.config.horizon} steps",
                    stream=f"relative_action.{key}",
                )
        else:
            group = self._found(statistics.action, "action", key)
        if key in (self.config.action.mean_std_embedding_keys or ()):
            clip = self.options.clip_outliers and self.compat.clip_z_scores
            return Scaling("z", group.mean, group.std, clip=clip, clip_back=False)
        percentiles = self.options.use_percentiles
        if relative and self.compat.relative_by_range:
            percentiles = False
        low, high = self._range(group, percentiles)
        clip = self.options.clip_outliers
        back = clip or self.compat.always_clip_decoded
        return Scaling("range", low, high, clip=clip, clip_back=back)

    def _range(
        self, group: StreamStatistics, percentiles: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (group.q01, group.q99) if percentiles else (group.minimum, group.maximum)

    def _found(
        self, groups: Mapping[str, StreamStatistics], kind: str, key: str
    ) -> StreamStatistics:
        if key not in groups:
            have = ", ".join(sorted(groups)) or "none"
            raise MissingStreamError(
                f"embodiment {self.config.tag} has no statistics of it (there are: {have}); "
                "compute them from the dataset (statistics=dataset or merge)",
                stream=f"{kind}.{key}",
            )
        group = groups[key]
        if kind != "relative_action" and group.mean.ndim != 1:
            raise ShapeError(
                f"embodiment {self.config.tag}: statistics of shape {group.mean.shape}, expected "
                "one number for each dimension",
                stream=f"{kind}.{key}",
            )
        return group

    @contextmanager
    def _located(self, stream: str) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            problem = f"embodiment {self.config.tag}: {error.problem}"
            raise type(error)(problem, stream=stream) from None
