"""GR00T N1.6 behind its own protocol: views, state groups and action groups by their names.

Letters: B rows, T times, H horizon, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError, ObservationError, unknown_name
from robocache.serving.observations import Expected, Reads, Seen, read_observation
from robocache.serving.protocol import ModalityConfig
from robocache.serving.served import Answer
from robocache.serving.stream_policy import seeds_of_rows

Sample = dict[str, Any]
"""video: view -> (T, H, W, 3) uint8; state: group -> (T, D); language: text."""


class GroupedPolicy(Protocol):
    """What is asked of a `GrootPolicy`."""

    acting_as: str
    rate_hz: float
    execute_steps: int

    def modalities(self) -> Mapping[str, Mapping[str, Any]]:
        """Of the embodiment that it acts as, as in processor_config.json."""
        ...

    def state_widths(self) -> Mapping[str, int]:
        """State group -> D."""
        ...

    def act_as(self, embodiment: str) -> None: ...

    def predict(
        self, samples: Sequence[Any], seeds: Sequence[int]
    ) -> Sequence[Mapping[str, NDArray[np.float32]]]:
        """Of each sample: action group -> (H, D)."""
        ...


class ServedGroot:
    """One embodiment of a GR00T policy; see `ServedPolicy`.

    Options: `seed`, an integer, or one for each row.

    Args:
        policy: in evaluation mode.
        embodiment: which it acts as; empty: its first.

    Raises:
        ConfigError: there is no such embodiment.
    """

    def __init__(self, policy: GroupedPolicy, embodiment: str = "") -> None:
        policy.act_as(embodiment or policy.acting_as)
        self._policy = policy
        self._modalities = {n: ModalityConfig(**one) for n, one in policy.modalities().items()}
        video, state = self._modalities["video"], self._modalities["state"]
        (self._language,) = self._modalities["language"].modality_keys
        self._reads = Reads(
            video={
                view: Expected((len(video.delta_indices), None, None, 3), ("uint8",))
                for view in video.modality_keys
            },
            state={
                key: Expected((len(state.delta_indices), width), ("float32", "float64"))
                for key, width in policy.state_widths().items()
            },
            language=(self._language,),
            reader=f"embodiment {policy.acting_as}",
        )

    def modality_config(self) -> dict[str, ModalityConfig]:
        return self._modalities

    def example(self) -> dict[str, Any]:
        return {**self._reads.example(), "language": {self._language: [["do nothing"]]}}

    def reset(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def get_actions(
        self, observations: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
    ) -> list[Answer]:
        """See `ServedPolicy`.

        Raises:
            ObservationError: an observation or option does not fit.
        """
        seen = [read_observation(observation, self._reads) for observation in observations]
        for given in options:
            for name in given:
                if name != "seed":
                    raise ObservationError(str(unknown_name("option", str(name), ["seed"])))
        samples = [sample for one in seen for sample in self._samples(one)]
        seeds = [
            seed
            for one, given in zip(seen, options, strict=True)
            for seed in seeds_of_rows(given.get("seed", 0), one.rows)
        ]
        try:
            found = iter(self._policy.predict(samples, seeds))
        except DataError as error:
            raise ObservationError(str(error)) from None
        return [self._answer(one, [next(found) for _ in range(one.rows)]) for one in seen]

    def _samples(self, seen: Seen) -> list[Sample]:
        return [
            {
                "video": {view: frames[row] for view, frames in seen.video.items()},
                "state": {key: values[row] for key, values in seen.state.items()},
                "language": seen.language[self._language][row],
            }
            for row in range(seen.rows)
        ]

    def _answer(self, seen: Seen, rows: Sequence[Mapping[str, Any]]) -> Answer:
        prefix = "action." if seen.flat else ""
        info = {
            "rate_hz": self._policy.rate_hz,
            "execute_steps": self._policy.execute_steps,
            "embodiment": self._policy.acting_as,
        }
        return {f"{prefix}{key}": np.stack([row[key] for row in rows]) for key in rows[0]}, info
