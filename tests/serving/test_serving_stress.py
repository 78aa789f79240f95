"""Clients killed at random for a minute, and garbage: no wrong answer, no leak."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from multiprocessing.context import SpawnContext
from typing import Any

import numpy as np
import psutil
import pytest
import zmq
from running import Plus, running

from robocache.serving import Limits
from robocache_client import PolicyClient

pytestmark = pytest.mark.stress

SECONDS = 60
CLIENTS = 8
LARGE = 20_000
"""Further numbers in a request, so that kills hit the middle of messages."""


def asks(port: int, number: int, told: Any) -> None:
    """Asks for ever, and checks every answer against its question."""
    draws = np.random.default_rng([number, os.getpid()])
    with PolicyClient(port=port, timeout_s=30) as client:
        while True:
            x = draws.normal(size=(1, 1, 2)).astype(np.float32)
            more = draws.normal(size=(1, 1, LARGE)).astype(np.float32)
            observation = {"state": {"x": x, "more": more}, "language": {"task": [["go"]]}}
            actions, _ = client.get_action(observation)
            expected = x + np.arange(1, 4, dtype=np.float32)[:, None]
            if actions["move"].tobytes() != expected.tobytes():
                told.put((number, "wrong answer"))
                return
            told.put((number, "right"))


def misbehaves(port: int, number: int, told: Any) -> None:
    """Sends what no client should, from ever new connections."""
    draws = random.Random(os.getpid())
    with zmq.Context() as context:
        while True:
            socket = context.socket(draws.choice([zmq.REQ, zmq.DEALER, zmq.PUSH]))
            socket.setsockopt(zmq.LINGER, 50)
            socket.setsockopt(zmq.SNDTIMEO, 1000)
            socket.connect(f"tcp://127.0.0.1:{port}")
            for _ in range(draws.randrange(1, 4)):
                try:
                    socket.send(draws.randbytes(draws.choice([0, 1, 30, 3000, 300_000, 3_000_000])))
                except zmq.ZMQError:
                    break
            socket.close()
            told.put((number, "garbage"))


@pytest.mark.filterwarnings("default::ResourceWarning")
def test_a_minute_of_killed_clients_and_garbage() -> None:
    context = multiprocessing.get_context("spawn")
    draws = random.Random(0)
    with running(Plus(), limits=Limits(message_bytes=500_000)) as (server, address):
        port = int(address.rpartition(":")[2])
        came = run_clients(context, draws, port, server)
        assert came["wrong answer"] == 0
        assert came["right"] > 1000 and came["garbage"] > 50 and came["killed"] >= 20
        assert server._waiting.under_way == 0 and len(server._waiting) == 0
        assert not server._computed
    assert came["threads"] == 0


def connections(port: int) -> int:
    """How many the server holds."""
    return sum(
        c.laddr.port == port and c.status == "ESTABLISHED"
        for c in psutil.Process().net_connections()
    )


def run_clients(
    context: SpawnContext, draws: random.Random, port: int, server: Any
) -> dict[str, int]:
    """What came of it; memory is measured after a third and at the end."""
    told = context.SimpleQueue()
    came = dict.fromkeys(["right", "wrong answer", "garbage", "killed"], 0)
    stopped = threading.Event()
    lock = threading.Lock()

    def listen() -> None:
        while (message := told.get()) is not None:
            with lock:
                came[message[1]] += 1

    listener = threading.Thread(target=listen)
    listener.start()
    targets = [asks] * (CLIENTS - 1) + [misbehaves]

    def begin(number: int) -> Any:
        process = context.Process(target=targets[number], args=(port, number, told))
        process.start()
        return process

    threads = threading.active_count()
    processes = [begin(number) for number in range(CLIENTS)]
    memory = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < SECONDS:
        stopped.wait(draws.uniform(0.5, 2.0))
        number = draws.randrange(CLIENTS)
        # `told` is shared: its lock must not be held by a process that is killed.
        with told._wlock:
            os.kill(processes[number].pid, signal.SIGKILL)
            processes[number].join()
        came["killed"] += 1
        processes[number] = begin(number)
        memory.append((passed, psutil.Process().memory_info().rss))
    for process in processes:
        with told._wlock:
            process.kill()
            process.join()
        process.close()
    came["threads"] = threading.active_count() - threads
    told.put(None)
    listener.join()
    with PolicyClient(port=port, timeout_s=60) as client:
        while server._waiting.under_way or connections(port) > 1:
            assert client.ping()
    third = [rss for passed, rss in memory if SECONDS / 3 < passed < SECONDS / 2]
    last = [rss for passed, rss in memory if passed > SECONDS * 5 / 6]
    grown = np.median(last) - np.median(third)
    came["grown"] = int(grown)
    print(came)  # noqa: T201
    assert grown < 10_000_000, f"{grown / 1e6:.1f} MB more after {SECONDS} s"
    return came
