"""What a policy must offer to be served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.serving.protocol import ModalityConfig

Actions = Mapping[str, NDArray[np.float32]]
"""Name -> (B, horizon, D) float32; in the flat form names begin with "action."."""
Answer = tuple[Actions, Mapping[str, Any]]
"""Actions, and what else is worth telling."""


class ServedPolicy(Protocol):
    """Observations of the wire protocol in, actions out. Called from one thread at a time.

    An observation is `{"video": {name: uint8 (B, T, H, W, 3)}, "state": {name: float32 (B, T, D)},
    "language": {key: B lists of one text}}`, or flat: `{"video.name": ..., "state.name": ...,
    key: B texts}`. Arrays are read-only. Options hold at least `seed`.
    """

    def modality_config(self) -> Mapping[str, ModalityConfig]:
        """What it reads and gives: "video", "state", "language", "action"."""
        ...

    def example(self) -> Mapping[str, Any]:
        """A valid observation of zeros, B = 1; the server warms up with it."""
        ...

    def get_actions(
        self, observations: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
    ) -> list[Answer]:
        """One answer per observation, in their order.

        An answer depends on its observation and options alone, not on what else is asked; a policy
        that cannot promise this to the bit says so. If one of several is refused the server asks
        for each of them again, alone.

        Raises:
            ObservationError: an observation or option does not fit; the message names the key.
        """
        ...

    def reset(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """A client begins a new episode; what is worth telling about it."""
        ...
