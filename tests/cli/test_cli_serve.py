"""`robocache serve`: a trained policy over the wire; what it keeps, and what it hides."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import robocache

import processes
from robocache.cli.main import _without_token
from robocache.core import Observation
from robocache.datasets import open_dataset
from robocache.policies import load_policy
from robocache.runs import RunStore
from robocache.serving import PolicyServer
from robocache_client import PolicyClient, PolicyRefused


@pytest.fixture
def home(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(road, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


@contextmanager
def serving(
    home: Path, *arguments: str, ends_by: int, **variables: str
) -> Iterator[dict[str, Any]]:
    """`robocache serve --json` in a process of its own; the event that it listens."""
    process = processes.start(
        ["serve", *arguments, "--port=0", "--json"], home, variables=variables
    )
    try:
        yield heard(process, home, "listening")
    finally:
        os.kill(process.pid or 0, ends_by)
        process.join()
    assert process.exitcode == 0, processes.output(home).read_text()


def heard(process: Any, home: Path, event: str) -> dict[str, Any]:
    """The first event of a kind; waits for it while the process runs."""
    while True:
        alive = process.is_alive()
        file = processes.output(home)
        for line in file.read_text().splitlines() if file.exists() else ():
            if line.startswith("{") and line.endswith("}"):
                told: dict[str, Any] = json.loads(line)
                if told["event"] == event:
                    return told
        assert alive, file.read_text()
        process.join(0.02)


def observed(point: tuple[float, float]) -> dict[str, Any]:
    state = {"point": np.array([[point]], np.float32), "goal": np.array([[[0.5, 0.5]]], np.float32)}
    return {"state": state, "language": {"task": [["move the point to the goal"]]}}


def test_a_trained_policy_answers_as_it_does_here(home: Path, tmp_path: Path) -> None:
    record = tmp_path / "served"
    points = [(0.0, 0.1), (-0.5, 0.3), (0.9, -0.9)]
    with serving(
        home, "long", f"--record={record}", "--metrics-port=0", ends_by=signal.SIGTERM
    ) as told:
        number = int(told["address"].rpartition(":")[2])
        assert told["observation"]["state"]["point"] == {"dtype": "float32", "shape": [1, 1, 2]}
        with PolicyClient(port=number, timeout_s=60) as client:
            answers = [client.get_action(observed(p), {"seed": n}) for n, p in enumerate(points)]
            with pytest.raises(PolicyRefused, match="kill needs"):
                client.kill()
    policy = load_policy(RunStore().find_checkpoint("long"))
    for number, (point, (actions, info)) in enumerate(zip(points, answers, strict=True)):
        state = {name: array[0] for name, array in observed(point)["state"].items()}
        here = Observation(
            state,
            {name: np.ones(1, bool) for name in state},
            {name: np.zeros(1) for name in state},
            "move the point to the goal",
            0.0,
        )
        (chunk,) = policy.act([here], [number])
        np.testing.assert_array_equal(actions["expert_action"][0], chunk.actions)
        assert info["seed"] == number and info["execute_steps"] == 1
    result = json.loads(processes.output(home).read_text().splitlines()[-1])
    assert result["verb"] == "serve" and result["requests"] == {"get_action": 3, "kill": 1}
    (episode,) = open_dataset(record)
    np.testing.assert_allclose(episode.stream("point").values, points, atol=1e-7)
    assert episode.provenance.actor == result["policy"]
    assert episode.stream("expert_action.chunk").values.shape == (3, 2, 2)


def test_a_token_from_the_environment_is_asked_for_and_never_shown(home: Path) -> None:
    with serving(home, "long@400", ends_by=signal.SIGINT, ROBOCACHE_TOKEN="sesame-4711") as told:
        number = int(told["address"].rpartition(":")[2])
        with (
            PolicyClient(port=number, timeout_s=60) as stranger,
            pytest.raises(PolicyRefused, match="API token"),
        ):
            stranger.ping()
        with PolicyClient(port=number, api_token="sesame-4711", timeout_s=60) as client:
            assert client.ping()
    assert "sesame" not in processes.output(home).read_text()


def test_kill_with_a_token_ends_it(home: Path) -> None:
    process = processes.start(["serve", "long", "--port=0", "--json", "--token=sesame"], home)
    number = int(heard(process, home, "listening")["address"].rpartition(":")[2])
    with PolicyClient(port=number, api_token="sesame", timeout_s=60) as client:
        client.kill()
    process.join()
    assert process.exitcode == 0
    assert "sesame" not in processes.output(home).read_text()


def test_mistakes_are_explained(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = robocache("serve", "lang")
    assert said.code == 3 and "did you mean 'long'" in said.err
    said = robocache("serve", "long", "--host=0.0.0.0")
    assert said.code == 3 and "set ROBOCACHE_TOKEN" in said.err
    said = robocache("serve", "examples.point_policy:Steer")
    assert said.code == 3 and "it has no specs, action, rate_hz" in said.err
    said = robocache("serve", "long", "--host=203.0.113.7", "--token=sesame", "--port=1")
    assert said.code == 3 and "cannot listen on tcp://203.0.113.7:1" in said.err
    assert "sesame" not in said.err + said.out


def test_people_are_told_what_to_send(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PolicyServer.serve

    def serve_and_stop(self: PolicyServer, listening: Any) -> None:
        def told(address: str) -> None:
            listening(address)
            self.stop()

        original(self, told)

    monkeypatch.setattr(PolicyServer, "serve", serve_and_stop)
    said = robocache("serve", "long", "--port=0")
    assert said.code == 0, said.err
    assert "at tcp://127.0.0.1:" in said.out
    assert "state point: float32 (B, 1, 2)" in said.out
    assert "language task: text (B, 1)" in said.out
    assert "-> expert_action: float32 (B, 2, 2)" in said.out


@pytest.mark.parametrize("given", [["--token", "sesame"], ["--token=sesame"], ["--token=ses\name"]])
def test_the_command_to_go_on_does_not_show_the_token(given: list[str]) -> None:
    shown = _without_token(["serve", *given, "--port", "1"])
    assert "ses" not in " ".join(shown).replace("serve", "") and shown[-2:] == ["--port", "1"]


def test_serving_loads_nothing_for_training() -> None:
    code = "import sys, robocache.serving; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "zmq", "msgpack", "pyarrow"} & set(done.stdout.split())
