"""The socket that clients talk to. Used from one thread, but for `wake`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from robocache.core.errors import ProtocolError, ServingError
from robocache.core.optional import require
from robocache.serving.config import ServerConfig
from robocache.serving.protocol import EXTRA

MOST_AT_ONCE = 16
"""Messages taken in before answers are sent again."""
FLUSH_MS = 1000
"""How long the last answers may take to leave when the socket is closed."""
UNREAD, UNSENT = 4, 256
"""Messages kept for one connection. REQ clients have one; but answers above the second number are
dropped, and libzmq hears only now and then that some have left, so a small one would lose some."""


class Frontend:
    """A ROUTER socket for REQ clients, which wakes up when it is told to.

    Messages above the limit are refused in words; above twice the limit the connection is closed
    before they are read.

    Raises:
        ServingError: the address cannot be listened on.
        MissingDependencyError: pyzmq is not installed.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._zmq: Any = require("zmq", EXTRA)
        self._context = self._zmq.Context()
        self._socket = self._context.socket(self._zmq.ROUTER)
        self._socket.setsockopt(self._zmq.MAXMSGSIZE, 2 * config.limits.message_bytes)
        self._socket.setsockopt(self._zmq.RCVHWM, UNREAD)
        self._socket.setsockopt(self._zmq.SNDHWM, UNSENT)
        address = f"tcp://{config.host}:{config.port or '*'}"
        try:
            self._socket.bind(address)
        except self._zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ServingError(f"cannot listen on {address}: {error}") from error
        self.address: str = self._socket.getsockopt_string(self._zmq.LAST_ENDPOINT)
        self._awake, self._bell = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._bell, False)
        self._poller = self._zmq.Poller()
        self._poller.register(self._socket, self._zmq.POLLIN)
        self._poller.register(self._awake, self._zmq.POLLIN)

    def wait(self, seconds: float) -> None:
        """Until a message comes, `wake` is called, or the time is over."""
        self._poller.poll(max(0, round(1000 * seconds)))
        with suppress(BlockingIOError):
            os.read(self._awake, 4096)

    def wake(self) -> None:
        """Let `wait` return; may be called from any thread and from a signal handler."""
        with suppress(BlockingIOError, OSError):
            os.write(self._bell, b"\0")

    def messages(self) -> Iterator[tuple[bytes, memoryview | ProtocolError]]:
        """Those that have come: routing id of the client, and the message or what is wrong."""
        for _ in range(MOST_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(self._zmq.DONTWAIT, copy=False)
            except self._zmq.Again:
                return
            client = frames[0].bytes
            if len(frames) < 2 or len(frames[1]):
                yield client, ProtocolError("a REQ socket sends an empty frame, then the message")
            elif len(frames) != 3:
                yield client, ProtocolError(f"one frame is expected, got {len(frames) - 2}")
            else:
                yield client, frames[2].buffer

    def send(self, client: bytes, message: bytes) -> None:
        """Answer a client; nothing happens if it is gone or does not read."""
        with suppress(self._zmq.Again):
            self._socket.send_multipart([client, b"", message], self._zmq.DONTWAIT)

    def close(self) -> None:
        """Send what is left, then close."""
        self._context.destroy(linger=FLUSH_MS)
        os.close(self._awake)
        os.close(self._bell)
