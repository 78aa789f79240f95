"""Any `core.Policy` that declares its streams, served: pictures are video, the rest is state.

Letters: B batch, T times, H horizon, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, ObservationError, PolicyError, unknown_name
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed
from robocache.core.stream import StreamSpec
from robocache.core.window import ActionChunk, Observation, StreamInput
from robocache.serving.observations import Expected, Reads, Seen, read_observation
from robocache.serving.protocol import ModalityConfig
from robocache.serving.served import Answer

LANGUAGE = "task"
OPTIONS = ("seed", "valid", "age_s")
Resize = Callable[[NDArray[Any], tuple[int, int]], NDArray[Any]]


class DeclaredPolicy(Policy, Protocol):
    """A policy that says what its streams hold.

    Attributes:
        specs: stream name -> declaration as it is read, of its inputs and of `action`.
        action: name of the action stream.
        rate_hz: rate of the action clock.
    """

    specs: Mapping[str, StreamSpec]
    action: str
    rate_hz: float


class StreamPolicy:
    """A policy behind the wire protocol; see `ServedPolicy`.

    All streams of a modality are sent at the same times, which are all the offsets that any of them
    is read at; `get_modality_config` has them in steps of the action clock, `info` in seconds.

    Options: `seed`, an integer, or one for each row; `valid` and `age_s`, name -> (B, T), where
    samples are missing (send zeros for them) or older than their time.

    Args:
        policy: what is served.
        resize: brings frames (N, H, W, 3) to a size, for inputs that ask for one; None: pictures
            must come at that size.

    Raises:
        ConfigError: the policy does not declare its streams.
    """

    def __init__(self, policy: Policy, *, resize: Resize | None = None) -> None:
        self._policy = _declared(policy)
        self._resize = resize
        kinds = {view.stream: _modality(self._policy.specs[view.stream]) for view in policy.inputs}
        self._inputs: dict[str, StreamInput] = {view.stream: view for view in policy.inputs}
        self._kinds = kinds
        self._offsets = {
            kind: sorted({s for v in policy.inputs if kinds[v.stream] == kind for s in v.offsets_s})
            for kind in ("video", "state")
        }
        self._reads = Reads(
            video={name: self._expected(name) for name in kinds if kinds[name] == "video"},
            state={name: self._expected(name) for name in kinds if kinds[name] == "state"},
            language=(LANGUAGE,),
            reader=f"the policy {getattr(policy, 'kind', type(policy).__name__)}",
        )
        answered, _ = self.get_actions([self.example()], [{"seed": 0}])[0]
        self._horizon = answered[self._policy.action].shape[1]

    def modality_config(self) -> dict[str, ModalityConfig]:
        reads = {"video": self._reads.video, "state": self._reads.state}
        rate = self._policy.rate_hz
        return {
            **{
                kind: ModalityConfig([round(s * rate) for s in self._offsets[kind]], [*names])
                for kind, names in reads.items()
                if names
            },
            "language": ModalityConfig([0], [LANGUAGE]),
            "action": ModalityConfig(list(range(self._horizon)), [self._policy.action]),
        }

    def example(self) -> dict[str, Any]:
        return self._reads.example()

    def reset(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def get_actions(
        self, observations: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
    ) -> list[Answer]:
        """See `ServedPolicy`; answers are as exact as those of the policy in any batch.

        Raises:
            ObservationError: an observation or option does not fit.
            PolicyError: the policy returned something other than finite (H, A) chunks.
        """
        seen = [read_observation(observation, self._reads) for observation in observations]
        rows = [
            row
            for one, given in zip(seen, options, strict=True)
            for row in self._rows(one, _known(given))
        ]
        seeds = [
            seed
            for one, given in zip(seen, options, strict=True)
            for seed in seeds_of_rows(given.get("seed", 0), one.rows)
        ]
        chunks = iter(self._checked(self._policy.act(rows, seeds), len(rows)))
        return [
            self._answer(one.flat, np.stack([next(chunks) for _ in range(one.rows)]))
            for one in seen
        ]

    def _rows(self, seen: Seen, options: Mapping[str, Any]) -> list[Observation]:
        valid = {name: self._given(options, "valid", name, seen.rows, bool) for name in self._kinds}
        age = {name: self._given(options, "age_s", name, seen.rows, float) for name in self._kinds}
        values = {name: self._values(seen, name) for name in self._kinds}
        return [
            Observation(
                values={name: array[row] for name, array in values.items()},
                valid={name: array[row] for name, array in valid.items()},
                age_s={name: array[row] for name, array in age.items()},
                instruction=seen.language[LANGUAGE][row],
                now_s=0.0,
            )
            for row in range(seen.rows)
        ]

    def _values(self, seen: Seen, name: str) -> NDArray[Any]:
        """(B, O, ...) samples of a stream at its own offsets, as its specification has them."""
        spec, view = self._policy.specs[name], self._inputs[name]
        if self._kinds[name] == "state":
            sent = seen.state[name][:, self._at(name)]
            return sent.reshape(*sent.shape[:2], *spec.shape).astype(spec.dtype, copy=False)
        frames = seen.video[name][:, self._at(name)]
        if view.size is None or self._resize is None:
            return frames
        flat = self._resize(frames.reshape(-1, *frames.shape[2:]), view.size)
        return flat.reshape(*frames.shape[:2], *flat.shape[1:])

    def _given(
        self, options: Mapping[str, Any], option: str, name: str, rows: int, dtype: type
    ) -> NDArray[Any]:
        """(B, O) of an option for one stream; where nothing is given all is valid and new."""
        found = options.get(option) or {}
        if not isinstance(found, Mapping):
            raise ObservationError(f"option {option}: expected a map of names")
        at = self._at(name)
        if name not in found:
            return np.full((rows, len(at)), dtype is bool, dtype)
        shape = (rows, len(self._offsets[self._kinds[name]]))
        try:
            array: NDArray[Any] = np.asarray(found[name]).astype(dtype)
        except (ValueError, TypeError):
            array = np.zeros(0)
        if array.shape != shape:
            raise ObservationError(f"option {option} of {name!r}: expected numbers {shape}")
        return array[:, at]

    def _at(self, name: str) -> list[int]:
        """Where the offsets of a stream are among those of its modality."""
        offsets = self._offsets[self._kinds[name]]
        return [offsets.index(offset) for offset in self._inputs[name].offsets_s]

    def _expected(self, name: str) -> Expected:
        spec, view = self._policy.specs[name], self._inputs[name]
        times = len(self._offsets[self._kinds[name]])
        if self._kinds[name] == "state":
            kinds = ("float32",) if spec.dtype == "float32" else ("float32", spec.dtype)
            return Expected((times, int(np.prod(spec.shape))), kinds)
        free = view.size is not None and self._resize is not None
        return Expected((times, None, None, 3) if free else (times, *spec.shape), ("uint8",))

    def _checked(self, chunks: list[ActionChunk], count: int) -> list[NDArray[np.float32]]:
        if len(chunks) != count:
            raise PolicyError(f"the policy returned {len(chunks)} chunks for {count} observations")
        for chunk in chunks:
            if np.ndim(chunk.actions) != 2 or not np.isfinite(chunk.actions).all():
                raise PolicyError(
                    f"a chunk must be (H, A) finite numbers, got {np.shape(chunk.actions)}"
                )
        return [np.asarray(chunk.actions, np.float32) for chunk in chunks]

    def _answer(self, flat: bool, actions_BHA: NDArray[np.float32]) -> Answer:
        name = self._policy.action
        info = {
            "rate_hz": self._policy.rate_hz,
            "execute_steps": self._policy.execute_steps,
            "offsets_s": self._offsets,
        }
        return {f"action.{name}" if flat else name: actions_BHA}, info


def _declared(policy: Policy) -> DeclaredPolicy:
    needed = ("specs", "action", "rate_hz")
    missing = [name for name in needed if not hasattr(policy, name)]
    if missing:
        raise ConfigError(
            f"{type(policy).__name__} cannot be served: it has no {', '.join(missing)}; a served "
            f"policy says what its streams hold (specs: stream name -> StreamSpec, action: name "
            f"of the action stream, rate_hz: rate of its actions)"
        )
    return policy  # type: ignore[return-value]


def _modality(spec: StreamSpec) -> str:
    picture = spec.dtype == "uint8" and len(spec.shape) == 3 and spec.shape[2] == 3
    return "video" if picture else "state"


def _known(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in options:
        if name not in OPTIONS:
            raise ObservationError(str(unknown_name("option", str(name), OPTIONS)))
    return options


def seeds_of_rows(seed: Any, rows: int) -> list[int]:
    """One seed per row: as given, or derived from the one that was given."""
    given = seed if isinstance(seed, list) else [seed]
    if not all(isinstance(one, int) for one in given) or len(given) not in (1, rows):
        raise ObservationError(f"option seed: expected an integer, or {rows} of them, got {seed!r}")
    if len(given) == rows:
        return given
    return [seed if row == 0 else derive_seed(seed, "row", row) for row in range(rows)]
