"""A batch in parts, here or in several processes: the same gradients."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import processes
import small_flow
import tiny
from robocache.core.errors import ConfigError
from robocache.learning import TrainerConfig
from robocache.learning.engine.processes import joined_processes
from robocache.learning.imitation import add_gradients
from robocache.runs import list_checkpoints
from robocache.runs.crash import CRASH_VARIABLE

STATE = ("weights", "optimizer")


def gradients(accumulate: int) -> tuple[Tensor, list[Tensor]]:
    policy = small_flow.policy()
    config = TrainerConfig(accumulate=accumulate)
    loss = add_gradients(policy, small_flow.batch(), config, seed=0, step=3)
    return loss, [w.grad for w in policy.parameters() if w.grad is not None]


def test_parts_add_up_to_the_whole() -> None:
    """Windows of unequal length: a mean of means would be another number."""
    whole, in_parts = (gradients(n) for n in (1, 3))
    torch.testing.assert_close(in_parts[0], whole[0])
    for part, one in zip(in_parts[1], whole[1], strict=True):
        torch.testing.assert_close(part, one)


def test_a_batch_is_split_whole() -> None:
    batch = small_flow.batch()
    parts = batch.split(5)
    assert [len(part.index) for part in parts] == [3, 3, 2, 2, 2]
    assert [row for part in parts for row in part.index.tolist()] == batch.index.tolist()
    assert [text for part in parts for text in part.instructions] == batch.instructions
    for name, values in batch.values.items():
        assert torch.cat([part.values[name] for part in parts]).equal(values)
        assert torch.cat([part.valid[name] for part in parts]).equal(batch.valid[name])
    assert torch.cat([part.actions for part in parts]).equal(batch.actions)


@pytest.mark.parametrize(("rank", "count"), [("x", "2"), ("2", "2"), ("-1", "1")])
def test_environment_that_makes_no_sense(
    rank: str, count: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(ConfigError, match="RANK"), joined_processes():
        pass


def test_two_processes_train_as_one_does_in_two_parts(tmp_path: Path) -> None:
    """Over gloo, to the bit, killed once on the way and started again."""
    home, other = tmp_path / "home", tmp_path / "other"
    assert processes.run(tiny.COLLECT, home).code == 0
    shutil.copytree(home, other)
    ended = processes.run([*tiny.SHORT, "trainer.accumulate=2"], home)
    assert ended.code == 0, ended.output

    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "robocache", *tiny.SHORT]
    variables = {**os.environ, "ROBOCACHE_HOME": str(other)}
    variables["PYTHONPATH"] = os.pathsep.join([str(processes.ROOT), *sys.path])

    def start(crash: str) -> subprocess.CompletedProcess[str]:
        environment = {**variables, CRASH_VARIABLE: crash}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    assert start("checkpoint-unrecorded").returncode != 0
    assert list(list_checkpoints(other / "runs" / "short")) == [6]
    again = start("")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("run short: ") == 1, "only the first process speaks"
    for file in ("policy.safetensors", *(f"training/{n}.safetensors" for n in STATE)):
        mine, theirs = (
            root / "runs" / "short" / "checkpoints" / "step-00000024" / file
            for root in (home, other)
        )
        assert mine.read_bytes() == theirs.read_bytes()
