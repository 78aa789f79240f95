"""GR00T from the command line: trained, killed, continued, reproduced, judged and served."""

from __future__ import annotations

import functools
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import robocache
from test_cli_serve import heard

import arm_recordings
import processes
from robocache.core import Observation
from robocache.datasets import WindowTable, open_dataset, write_shard
from robocache.policies import load_policy
from robocache.policies.groot_n16.tiny import write_tiny
from robocache.runs import RunStore, list_checkpoints
from robocache_client import ChunkPlayer, ControlLoop, PolicyClient
from robocache_client.asker import Asked

STATE = ("policy.safetensors", "training/optimizer.safetensors", "training/state.json")


def command(place: Path, *more: str) -> tuple[str, ...]:
    """Training of the tiny model on the arm; `place` holds base and recordings."""
    return (
        "train",
        f"dataset={place / 'arm'}",
        "policy=groot",
        f"policy.network.base={place / 'base'}",
        "policy.inputs=[{stream: camera}, {stream: state}]",
        "policy.rate_hz=10",
        "policy.network.dtype=float32",
        "policy.network.tune_top_llm_layers=1",
        "policy.network.execute_steps=3",
        "policy.network.embodiments={arm: {horizon: 6, projector: 10, video: {front: camera}, "
        "state: {joints: {stream: state, columns: [0, 3]}, hand: {stream: state, columns: [3, 4]}},"
        " action: {joints: {columns: [0, 3], rep: RELATIVE}, hand: {columns: [3, 4]}}}}",
        "hold_out=[arm-5]",
        "trainer.steps=6",
        "trainer.batch_size=4",
        "trainer.checkpoint_every=2",
        "trainer.log_every=1",
        "trainer.warmup_steps=2",
        "trainer.ema_decay=0",
        "trainer.threads=1",
        "--name=arm",
        *more,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("groot")
    write_tiny(folder / "base", state_size=8, action_size=8)
    arm_recordings.write(folder / "arm")
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A home with a trained run."""
    home = place / "home"
    ended = processes.run(command(place), home)
    assert ended.code == 0, ended.output
    assert "NVIDIA" in ended.output, "the licence is told"
    assert "statistics of arm: dataset: state.hand" in ended.output
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(trained, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def test_episodes_without_words_are_refused_or_left_out(
    place: Path, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "arm", tmp_path / "arm")
    silent = replace(arm_recordings.episode(6), instruction=" ")
    write_shard(tmp_path / "arm" / "b.episodes.parquet", [silent])
    short = (f"dataset={tmp_path / 'arm'}", "trainer.steps=1", "--name=words")
    said = robocache(*command(place, *short))
    assert said.code == 3, said
    assert "1 of 6 episodes have no instruction (arm-6)" in said.err
    assert "add require_instruction=true to leave them out" in said.err
    said = robocache(*command(place, *short, "require_instruction=true"))
    assert said.code == 0, said.err
    assert "left out, without instruction: 1 of 6 episodes" in said.out
    assert "5 of 7 episodes of arm" in said.out


def content(home: Path) -> dict[str, bytes]:
    last = list_checkpoints(home / "runs" / "arm")[6]
    return {name: (last / name).read_bytes() for name in STATE}


def at_step(number: int) -> None:
    from robocache.learning import imitation

    schedule = imitation.cosine_with_warmup

    def wounded(step: int, **settings: float) -> float:
        if step == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return schedule(step, **settings)  # type: ignore[arg-type]

    imitation.cosine_with_warmup = wounded  # type: ignore[assignment]


def test_killed_and_continued_to_the_bit(place: Path, trained: Path, tmp_path: Path) -> None:
    """Augmentation, dropout and noise too; frozen weights are not in the checkpoints."""
    home = tmp_path / "other"
    ended = processes.run(command(place), home, before=functools.partial(at_step, 5))
    assert ended.code == -signal.SIGKILL
    assert list(list_checkpoints(home / "runs" / "arm")) == [2, 4]
    assert processes.run(command(place), home).code == 0
    assert content(home) == content(trained)
    assert (home / "runs/arm/trace.bin").read_bytes() == (
        trained / "runs/arm/trace.bin"
    ).read_bytes()
    base = (place / "base" / "model.safetensors").stat().st_size
    assert len(content(home)["policy.safetensors"]) < base


def test_reproduced(home: Path) -> None:
    said = robocache("reproduce", "arm")
    assert said.code == 0, said.out + said.err
    assert "identical" in said.out


def test_judged_on_a_recording_that_was_held_out(home: Path, place: Path) -> None:
    asked = ("eval", "arm", "--open-loop", f"dataset={place / 'arm'}", "samples=1", "stride=4")
    said = robocache(*asked, "episodes=[arm-5]")
    assert said.code == 0, said.err
    assert "joints[0]" in said.out and "hand[0]" in said.out
    assert "a chunk of 6 every 6" in said.out
    refused = robocache(*asked, "episodes=[arm-0]")
    assert refused.code == 3 and "arm-0" in refused.err


def test_a_base_that_is_another_one_now(home: Path, place: Path, tmp_path: Path) -> None:
    kept = place / "kept"
    (place / "base").rename(kept)
    try:
        said = robocache("eval", "arm", "--open-loop", f"dataset={place / 'arm'}")
        assert said.code == 3 and "neither a checkpoint folder nor a repository" in said.err
        write_tiny(place / "base", state_size=8, action_size=8, seed=1)
        said = robocache("eval", "arm", "--open-loop", f"dataset={place / 'arm'}")
        assert said.code == 3 and "is not the base that the policy was trained from" in said.err
    finally:
        shutil.rmtree(place / "base", ignore_errors=True)
        kept.rename(place / "base")


class Recorded:
    """A robot that sees what was recorded and remembers what it is told to do."""

    def __init__(self, seen: Sequence[Observation]) -> None:
        self.seen, self.tick, self.done = seen, 0, []

    def observe(self) -> dict[str, Any]:
        view = self.seen[self.tick]
        return asked(view.values, view.instruction)

    def act(self, action: np.ndarray) -> None:
        self.done.append(action)


class AtOnce:
    """Asks with the seeds 0, 1, ...; the answer is there at the next tick."""

    def __init__(self, client: PolicyClient) -> None:
        self.client, self.count, self.answer = client, 0, None

    def submit(self, observation: Mapping[str, Any], observed_s: float) -> bool:
        actions, info = self.client.get_action(observation, {"seed": self.count})
        assert info["embodiment"] == "arm"
        self.answer = Asked(observed_s, actions)
        self.count += 1
        return True

    def idle(self) -> bool:
        return True

    def poll(self) -> Asked | None:
        answer, self.answer = self.answer, None
        return answer

    def close(self) -> None:
        self.client.close()


def test_a_control_loop_gets_what_the_policy_gives_here(home: Path, place: Path) -> None:
    policy = load_policy(list_checkpoints(RunStore().get("arm").folder)[6])
    table = WindowTable([open_dataset(place / "arm")["arm-5"]], policy.window)
    seen = [table.observation(row) for row in range(13)]
    here = policy.act(seen[::3], range(5))
    robot = Recorded(seen)

    def sleep(seconds: float) -> None:
        robot.tick += 1

    process = processes.start(["serve", "arm", "--port=0", "--json"], home)
    try:
        told = heard(process, home, "listening")
        client = PolicyClient("127.0.0.1", int(told["address"].rpartition(":")[2]))
        player = ChunkPlayer(10.0, at_end="stop")
        with ControlLoop(
            robot,
            AtOnce(client),
            player,
            rate_hz=10.0,
            ask_every_s=0.3,
            action_keys=["joints", "hand"],
            clock=lambda: robot.tick / 10,
            sleep=sleep,
        ) as loop:
            report = loop.run(ticks=13)
    finally:
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join()
    assert process.exitcode == 0
    assert (report.asked, report.answered, report.stale, report.starved) == (5, 4, 0, 1)
    expected = [here[(tick - 1) // 3].actions[(tick - 1) % 3 + 1] for tick in range(1, 13)]
    assert [action.tobytes() for action in robot.done] == [a.tobytes() for a in expected]


def asked(values: dict[str, np.ndarray], instruction: str) -> dict[str, dict[str, object]]:
    state = values["state"]
    return {
        "video": {"front": values["camera"][None]},
        "state": {"joints": state[None, :, :3], "hand": state[None, :, 3:]},
        "language": {"annotation.human.action.task_description": [[instruction]]},
    }
