"""GR00T N1.6 behind its own protocol: views, state groups and action groups by their names.

Letters: B rows, T times, H horizon, D dimensions of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robocache.core.errors import DataError, ObservationError, unknown_name
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.serving.observations import Expected, Reads, Seen, read_observation
from robocache.serving.protocol import ModalityConfig
from robocache.serving.served import Answer
from robocache.serving.stream_policy import seeds_of_rows


class ServedGroot:
    """One embodiment of a GR00T policy; see `ServedPolicy`.

    Options: `seed`, an integer, or one for each row.

    Args:
        policy: in evaluation mode.
        embodiment: which it acts as; empty: its first.

    Raises:
        ConfigError: there is no such embodiment.
    """

    def __init__(self, policy: GrootPolicy, embodiment: str = "") -> None:
        policy.acting_as = embodiment or policy.acting_as
        self._policy, self._robot = policy, policy.robot
        self._config = policy.processor.embodiments[policy.acting_as]
        times = {n: len(getattr(self._config, n).delta_indices) for n in ("video", "state")}
        self._language = self._config.language_key
        self._reads = Reads(
            video={
                view: Expected((times["video"], None, None, 3), ("uint8",))
                for view in self._robot.settings.video
            },
            state={
                key: Expected((times["state"], width), ("float32", "float64"))
                for key, width in self._robot.state_widths(policy.specs).items()
            },
            language=(self._language,),
            reader=f"embodiment {policy.acting_as}",
        )

    def modality_config(self) -> dict[str, ModalityConfig]:
        plain = self._config.to_json()
        return {name: ModalityConfig(**plain[name]) for name in plain}

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
