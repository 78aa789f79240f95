"""Randomized batches: the same windows changed alike, whoever trains on them and how often."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch

import processes
import tiny
from robocache.core.stream import StreamSpec
from robocache.datasets import Batch
from robocache.learning.randomized import BatchRandomizer
from robocache.sim_to_real import DepthRanges, ImageRanges, Randomization

SPECS = {
    "camera": StreamSpec((12, 16, 3), "uint8", 20.0),
    "depth": StreamSpec((12, 16), "uint16", 20.0),
    "hand": StreamSpec((4,), "float32", 100.0),
}
CONFIG = Randomization(
    ImageRanges(brightness=(0.5, 1.5), noise=(0.0, 0.1)), DepthRanges(dropout=(0.2, 0.5))
)


def batch(rows: slice = slice(None)) -> Batch:
    rng = np.random.default_rng(0)
    values = {
        "camera": torch.from_numpy(rng.integers(0, 256, (6, 2, 12, 16, 3), np.uint8)),
        "depth": torch.full((6, 1, 12, 16), 900, dtype=torch.int32).to(torch.uint16),
        "hand": torch.ones(6, 2, 4),
    }
    count = len(np.arange(6)[rows])
    return Batch(
        values={name: value[rows] for name, value in values.items()},
        valid={
            name: torch.ones(value.shape[:2], dtype=torch.bool)[rows]
            for name, value in values.items()
        },
        age_s={},
        instructions=["push"] * count,
        actions=torch.zeros(count, 2, 3),
        action_valid=torch.ones(count, 2, dtype=torch.bool),
        index=np.arange(6)[rows],
    )


def test_windows_are_changed_by_their_number_alone() -> None:
    randomize = BatchRandomizer(CONFIG, 5, SPECS)
    assert randomize.streams == ["camera", "depth"]
    whole = randomize(batch(), 60)
    part = randomize(batch(slice(4, 6)), 64)
    for name in ("camera", "depth"):
        assert torch.equal(part.values[name].int(), whole.values[name][4:].int())
        assert not torch.equal(whole.values[name].int(), batch().values[name].int())
        other = randomize(batch(), 66).values[name]
        assert not torch.equal(other.int(), whole.values[name].int())
    assert whole.values["hand"] is not None
    assert torch.equal(whole.values["hand"], batch().values["hand"])
    assert not torch.equal(
        BatchRandomizer(CONFIG, 6, SPECS)(batch(), 60).values["camera"], whole.values["camera"]
    )


def test_frames_that_are_not_there_stay_zeros() -> None:
    """As a policy sees them while it acts; changed, they would be a grey picture with noise."""
    given = batch()
    given.values["camera"][1, 0] = 0
    given.valid["camera"][1, 0] = False
    seen = BatchRandomizer(CONFIG, 5, SPECS)(given, 60).values["camera"]
    assert not seen[1, 0].any() and seen[1, 1].any()


def test_unlike_robots_are_changed_window_by_window() -> None:
    randomize = BatchRandomizer(CONFIG, 5, SPECS)
    whole = randomize(batch(), 60)
    unlike = Batch.of_unlike([batch(slice(n, n + 1)) for n in range(6)])
    rows = randomize(unlike, 60).windows()
    for number, row in enumerate(rows):
        assert torch.equal(row.values["camera"][0], whole.values["camera"][number])


COLLECT = (
    "collect",
    "tasks=[rgb_env:RgbEnv]",
    "episodes=3",
    "frames.purpose=a test",
    "workers=0",
    "--name=demos",
)
TRAIN = (
    "train",
    "dataset=demos",
    *tiny.POLICY[1:],
    "policy.inputs=[{stream: point, offsets_s: [0.0]}, {stream: goal, offsets_s: [0.0]}, "
    "{stream: camera, offsets_s: [-0.1, 0.0]}]",
    "trainer.warmup_steps=2",
    "trainer.steps=6",
    "trainer.checkpoint_every=2",
    "sim_to_real=standard",
    "--name=short",
)


def kill_at(number: int) -> None:
    """Let training end without a word while it works on this step."""
    from robocache.learning import imitation

    schedule = imitation.cosine_with_warmup

    def wounded(step: int, **settings: Any) -> float:
        if step == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return schedule(step, **settings)

    imitation.cosine_with_warmup = wounded


def test_a_training_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    found = []
    for name, wounds in (("whole", []), ("killed", [3, 5])):
        home = tmp_path / name / "home"
        home.parent.mkdir()
        assert processes.run(COLLECT, home).code == 0
        for step in wounds:
            wound = functools.partial(kill_at, step)
            assert processes.run(TRAIN, home, before=wound).code == -signal.SIGKILL
        ended = processes.run(TRAIN, home)
        assert ended.code == 0, ended.output
        folder = home / "runs" / "short"
        weights = folder / "checkpoints" / "step-00000006" / "training" / "weights.safetensors"
        found.append((weights.read_bytes(), (folder / "trace.bin").read_bytes()))
    assert found[0] == found[1]


def test_nothing_to_change_is_told() -> None:
    assert BatchRandomizer(Randomization(CONFIG.images), 5, {"hand": SPECS["hand"]}).streams == []
