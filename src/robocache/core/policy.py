"""What a policy is, and how training asks for an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from robocache.core.window import ActionChunk, Observation, StreamInput


@runtime_checkable
class Policy(Protocol):
    """Observations in, action chunks out. It keeps no state between calls.

    Attributes:
        inputs: the streams it reads, and at which times.
        execute_steps: how many actions of a chunk are executed before it is asked again.
    """

    inputs: tuple[StreamInput, ...]
    execute_steps: int

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        """One chunk per observation.

        Args:
            observations: any number, of different episodes.
            seeds: one per observation; all randomness of its chunk follows from it, so the result
                does not depend on what else is in the batch.
        """
        ...


class EvaluationCallback(Protocol):
    """Given to a training loop from above: judge the checkpoint at `path`, return named figures."""

    def __call__(self, path: Path, step: int) -> Mapping[str, float]: ...
