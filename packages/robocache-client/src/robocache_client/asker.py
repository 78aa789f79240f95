"""Asks the policy in a thread, so that a control loop never waits for the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from robocache_client.client import Actions, PolicyClient
from robocache_client.errors import ClientError


@dataclass(frozen=True)
class Asked:
    """What came of a question.

    Attributes:
        observed_s: when its observation was made.
        actions: name -> (B, horizon, D); None where it failed.
        info: what else the server told.
        error: why it failed.
    """

    observed_s: float
    actions: Actions | None = None
    info: Mapping[str, Any] | None = None
    error: ClientError | None = None


class PolicyAsker:
    """One question under way at a time, in a thread of its own.

    Args:
        connect: makes the client, in that thread.
    """

    def __init__(self, connect: Callable[[], PolicyClient]) -> None:
        self._connect = connect
        self._changed = threading.Condition()
        self._question: tuple[Mapping[str, Any], Mapping[str, Any] | None, float] | None = None
        self._result: Asked | None = None
        self._busy = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="robocache-asker", daemon=True)
        self._thread.start()

    def submit(
        self,
        observation: Mapping[str, Any],
        observed_s: float,
        options: Mapping[str, Any] | None = None,
    ) -> bool:
        """Ask in the background; False: the question before is still under way."""
        with self._changed:
            if self._busy or self._closed:
                return False
            self._question, self._busy = (observation, options, observed_s), True
            self._changed.notify_all()
            return True

    def idle(self) -> bool:
        """Whether a question would be taken."""
        return not self._busy

    def poll(self) -> Asked | None:
        """What came of the question, once."""
        with self._changed:
            result, self._result = self._result, None
            return result

    def wait(self, seconds: float | None = None) -> bool:
        """Until no question is under way; for programs that have time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def close(self) -> None:
        """End the thread; a question under way is given up at its timeout at the latest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        with self._connect() as client:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._question is not None or self._closed)
                    if self._closed:
                        return
                    assert self._question is not None
                    observation, options, observed_s = self._question
                    self._question = None
                result = self._ask(client, observation, options, observed_s)
                with self._changed:
                    self._result, self._busy = result, False
                    self._changed.notify_all()

    def _ask(
        self,
        client: PolicyClient,
        observation: Mapping[str, Any],
        options: Mapping[str, Any] | None,
        observed_s: float,
    ) -> Asked:
        try:
            actions, info = client.get_action(observation, options)
        except ClientError as error:
            return Asked(observed_s, error=error)
        return Asked(observed_s, actions, info)
