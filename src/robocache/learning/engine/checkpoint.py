"""Training state on disk: all that is needed to go on bit for bit.

policy.json, policy.safetensors        the averaged policy, ready to act
training/weights.safetensors           the raw weights; not where there is no average of them
training/optimizer.safetensors         the optimizer's tensors
training/state.json                    step, sampler position, averages taken
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from robocache.core.errors import CheckpointError
from robocache.learning.engine.ema import WeightAverage
from robocache.policies import TrainablePolicy, save_policy, save_tensors
from robocache.runs.drift import Difference, differences
from robocache.runs.files import file_names


def write_training_state(
    folder: Path,
    policy: TrainablePolicy,
    average: WeightAverage,
    optimizer: Optimizer,
    state: dict[str, Any],
) -> None:
    """Write everything into an existing, empty folder."""
    training = folder / "training"
    training.mkdir()
    save_policy(folder, policy, average.weights)
    if average.decay:
        save_tensors(policy.learned(), training / "weights.safetensors")
    save_tensors(optimizer_tensors(optimizer), training / "optimizer.safetensors")
    record = {**state, "averages": average.updates}
    (training / "state.json").write_text(json.dumps(record, indent=1, sort_keys=True))


def read_training_state(
    folder: Path, policy: TrainablePolicy, average: WeightAverage, optimizer: Optimizer
) -> dict[str, Any]:
    """Load everything back; returns the state that was written.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    training = folder / "training"
    try:
        state: dict[str, Any] = json.loads((training / "state.json").read_text())
        averaged = load_file(folder / "policy.safetensors")
        raw = load_file(training / "weights.safetensors") if average.decay else averaged
        policy.load_learned(raw)
        average.load(averaged, state["averages"])
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


def compare_checkpoints(was: Path, now: Path) -> Difference | None:
    """The first difference between what two checkpoint folders hold, to the bit.

    Args:
        was, now: folders; files of both are read, whatever their `SHA256` says of them.

    Raises:
        CheckpointError: a file that differs cannot be read.
    """
    for name in (name for name in file_names(was) if name.endswith((".json", ".safetensors"))):
        paths = (was / name, now / name)
        if not paths[1].is_file():
            return Difference(name, "a file", "nothing")
        if paths[0].read_bytes() != paths[1].read_bytes():
            try:
                found = _compare_files(*paths)
            except (OSError, ValueError, SafetensorError) as error:
                raise CheckpointError(f"{paths[0]} cannot be compared: {error}") from error
            if found is not None:
                return Difference(f"{name}, {found.place}", found.was, found.now)
    return None


def compare_tensors(was: dict[str, Tensor], now: dict[str, Tensor]) -> Difference | None:
    """The first element, in the order of names, of which the bits differ; with both values."""
    for name in sorted({*was, *now}):
        old, new = was.get(name), now.get(name)
        if old is None or new is None or (old.shape, old.dtype) != (new.shape, new.dtype):
            return Difference(f"tensor {name}", _described(old), _described(new))
        unequal = (_bits(old) != _bits(new)).any(dim=1).nonzero()
        if len(unequal):
            at = int(unequal[0])
            index = ", ".join(str(int(i)) for i in np.unravel_index(at, old.shape))
            place = f"tensor {name}[{index}]" if index else f"tensor {name}"
            return Difference(place, _element(old, at), _element(new, at))
    return None


def _compare_files(was: Path, now: Path) -> Difference | None:
    if was.suffix == ".safetensors":
        return compare_tensors(load_file(was), load_file(now))
    return next(differences(json.loads(was.read_bytes()), json.loads(now.read_bytes())), None)


def _described(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bits(tensor: Tensor) -> Tensor:
    """(elements, bytes of one) of a tensor."""
    return tensor.reshape(-1, 1).contiguous().view(torch.uint8)


def _element(tensor: Tensor, at: int) -> float:
    """One element; of a float32 with no more digits than tell it from its neighbours."""
    value = tensor.reshape(-1)[at]
    return float(str(value.numpy())) if tensor.dtype == torch.float32 else value.item()
