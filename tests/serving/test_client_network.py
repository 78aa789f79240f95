"""The client with a real server: timeouts, restarts, and the same actions as without a network."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from running import Plus, running, seen

import robocache_client
import small_flow
from robocache.core import Observation
from robocache.serving import StreamPolicy
from robocache_client import (
    BadAnswer,
    BadQuestion,
    ChunkPlayer,
    ControlLoop,
    PolicyAsker,
    PolicyClient,
    PolicyRefused,
    PolicyUnreachable,
)

SOURCES = Path(robocache_client.__file__).parent


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that reads and never answers."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        yield socket.bind_to_random_port("tcp://127.0.0.1")


def test_every_endpoint() -> None:
    policy = Plus()
    with (
        running(policy, token="sesame") as (_, address),
        PolicyClient(port=port(address), api_token="sesame", timeout_s=60) as client,
    ):
        assert client.ping()
        actions, info = client.get_action(seen(1, 2), {"seed": 5})
        assert actions["move"].tolist() == [[[2, 3], [3, 4], [4, 5]]]
        assert actions["move"].dtype == np.float32 and info == {"seed": 5}
        assert client.reset({"again": 4}) == {"again": 4}
        assert client.get_modality_config()["action"]["delta_indices"] == [0, 1, 2]
        assert client.describe()["action"]["move"]["shape"] == [1, 3, 2]
        assert 'endpoint="get_action"} 1' in client.metrics()
        with PolicyClient(port=port(address), timeout_s=60) as stranger:
            with pytest.raises(PolicyRefused, match="API token") as refused:
                stranger.kill()
            assert refused.value.kind == "UnauthorizedError"
        client.kill()


def test_a_timeout_is_kept_and_the_client_goes_on(silent: int) -> None:
    with PolicyClient(port=silent, timeout_s=0.02) as client:
        for _ in range(3):
            with pytest.raises(PolicyUnreachable, match=r"did not answer within 0\.02 s"):
                client.get_action(seen(1, 2))
        assert not client.ping()


def test_it_survives_a_restart() -> None:
    with PolicyClient(port=1, timeout_s=60) as client:
        with running(Plus()) as (_, address):
            client.address = address
            assert client.get_action(seen(1, 2))[0]["move"][0, 0].tolist() == [2, 3]
        client.timeout_s = 0.02
        client._socket.setsockopt(zmq.RCVTIMEO, 20)  # type: ignore[union-attr]
        with pytest.raises(PolicyUnreachable):
            client.get_action(seen(1, 2))
        client.timeout_s = 60
        with running(Plus(), port=port(address)):
            assert client.get_action(seen(3, 4))[0]["move"][0, 0].tolist() == [4, 5]


def test_what_cannot_be_sent_or_read() -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as server:
        server.setsockopt(zmq.LINGER, 0)
        number = server.bind_to_random_port("tcp://127.0.0.1")
        with PolicyClient(port=number, timeout_s=60) as client:
            with pytest.raises(BadQuestion, match="object cannot be sent"):
                client.get_action({"state": object()})
            for answer in (b"\xc1", b"\x81\xa4text\x01", b"\x92\x01\x02"):

                def reply(message: bytes = answer) -> None:
                    server.recv()
                    server.send(message)

                thread = threading.Thread(target=reply)
                thread.start()
                with pytest.raises(BadAnswer):
                    client.get_action(seen(1, 2))
                thread.join()


class Hand:
    """A robot whose hand is where it was last sent; its clock moves when the loop sleeps."""

    def __init__(self, served: StreamPolicy, asker: PolicyAsker) -> None:
        self.now = 0.0
        self.acted: list[np.ndarray] = []
        self.observations: list[dict[str, Any]] = []
        self._served, self._asker = served, asker

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert self._asker.wait(60)
        self.now += seconds

    def observe(self) -> dict[str, Any]:
        observation = self._served.example()
        at = self.acted[-1][:3] if self.acted else np.zeros(3, np.float32)
        observation["state"]["hand"][0] = at
        observation["language"]["task"] = [["open the drawer"]]
        self.observations.append(observation)
        return observation

    def act(self, action: np.ndarray) -> None:
        self.acted.append(action)


def local(observation: dict[str, Any], specs: Any) -> Observation:
    """The same for the policy itself, at the two times at which it reads its state."""
    values = {
        name: array[0][[1, 2]].reshape(2, *specs[name].shape).astype(specs[name].dtype)
        for name, array in observation["state"].items()
    }
    values["rgb"] = observation["video"]["rgb"][0]
    return Observation(
        values,
        {name: np.ones(len(array), bool) for name, array in values.items()},
        {name: np.zeros(len(array)) for name, array in values.items()},
        observation["language"]["task"][0][0],
        0.0,
    )


def test_a_control_loop_gets_the_actions_that_the_policy_gives_here() -> None:
    policy = small_flow.policy()
    served = StreamPolicy(policy)
    with running(served) as (_, address):
        asker = PolicyAsker(lambda: PolicyClient(port=port(address), timeout_s=60))
        robot = Hand(served, asker)
        loop = ControlLoop(
            robot,
            asker,
            ChunkPlayer(policy.rate_hz),
            rate_hz=policy.rate_hz,
            ask_every_s=policy.execute_steps / policy.rate_hz,
            clock=robot.clock,
            sleep=robot.sleep,
        )
        with loop:
            report = loop.run(ticks=13)
        with PolicyClient(port=port(address), timeout_s=60) as client:
            seeds = [client.get_action(o)[1]["seed"] for o in robot.observations]
    assert len(set(seeds)) == len(seeds) == report.asked == 5
    expected = []
    for number, observation in enumerate(robot.observations[:4]):
        # Answers are here at the next tick, when the second action is due.
        (chunk,) = policy.act([local(observation, policy.specs)], [counted(number)])
        expected += list(chunk.actions[1:4])
    assert np.array(robot.acted).tobytes() == np.array(expected).tobytes()


def counted(number: int) -> int:
    """The seed that a server gives to its request `number`."""
    from robocache.core.seeding import derive_seed

    return derive_seed(0, "served", 0, number)


def test_an_asker_reports_what_failed_and_goes_on(silent: int) -> None:
    clients: list[PolicyClient] = []

    def connect() -> PolicyClient:
        clients.append(PolicyClient(port=silent, timeout_s=0.02))
        return clients[-1]

    asker = PolicyAsker(connect)
    assert asker.submit(seen(1, 2), 0.0) and asker.wait(60)
    assert isinstance(asker.poll().error, PolicyUnreachable)  # type: ignore[union-attr]
    assert asker.poll() is None
    assert asker.submit({"state": object()}, 1.0) and asker.wait(60)
    assert isinstance(asker.poll().error, BadQuestion)  # type: ignore[union-attr]
    with running(Plus()) as (_, address):
        clients[0].address = address
        clients[0].timeout_s = 60
        assert asker.submit(seen(1, 2), 2.0) and asker.wait(60)
        asked = asker.poll()
        assert asked is not None and asked.actions is not None and asked.observed_s == 2.0
    asker.close()
    assert not asker.submit(seen(1, 2), 3.0)


def test_the_package_knows_numpy_zmq_and_msgpack_only_and_is_python_3_9() -> None:
    allowed = {"numpy", "zmq", "msgpack", "robocache_client"}
    standard = {"__future__", "collections", "dataclasses", "io", "threading", "time", "types"}
    for file in SOURCES.glob("*.py"):
        tree = ast.parse(file.read_text(), feature_version=(3, 9))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            assert {name.partition(".")[0] for name in names} <= allowed | standard | {"typing"}, (
                file
            )
