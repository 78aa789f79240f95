"""Asks a policy server, one question at a time."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from robocache_client.errors import BadAnswer, PolicyRefused, PolicyUnreachable
from robocache_client.wire import pack, unpack

Actions = dict[str, NDArray[np.float32]]


class PolicyClient:
    """A connection to a policy server; for one thread.

    It may be made before the server runs, and goes on working when the server was restarted: after
    a timeout the socket is thrown away, and the next question is asked by a new one.

    Args:
        host: address of the server.
        port: its TCP port.
        api_token: what the server asks for; None: nothing.
        timeout_s: how long to wait for an answer.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 5555,
        *,
        api_token: str | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        self.address = f"tcp://{host}:{port}"
        self.timeout_s = timeout_s
        self._token = api_token
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None

    def get_action(
        self, observation: Mapping[str, Any], options: Mapping[str, Any] | None = None
    ) -> tuple[Actions, dict[str, Any]]:
        """Actions for an observation.

        Args:
            observation: `{"video": {name: uint8 (B, T, H, W, 3)}, "state": {name: float32
                (B, T, D)}, "language": {key: B lists of one text}}`.
            options: e.g. `{"seed": 1}`.

        Returns:
            Name -> float32 (B, horizon, D), and what else the server tells.

        Raises:
            PolicyUnreachable, PolicyRefused, BadAnswer, BadQuestion: as `call`.
        """
        answer = self.call("get_action", {"observation": observation, "options": options})
        if not (isinstance(answer, list) and len(answer) == 2 and isinstance(answer[0], dict)):
            raise BadAnswer(f"expected actions and info, got {type(answer).__name__}")
        return answer[0], answer[1]

    def reset(self, options: Mapping[str, Any] | None = None) -> Any:
        """A new episode begins."""
        return self.call("reset", {"options": options})

    def get_modality_config(self) -> dict[str, dict[str, Any]]:
        """Modality -> what the policy reads or gives of it, e.g. `["state"]["modality_keys"]`."""
        answer: dict[str, dict[str, Any]] = self.call("get_modality_config")
        return answer

    def describe(self) -> dict[str, Any]:
        """Shapes and dtypes of observation and action; not every server has it."""
        answer: dict[str, Any] = self.call("describe")
        return answer

    def metrics(self) -> str:
        """Figures of the server as text; not every server has them."""
        return str(self.call("metrics"))

    def ping(self) -> bool:
        """Whether the server answers."""
        try:
            self.call("ping")
        except PolicyUnreachable:
            return False
        return True

    def kill(self) -> None:
        """Stop the server; it asks for a token."""
        self.call("kill")

    def call(self, endpoint: str, data: Mapping[str, Any] | None = None) -> Any:
        """Ask anything.

        Raises:
            PolicyUnreachable: no answer in time.
            PolicyRefused: the server answered with an error.
            BadAnswer: the answer cannot be read.
            BadQuestion: something in it cannot be sent.
        """
        request: dict[str, Any] = {"endpoint": endpoint}
        if data is not None:
            request["data"] = data
        if self._token is not None:
            request["api_token"] = self._token
        answer = unpack(self._exchange(pack(request)))
        if isinstance(answer, dict) and "error" in answer:
            raise PolicyRefused(str(answer["error"]))
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        self._context.term()

    def __enter__(self) -> PolicyClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _exchange(self, message: bytes) -> bytes:
        if self._socket is None:
            self._socket = self._context.socket(zmq.REQ)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.RCVTIMEO, max(1, round(1000 * self.timeout_s)))
            self._socket.setsockopt(zmq.SNDTIMEO, max(1, round(1000 * self.timeout_s)))
            self._socket.connect(self.address)
        try:
            self._socket.send(message)
            answer: bytes = self._socket.recv()
        except zmq.Again:
            self._drop()
            raise PolicyUnreachable(
                f"{self.address} did not answer within {self.timeout_s:g} s"
            ) from None
        except BaseException:
            self._drop()  # a REQ socket between question and answer can do nothing else
            raise
        return answer

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
