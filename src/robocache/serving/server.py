"""A policy behind a socket. One thread talks to clients, another asks the policy."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import (
    BusyError,
    ObservationError,
    ProtocolError,
    ServingError,
    UnauthorizedError,
    unknown_name,
)
from robocache.core.seeding import derive_seed
from robocache.serving.config import ServerConfig
from robocache.serving.frontend import Frontend
from robocache.serving.metrics import Metrics
from robocache.serving.protocol import Request, error_reply, pack, read_request
from robocache.serving.served import ServedPolicy
from robocache.serving.waiting import Waiting, WaitingRequests
from robocache.serving.worker import Computed, Result, Worker, told

ENDPOINTS = ("get_action", "reset", "get_modality_config", "describe", "ping", "metrics", "kill")
LOOK_UP_S = 1.0
"""How often the server looks up although nothing happens."""


class Record(Protocol):
    """Where answered requests are kept; must not block."""

    def answered(
        self,
        client: bytes,
        observation: Any,
        actions: Mapping[str, NDArray[np.float32]],
        latency_s: float,
    ) -> None: ...

    def began(self, client: bytes) -> None:
        """The client begins a new episode."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Figures for the metrics."""
        ...


class PolicyServer:
    """Serves a policy until it is stopped; see `protocol` for what clients say.

    Args:
        policy: what is served.
        config: settings.
        record: is shown every answered request.
        clock: seconds, never going backwards.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        config: ServerConfig,
        *,
        record: Record | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self._policy, self._record, self._clock = policy, record, clock
        self._waiting = WaitingRequests(config.queue, clock)
        self._computed: deque[Computed] = deque()
        self._stopping = threading.Event()
        self._front: Frontend | None = None
        self._asked = 0
        self._modalities: Mapping[str, Any] = {}
        self.description: Mapping[str, Any] = {}

    def serve(self, listening: Callable[[str], None] = lambda address: None) -> None:
        """Warm the policy up, listen, and answer until `stop` or `kill`.

        What is under way then is still answered.

        Args:
            listening: told the address once clients can connect.

        Raises:
            ServingError: the address cannot be listened on.
        """
        self._warm_up()
        front = self._front = Frontend(self.config)
        worker = Worker(
            self._policy,
            self._waiting,
            self._finished,
            max_batch=self.config.max_batch,
            linger_s=self.config.linger_s,
            clock=self._clock,
        )
        try:
            worker.start()
            listening(front.address)
            while not (self._stopping.is_set() and self._waiting.under_way == 0):
                front.wait(self._quiet_s())
                if self._stopping.is_set():
                    self._waiting.close()
                while self._computed:
                    self._send_computed(front, self._computed.popleft())
                for late in self._waiting.expired():
                    waited = f"waited {self.config.timeout_s:g} s for the policy, not computed"
                    self._send_result(front, late, BusyError(waited))
                for client, message in front.messages():
                    self._receive(front, client, message)
                if not worker.is_alive() and not self._computed and self._waiting.under_way:
                    raise ServingError("the thread of the policy has ended")
        finally:
            self._waiting.close()
            worker.join(LOOK_UP_S)
            front.close()

    def stop(self) -> None:
        """Answer what is under way, then end; may be called from any thread or signal handler."""
        self._stopping.set()
        if self._front is not None:
            self._front.wake()

    def metrics_text(self) -> str:
        """Counters, latencies and what is under way, in the text format of Prometheus."""
        gauges = {"queue_depth": len(self._waiting), "requests_under_way": self._waiting.under_way}
        recorded = {} if self._record is None else self._record.gauges()
        return self.metrics.text({**gauges, **recorded})

    def _warm_up(self) -> None:
        """Ask once alone and once in the largest batch, and learn what comes back."""
        self._modalities = self._policy.modality_config()
        example = self._policy.example()
        for count in sorted({1, self.config.max_batch}):
            answers = self._policy.get_actions([example] * count, [{"seed": 0}] * count)
        actions, info = answers[0]
        self.description = {
            "observation": _shapes(example),
            "action": _shapes(actions),
            "info": info,
            "endpoints": list(ENDPOINTS),
            "timeout_s": self.config.timeout_s,
            "message_bytes": self.config.limits.message_bytes,
        }

    def _quiet_s(self) -> float:
        deadline = self._waiting.next_deadline_s()
        return LOOK_UP_S if deadline is None else min(LOOK_UP_S, deadline - self._clock())

    def _receive(self, front: Frontend, client: bytes, message: memoryview | ProtocolError) -> None:
        arrived = self._clock()
        try:
            if isinstance(message, ProtocolError):
                raise message
            request = read_request(message, self.config.limits)
            known = request.endpoint in ENDPOINTS
            self.metrics.request(request.endpoint if known else "unknown")
            self._authorize(request)
            if request.endpoint in ("get_action", "reset"):
                if self._stopping.is_set():
                    raise BusyError("the server is shutting down")
                self._waiting.put(self._to_wait(client, request, arrived))
                return
            reply = self._reply(request)
        except Exception as error:  # noqa: BLE001  One message must not end the server.
            front.send(client, self._packed(told(error)))
        else:
            front.send(client, self._packed(reply))

    def _authorize(self, request: Request) -> None:
        token = self.config.token
        if token is None:
            if request.endpoint == "kill":
                raise UnauthorizedError("kill needs a server that was started with a token")
        elif not hmac.compare_digest((request.token or "").encode(), token.encode()):
            raise UnauthorizedError("the API token is missing or wrong")

    def _to_wait(self, client: bytes, request: Request, arrived_s: float) -> Waiting:
        options = request.data.get("options")
        if not isinstance(options, dict | None):
            raise ObservationError(f"options are a map, got {type(options).__name__}")
        options = dict(options or {})
        if request.endpoint == "get_action":
            if "observation" not in request.data:
                raise ProtocolError("get_action needs data with an observation")
            if options.get("seed") is None:
                options["seed"] = derive_seed(self.config.seed, "served", 0, self._asked)
            self._asked += 1
        return Waiting(
            client,
            request.endpoint,
            request.data.get("observation"),
            options,
            arrived_s,
            arrived_s + self.config.timeout_s,
        )

    def _reply(self, request: Request) -> Any:
        match request.endpoint:
            case "ping":
                return {"status": "ok", "message": "Server is running"}
            case "get_modality_config":
                return self._modalities
            case "describe":
                return self.description
            case "metrics":
                return self.metrics_text()
            case "kill":
                self.stop()
                return {"status": "ok", "message": "Server is stopping"}
        raise ProtocolError(str(unknown_name("endpoint", request.endpoint, ENDPOINTS)))

    def _finished(self, computed: Computed) -> None:
        """In the worker's thread: hand a batch over to the thread that talks to clients."""
        self._computed.append(computed)
        if self._front is not None:
            self._front.wake()

    def _send_computed(self, front: Frontend, computed: Computed) -> None:
        if computed.requests[0].endpoint == "get_action":
            self.metrics.batch(len(computed.requests))
        for request, result in zip(computed.requests, computed.results, strict=True):
            self.metrics.latency("queue", computed.began_s - request.arrived_s)
            self.metrics.latency("compute", computed.ended_s - computed.began_s)
            self._send_result(front, request, result)

    def _send_result(self, front: Frontend, request: Waiting, result: Result) -> None:
        self._waiting.done(request)
        reply: Any = result
        if isinstance(result, tuple):
            reply = [result[0], {"seed": request.options["seed"], **result[1]}]
        front.send(request.client, self._packed(reply))
        latency_s = self._clock() - request.arrived_s
        self.metrics.latency("total", latency_s)
        if self._record is None or isinstance(result, Exception):
            return
        if isinstance(result, tuple):
            self._record.answered(request.client, request.observation, result[0], latency_s)
        else:
            self._record.began(request.client)

    def _packed(self, reply: Any) -> bytes:
        if isinstance(reply, Exception):
            self.metrics.error(type(reply).__name__)
            return pack(error_reply(reply))
        try:
            return pack(reply)
        except ProtocolError as error:
            return self._packed(told(error))


def _shapes(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Names -> dtype and shape, of arrays within maps; lists become the shape of texts."""
    found: dict[str, Any] = {}
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            found[name] = _shapes(value)
        elif isinstance(value, np.ndarray):
            found[name] = {"dtype": value.dtype.name, "shape": list(value.shape)}
        else:
            found[name] = {"dtype": "text", "shape": list(np.shape(value))}
    return found
