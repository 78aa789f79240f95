"""A server in a thread, a policy whose answers are easy to predict, and sockets to talk to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import zmq

from robocache.core.errors import ObservationError
from robocache.serving import Answer, Limits, ModalityConfig, PolicyServer, ServerConfig
from robocache.serving.protocol import pack, unpack
from robocache.serving.server import Record

PATIENCE_MS = 60_000


class Plus:
    """Reads `x` (B, 1, 2); answers `move` (B, 3, 2), x plus 1, 2 and 3. The gate holds it up."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)

    def modality_config(self) -> dict[str, ModalityConfig]:
        return {
            "state": ModalityConfig([0], ["x"]),
            "language": ModalityConfig([0], ["task"]),
            "action": ModalityConfig([0, 1, 2], ["move"]),
        }

    def example(self) -> dict[str, Any]:
        return seen(0, 0)

    def get_actions(
        self, observations: Sequence[Mapping[str, Any]], options: Sequence[Mapping[str, Any]]
    ) -> list[Answer]:
        self.batches.append(len(observations))
        self.asked.release()
        self.gate.wait()
        return [self._answer(observation) for observation in observations]

    def reset(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"again": options.get("again", 0)}

    def _answer(self, observation: Mapping[str, Any]) -> Answer:
        if observation["language"]["task"] == [["crash"]]:
            raise ZeroDivisionError("a secret of the policy")
        if "x" not in observation["state"]:
            raise ObservationError("state 'x' is missing")
        steps = np.arange(1, 4, dtype=np.float32)[:, None]
        return {"move": observation["state"]["x"] + steps}, {}


def seen(one: float, two: float, task: str = "") -> dict[str, Any]:
    """An observation for `Plus`."""
    return {
        "state": {"x": np.array([[[one, two]]], np.float32)},
        "language": {"task": [[task]]},
    }


@contextmanager
def running(
    policy: Any, *, record: Record | None = None, clock: Any = None, **settings: Any
) -> Iterator[tuple[PolicyServer, str]]:
    """A server on a free port of the loopback interface, and its address; stopped afterwards."""
    more = {} if clock is None else {"clock": clock}
    config = ServerConfig(**{"port": 0, **settings})
    server = PolicyServer(policy, config, record=record, **more)
    addresses: list[str] = []
    listening = threading.Event()

    def told(address: str) -> None:
        addresses.append(address)
        listening.set()

    thread = threading.Thread(target=server.serve, args=(told,))
    thread.start()
    assert listening.wait(60)
    try:
        yield server, addresses[0]
    finally:
        server.stop()
        thread.join()


@contextmanager
def sockets(address: str, count: int, kind: int = zmq.REQ) -> Iterator[list[zmq.Socket[bytes]]]:
    """Connected sockets that wait long, but not for ever."""
    with zmq.Context() as context:
        opened = [context.socket(kind) for _ in range(count)]
        for socket in opened:
            socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(address)
        try:
            yield opened
        finally:
            for socket in opened:
                socket.close()


@contextmanager
def client(address: str) -> Iterator[zmq.Socket[bytes]]:
    with sockets(address, 1) as opened:
        yield opened[0]


def say(socket: zmq.Socket[bytes], endpoint: str, token: str | None = None, **data: Any) -> None:
    request = {"endpoint": endpoint, "data": data}
    socket.send(pack(request if token is None else {**request, "api_token": token}))


def hear(socket: zmq.Socket[bytes]) -> Any:
    return unpack(socket.recv(), Limits())


def ask(socket: zmq.Socket[bytes], endpoint: str, token: str | None = None, **data: Any) -> Any:
    say(socket, endpoint, token, **data)
    return hear(socket)
