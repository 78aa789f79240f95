"""The thread that asks the policy, for several clients at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robocache.core.errors import PolicyError, RoboCacheError
from robocache.serving.served import ServedPolicy
from robocache.serving.waiting import Waiting, WaitingRequests

log = logging.getLogger(__name__)
LINGER_SHARE = 0.1
Result = tuple[Mapping[str, Any], Mapping[str, Any]] | Mapping[str, Any] | Exception
"""What a request is answered with: actions and info, the info of a reset, or why not."""


@dataclass(frozen=True)
class Computed:
    """A batch and its results, with when it was begun and finished on the server's clock."""

    requests: Sequence[Waiting]
    results: Sequence[Result]
    began_s: float
    ended_s: float


class Worker(threading.Thread):
    """Takes what waits, asks the policy, hands over the results; ends when the queue is closed.

    Args:
        policy: what is served.
        waiting: where requests come from.
        finished: called with every batch, in this thread.
        max_batch: requests in one call of the policy.
        linger_s: how long to wait for the clients that were just answered to ask again, so that
            they are answered together once more; or a tenth of the last computation, if longer.
        clock: seconds, never going backwards.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        waiting: WaitingRequests,
        finished: Callable[[Computed], None],
        *,
        max_batch: int,
        linger_s: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(name="robocache-policy", daemon=True)
        self._policy, self._waiting, self._finished = policy, waiting, finished
        self._max_batch, self._linger_s, self._clock = max_batch, linger_s, clock

    def run(self) -> None:
        active, spent_s = 1, 0.0
        while batch := self._waiting.take(
            self._max_batch,
            min(active, self._max_batch),
            max(self._linger_s, LINGER_SHARE * spent_s),
        ):
            began = self._clock()
            results = self._answer(batch)
            computed = Computed(batch, results, began, self._clock())
            active, spent_s = len(batch) + len(self._waiting), computed.ended_s - began
            self._finished(computed)

    def _answer(self, batch: Sequence[Waiting]) -> Sequence[Result]:
        try:
            if batch[0].endpoint == "reset":
                return [self._policy.reset(batch[0].options)]
            answers = self._policy.get_actions(
                [request.observation for request in batch], [request.options for request in batch]
            )
            if len(answers) != len(batch):
                raise PolicyError(f"{len(answers)} answers to {len(batch)} requests")
            return answers
        except Exception as error:  # noqa: BLE001  One request must not end the server.
            if len(batch) > 1:
                return [result for request in batch for result in self._answer([request])]
            return [told(error)]


def told(error: Exception) -> RoboCacheError:
    """What a client may know of an error; of one that was not foreseen only its kind."""
    if isinstance(error, RoboCacheError):
        return error
    log.error("the policy failed", exc_info=error)
    return PolicyError(f"the policy failed ({type(error).__name__}); the server's log says where")
