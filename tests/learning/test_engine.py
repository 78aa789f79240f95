"""What all training loops share, by hand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from robocache.core.errors import CheckpointError
from robocache.learning.engine.checkpoint import load_optimizer_tensors, optimizer_tensors
from robocache.learning.engine.ema import WeightAverage
from robocache.learning.engine.schedule import cosine_with_warmup


def test_schedule_by_hand() -> None:
    def rate(step: int, warmup: int = 4, steps: int = 12) -> float:
        return cosine_with_warmup(step, peak=2.0, warmup_steps=warmup, steps=steps)

    assert [rate(step) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert rate(4) == 2.0
    assert rate(8) == pytest.approx(1.0)
    assert rate(6) == pytest.approx(1 + math.sqrt(0.5))
    assert rate(11) == pytest.approx(1 + math.cos(7 / 8 * math.pi))
    assert rate(12) == pytest.approx(0) and rate(99) == pytest.approx(0)
    rates = [rate(step, warmup=0) for step in range(13)]
    assert rates[0] == 2.0
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert rate(3, warmup=20, steps=10) == pytest.approx(0.4), "a run shorter than its warm-up"


def test_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module.state_dict(), 0.5)
    expected, seen = 0.0, []
    for update, value in enumerate([1.0, 2.0, -3.0, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0], start=1):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(module.state_dict())
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * value
        assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-6)
        seen.append(decay)
    assert seen[0] == 2 / 11 and seen[-1] == 0.5, "both branches of the warm start were taken"
    assert module.weight.item() == 7.0, "the module itself is left alone"


def test_average_goes_on_where_it_was() -> None:
    def updated(average: WeightAverage, module: nn.Module, times: int) -> None:
        for _ in range(times):
            with torch.no_grad():
                module.weight.mul_(1.3)
            average.update(module.state_dict())

    torch.manual_seed(0)
    module = nn.Linear(3, 2, bias=False)
    whole = WeightAverage(module.state_dict(), 0.9)
    updated(whole, module, 4)
    saved = {name: t.clone() for name, t in whole.weights.items()}
    weights = module.weight.detach().clone()
    updated(whole, module, 4)

    other = nn.Linear(3, 2, bias=False)
    restored = WeightAverage(other.state_dict(), 0.9)
    with torch.no_grad():
        other.weight.copy_(weights)
    restored.load(saved, 4)
    updated(restored, other, 4)
    assert restored.weights["weight"].equal(whole.weights["weight"])


def test_the_optimizer_goes_on_where_it_was() -> None:
    def make() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        return module, torch.optim.AdamW(module.parameters(), lr=0.05, fused=True)

    def steps(module: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            data = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            module(data).square().mean().backward()
            optimizer.step()

    whole, optimizer = make()
    steps(whole, optimizer, 0, 5)
    tensors = {name: t.clone() for name, t in optimizer_tensors(optimizer).items()}
    assert {"0/exp_avg", "3/exp_avg_sq", "2/step"} <= set(tensors)
    weights = {name: t.clone() for name, t in whole.state_dict().items()}
    steps(whole, optimizer, 5, 9)

    again, other = make()
    again.load_state_dict(weights)
    load_optimizer_tensors(other, tensors)
    steps(again, other, 5, 9)
    assert all(again.state_dict()[name].equal(t) for name, t in whole.state_dict().items())


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "training" / "state.json").unlink(),
        lambda folder: (folder / "training" / "optimizer.safetensors").unlink(),
        lambda folder: (folder / "training" / "weights.safetensors").write_bytes(b"x" * 40),
        lambda folder: (folder / "training" / "state.json").write_bytes(b"\xff\x00"),
        lambda folder: (folder / "training" / "state.json").write_text(json.dumps({"step": 1})),
    ],
)
def test_damaged_training_state(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    from robocache.learning.engine.checkpoint import read_training_state, write_training_state

    class Small(nn.Linear):
        kind = "small"

        def to_json(self) -> dict[str, str]:
            return {}

        def learned(self) -> dict[str, torch.Tensor]:
            return self.state_dict()

        def load_learned(self, tensors: dict[str, torch.Tensor]) -> None:
            self.load_state_dict(tensors)

    module = Small(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    average = WeightAverage(module.state_dict(), 0.9)
    write_training_state(tmp_path, module, average, optimizer, {"step": 3})  # type: ignore[arg-type]
    assert read_training_state(tmp_path, module, average, optimizer)["step"] == 3
    damage(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        read_training_state(tmp_path, module, average, optimizer)
