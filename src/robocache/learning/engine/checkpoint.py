"""Training state on disk: all that is needed to go on bit for bit.

policy.json, policy.safetensors        the averaged policy, ready to act
training/weights.safetensors           the raw weights
training/optimizer.safetensors         the optimizer's tensors
training/state.json                    step, sampler position, averages taken
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from robocache.core.errors import CheckpointError
from robocache.learning.engine.ema import WeightAverage
from robocache.policies import FlowPolicy, save_policy


def write_training_state(
    folder: Path,
    policy: FlowPolicy,
    average: WeightAverage,
    optimizer: Optimizer,
    state: dict[str, Any],
) -> None:
    """Write everything into an existing, empty folder."""
    training = folder / "training"
    training.mkdir()
    save_policy(folder, policy, average.weights)
    save_file(
        {n: t.contiguous() for n, t in policy.state_dict().items()},
        training / "weights.safetensors",
    )
    save_file(optimizer_tensors(optimizer), training / "optimizer.safetensors")
    record = {**state, "averages": average.updates}
    (training / "state.json").write_text(json.dumps(record, indent=1, sort_keys=True))


def read_training_state(
    folder: Path, policy: nn.Module, average: WeightAverage, optimizer: Optimizer
) -> dict[str, Any]:
    """Load everything back; returns the state that was written.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    training = folder / "training"
    try:
        state: dict[str, Any] = json.loads((training / "state.json").read_text())
        policy.load_state_dict(load_file(training / "weights.safetensors"))
        average.load(load_file(folder / "policy.safetensors"), state["averages"])
        load_optimizer_tensors(optimizer, load_file(training / "optimizer.safetensors"))
    except (OSError, ValueError, SafetensorError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder} cannot be resumed: {error!r}") from error
    return state


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as flat names, "<parameter number>/<name>"."""
    return {
        f"{number}/{name}": tensor.contiguous()
        for number, entry in optimizer.state_dict()["state"].items()
        for name, tensor in entry.items()
    }


def load_optimizer_tensors(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put tensors from `optimizer_tensors` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = tensor
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)
