"""The server: batches, limits, deadlines, tokens, the end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from running import Plus, ask, client, hear, running, say, seen, sockets

import small_flow
from robocache.core.errors import ConfigError, ServingError
from robocache.serving import Limits, PolicyServer, ServerConfig, StreamPolicy
from robocache.serving.metrics_page import page
from robocache.serving.protocol import pack
from robocache.serving.signals import stopping


@contextmanager
def held_up(policy: Plus, first: zmq.Socket[bytes]) -> Iterator[None]:
    """While the policy is busy with a request of `first`."""
    policy.gate.clear()
    policy.asked = threading.Semaphore(0)
    say(first, "get_action", observation=seen(0, 0))
    assert policy.asked.acquire(timeout=60)
    try:
        yield
    finally:
        policy.gate.set()


def until_waiting(server: PolicyServer, count: int, other: zmq.Socket[bytes]) -> None:
    """Until so many requests wait; asks for something else meanwhile, which is answered at once."""
    while len(server._waiting) < count:
        assert ask(other, "ping")["status"] == "ok"


def test_what_waits_is_answered_together() -> None:
    policy = Plus()
    with running(policy, max_batch=4) as (server, address), sockets(address, 7) as opened:
        other, first, *clients = opened
        with held_up(policy, first):
            for number, socket in enumerate(clients):
                say(socket, "get_action", observation=seen(number, -number))
            until_waiting(server, 5, other)
        hear(first)
        for number, socket in enumerate(clients):
            assert hear(socket)[0]["move"][0, 0].tolist() == [number + 1, 1 - number]
    assert policy.batches == [1, 4, 1, 4, 1]  # the first two are for warming up


def test_a_batch_answers_as_one_alone_does() -> None:
    policy = StreamPolicy(small_flow.policy())
    random = np.random.default_rng(0)
    questions = []
    for number in range(12):
        observation = policy.example()
        for state in observation["state"].values():
            state[:] = random.normal(size=state.shape)
        observation["video"]["rgb"][:] = random.integers(0, 256, (1, 1, 16, 20, 3))
        observation["language"]["task"] = [[small_flow.WORDS[number % 4]]]
        questions.append((observation, {"seed": number}))
    alone = [policy.get_actions([o], [s])[0][0]["action"] for o, s in questions]
    with running(policy, max_batch=5) as (_, address), sockets(address, 12) as opened:
        for socket, (observation, options) in zip(opened, questions, strict=True):
            say(socket, "get_action", observation=observation, options=options)
        for socket, expected in zip(opened, alone, strict=True):
            actions, _ = hear(socket)
            assert actions["action"].tobytes() == expected.tobytes()


def test_one_bad_request_in_a_batch_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    policy = Plus()
    with running(policy) as (server, address), sockets(address, 6) as opened:
        other, first, good, crashing, wrong, better = opened
        with held_up(policy, first):
            say(good, "get_action", observation=seen(1, 2))
            say(crashing, "get_action", observation=seen(0, 0, "crash"))
            say(wrong, "get_action", observation={**seen(0, 0), "state": {}})
            say(better, "get_action", observation=seen(3, 4))
            until_waiting(server, 4, other)
        with caplog.at_level(logging.ERROR):
            assert hear(good)[0]["move"][0, 0].tolist() == [2, 3]
            failed = hear(crashing)["error"]
            assert hear(wrong) == {"error": "ObservationError: state 'x' is missing"}
            assert hear(better)[0]["move"][0, 0].tolist() == [4, 5]
    assert failed.startswith("PolicyError: the policy failed (ZeroDivisionError)")
    assert "secret" not in failed and "Traceback" not in failed
    assert "a secret of the policy" in caplog.text


def test_a_full_queue_answers_at_once() -> None:
    policy = Plus()
    with running(policy, queue=2) as (server, address), sockets(address, 5) as opened:
        other, first, one, two, late = opened
        with held_up(policy, first):
            say(one, "get_action", observation=seen(1, 1))
            say(two, "get_action", observation=seen(2, 2))
            until_waiting(server, 2, other)
            refused = ask(late, "get_action", observation=seen(3, 3))
        assert refused == {"error": "BusyError: 2 requests are waiting already; ask again later"}
        assert hear(one)[0]["move"][0, 0].tolist() == [2, 2]
        assert hear(two)[0]["move"][0, 0].tolist() == [3, 3]
        assert ask(late, "get_action", observation=seen(3, 3))[0]["move"][0, 0].tolist() == [4, 4]


def test_a_client_has_one_request_under_way() -> None:
    policy = Plus()
    with (
        running(policy) as (server, address),
        sockets(address, 2) as (other, first),
        sockets(address, 1, zmq.DEALER) as (flood,),
    ):
        message = pack({"data": {"observation": seen(1, 1)}})
        with held_up(policy, first):
            flood.send_multipart([b"", message])
            until_waiting(server, 1, other)
            for _ in range(600):
                flood.send_multipart([b"", message])
                assert b"already has a request" in flood.recv_multipart()[1]
            assert len(server._waiting) == 1


def test_a_request_that_waited_too_long_is_not_computed() -> None:
    policy, now = Plus(), [0.0]
    with (
        running(policy, timeout_s=5.0, clock=lambda: now[0]) as (server, address),
        sockets(address, 3) as (other, first, late),
    ):
        asked = len(policy.batches)
        with held_up(policy, first):
            say(late, "get_action", observation=seen(1, 1))
            until_waiting(server, 1, other)
            now[0] = 5.1
            ask(other, "ping")
            refused = hear(late)
        assert refused == {"error": "BusyError: waited 5 s for the policy, not computed"}
        assert hear(first)[0]["move"].shape == (1, 3, 2)  # was begun in time
        assert len(policy.batches) == asked + 1


def test_tokens() -> None:
    with running(Plus(), token="sesame") as (server, address), client(address) as socket:
        for token in (None, "", "sesam", "sesame ", "öffne dich"):
            said = ask(socket, "ping", token)
            assert said == {"error": "UnauthorizedError: the API token is missing or wrong"}
            assert "error" in ask(socket, "kill", token)
        assert ask(socket, "ping", "sesame")["status"] == "ok"
        assert "sesame" not in repr(server.config)
        assert ask(socket, "kill", "sesame")["status"] == "ok"


def test_kill_needs_a_server_with_a_token() -> None:
    with running(Plus()) as (_, address), client(address) as socket:
        assert ask(socket, "kill")["error"].startswith("UnauthorizedError: kill needs a server")
        assert ask(socket, "ping")["status"] == "ok"


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.168.0.7", "::"])
def test_other_interfaces_need_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="can be reached by others"):
        ServerConfig(host=host)
    assert ServerConfig(host=host, token="sesame").host == host


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"token": ""}, "token is empty"),
        ({"queue": 0}, "queue must be above 0"),
        ({"port": -1}, "port must"),
    ],
)
def test_settings_are_checked(setting: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ServerConfig(**setting)  # type: ignore[arg-type]


def test_a_port_in_use_is_an_error_in_words() -> None:
    with running(Plus()) as (_, address):
        port = int(address.rpartition(":")[2])
        with pytest.raises(ServingError, match=f"cannot listen on tcp://127.0.0.1:{port}"):
            PolicyServer(Plus(), ServerConfig(port=port)).serve()


def test_what_is_under_way_is_answered_before_the_end() -> None:
    before = set(threading.enumerate())
    policy = Plus()
    with running(policy) as (server, address), sockets(address, 4) as (other, first, waiting, new):
        with held_up(policy, first):
            say(waiting, "get_action", observation=seen(1, 1))
            until_waiting(server, 1, other)
            server.stop()
            refused = ask(new, "get_action", observation=seen(2, 2))
        assert refused == {"error": "BusyError: the server is shutting down"}
        assert hear(first)[0]["move"].shape == (1, 3, 2)
        assert hear(waiting)[0]["move"][0, 0].tolist() == [2, 2]
    assert set(threading.enumerate()) == before


def test_a_signal_stops_the_server_and_the_next_does_what_it_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped: list[int] = []
    with stopping(lambda: stopped.append(1)):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopped == [1]
        assert signal.getsignal(signal.SIGTERM) is before
    with stopping(lambda: stopped.append(2)):
        os.kill(os.getpid(), signal.SIGINT)
    assert stopped == [1, 2]
    assert signal.getsignal(signal.SIGTERM) is before


def test_metrics() -> None:
    policy = Plus()
    with running(policy) as (server, address), client(address) as socket:
        for _ in range(3):
            ask(socket, "get_action", observation=seen(0, 0))
        ask(socket, "get_action", observation=seen(0, 0, "crash"))
        ask(socket, 'evil"}\n')
        text = ask(socket, "metrics")
        assert page("/metrics", server.metrics_text)[0] == 200
        assert page("/", server.metrics_text)[0] == 404
    lines = text.splitlines()
    assert 'robocache_requests_total{endpoint="get_action"} 4' in lines
    assert 'robocache_requests_total{endpoint="unknown"} 1' in lines
    assert 'robocache_errors_total{kind="PolicyError"} 1' in lines
    assert 'robocache_batches_total{size="1"} 4' in lines
    assert "robocache_total_seconds_count 4" in lines
    assert "robocache_queue_depth 0" in lines
    assert "evil" not in text
    quantiles = [line for line in lines if "quantile" in line]
    assert len(quantiles) == 6 and all(float(line.split()[1]) >= 0 for line in quantiles)


def test_reset_comes_between_actions_in_the_order_of_arrival() -> None:
    policy = Plus()
    with running(policy) as (server, address), sockets(address, 5) as opened:
        other, first, one, again, two = opened
        with held_up(policy, first):
            for count, (socket, endpoint) in enumerate(
                [(one, "get_action"), (again, "reset"), (two, "get_action")]
            ):
                data = {"observation": seen(1, 1)} if endpoint == "get_action" else {}
                say(socket, endpoint, **data, options={})
                until_waiting(server, count + 1, other)
        assert hear(again) == {"again": 0}
        assert hear(one)[0]["move"].shape == hear(two)[0]["move"].shape
    assert policy.batches[2:] == [1, 1, 1]


def test_it_describes_what_it_reads() -> None:
    with running(Plus(), limits=Limits(message_bytes=4096)) as (_, address), client(address) as one:
        told = ask(one, "describe")
    assert told["observation"]["state"]["x"] == {"dtype": "float32", "shape": [1, 1, 2]}
    assert told["observation"]["language"]["task"] == {"dtype": "text", "shape": [1, 1]}
    assert told["action"]["move"] == {"dtype": "float32", "shape": [1, 3, 2]}
    assert told["message_bytes"] == 4096
