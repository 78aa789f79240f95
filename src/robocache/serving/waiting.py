"""Requests that wait for the policy: a bounded queue with deadlines that is emptied in batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robocache.core.errors import BusyError


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request that the policy has to answer.

    Attributes:
        client: routing id of the connection it came by.
        endpoint: `get_action` or `reset`.
        observation: as it was sent; empty for `reset`.
        options: as they were sent, with a seed.
        arrived_s: when, on the server's clock.
        deadline_s: when it is no longer worth computing.
    """

    client: bytes
    endpoint: str
    observation: Any
    options: Mapping[str, Any]
    arrived_s: float
    deadline_s: float = field(default=float("inf"))


class WaitingRequests:
    """First come, first served; at most `limit` wait, and one for each client.

    Args:
        limit: how many may wait.
        clock: seconds, never going backwards.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._queue: deque[Waiting] = deque()
        self._under_way: set[bytes] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._wanted = 1

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """Requests that are waiting or being computed."""
        return len(self._under_way)

    def put(self, request: Waiting) -> None:
        """Add a request.

        Raises:
            BusyError: too many wait, or the client already has one under way.
        """
        with self._changed:
            if request.client in self._under_way:
                raise BusyError("this client already has a request under way")
            if len(self._queue) >= self._limit:
                raise BusyError(f"{self._limit} requests are waiting already; ask again later")
            self._under_way.add(request.client)
            self._queue.append(request)
            if len(self._queue) >= self._wanted:
                self._changed.notify()

    def done(self, request: Waiting) -> None:
        """A request was answered; its client may ask again."""
        with self._changed:
            self._under_way.discard(request.client)

    def take(self, most: int, expected: int, linger_s: float) -> list[Waiting]:
        """The next requests to be computed together; waits for the first; none: closed and empty.

        Args:
            most: at most so many; a `reset` always comes alone.
            expected: while fewer wait, wait up to `linger_s` for them.
        """
        with self._changed:
            self._wait_for(1)
            self._wait_for(expected, linger_s)
            batch: list[Waiting] = []
            while self._queue and len(batch) < most:
                alone = self._queue[0].endpoint == "reset"
                if alone and batch:
                    break
                batch.append(self._queue.popleft())
                if alone:
                    break
            return batch

    def _wait_for(self, wanted: int, seconds: float | None = None) -> None:
        """Until so many wait, it is closed, or the time is over; woken up once, not by each."""
        self._wanted = wanted
        self._changed.wait_for(lambda: len(self._queue) >= wanted or self._closed, seconds)

    def expired(self) -> list[Waiting]:
        """Take out the requests whose deadline has passed."""
        with self._changed:
            late = []
            while self._queue and self._queue[0].deadline_s <= self._clock():
                late.append(self._queue.popleft())
            return late

    def next_deadline_s(self) -> float | None:
        """When the first of them expires."""
        with self._changed:
            return self._queue[0].deadline_s if self._queue else None

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
