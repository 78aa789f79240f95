"""A policy on disk: `policy.json` says what it is, `policy.safetensors` holds its weights."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from robocache.core.errors import CheckpointError, ConfigError, unknown_name
from robocache.core.plugins import resolve
from robocache.core.policy import Policy
from robocache.policies.device import require_device
from robocache.policies.tensor_files import save_tensors
from robocache.policies.trainable import TrainablePolicy, as_module

KINDS = {
    "flow": "robocache.policies.flow:FlowPolicy",
    "groot_n16": "robocache.policies.groot_n16.policy:GrootPolicy",
}
"""Kind of policy -> "module:class", imported when it is needed."""


def save_policy(folder: Path, policy: TrainablePolicy, weights: Mapping[str, Tensor]) -> None:
    """Write a policy with these weights (for example an average of its own) into a folder."""
    description = {"kind": policy.kind, **policy.to_json()}
    (folder / "policy.json").write_text(json.dumps(description, indent=1, sort_keys=True))
    save_tensors(weights, folder / "policy.safetensors")


def load_policy(folder: str | Path) -> TrainablePolicy:
    """Read a policy from a checkpoint folder.

    Raises:
        CheckpointError: files are missing, damaged, or do not fit each other.
        ConfigError: the kind of policy is unknown.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "policy.json").read_text())
        weights = load_file(folder / "policy.safetensors")
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is not a policy checkpoint ({error})") from None
    except (ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    kind = description.pop("kind", "") if isinstance(description, dict) else ""
    if kind not in KINDS:
        raise unknown_name(f"kind of policy in {folder}", kind, KINDS)
    try:
        policy: TrainablePolicy = _class_of(kind).from_json(description)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'policy.json'} is damaged: {error!r}") from error
    try:
        policy.load_learned(weights)
    except RuntimeError as error:
        raise CheckpointError(f"weights in {folder} do not fit policy.json: {error}") from None
    return policy


def load_to_act(folder: str | Path, device: str = "cpu") -> TrainablePolicy:
    """Read a policy from a checkpoint folder, for acting only.

    Args:
        folder: of the checkpoint.
        device: where it computes: cpu, cuda, cuda:1. Another one gives other last digits.

    Raises:
        CheckpointError, ConfigError: as `load_policy`; or there is no such device.
    """
    found = require_device(device)
    policy = load_policy(folder)
    policy.only_act()
    as_module(policy).to(found)
    return policy


def _class_of(kind: str) -> Any:
    module, _, name = KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), name)


def make_policy(name: str) -> tuple[Policy, str]:
    """A policy from outside this package, by entry point or `module:name`, and its identity.

    The identity is the sha256 of the source file that defines its class.

    Raises:
        ConfigError: it cannot be found, or is not a policy.
    """
    factory = resolve("policy", "robocache.policies", name, {})
    policy = factory() if callable(factory) else None
    if not isinstance(policy, Policy):
        raise ConfigError(
            f"{name} is not a policy: call it without arguments, and it must give an object with "
            f"the attributes inputs, execute_steps and act"
        )
    source = inspect.getsource(importlib.import_module(type(policy).__module__))
    return policy, hashlib.sha256(source.encode()).hexdigest()
