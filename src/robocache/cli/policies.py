"""Policies by name: checkpoints of the store, folders, and code from outside."""

from __future__ import annotations

from pathlib import Path

from robocache.cli.datasets import require_sound
from robocache.core.errors import ConfigError
from robocache.core.plugins import installed
from robocache.policies import TrainablePolicy, load_policy, load_to_act, make_policy
from robocache.policies.device import require_device
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.rollouts import PolicySource
from robocache.runs import RunStore, verify_checkpoint


def find_policy(store: RunStore, text: str, device: str = "cpu") -> tuple[PolicySource, str]:
    """A policy by checkpoint, run, slot or hash, or from outside by entry point or module:name.

    Args:
        device: where the network of a checkpoint computes.

    Returns:
        Where workers load it from, and the hash that identifies it.

    Raises:
        CheckpointError, IntegrityError: as `sound_checkpoint`.
        ConfigError: there is no such device; or the policy is from outside and chooses its own.
    """
    require_device(device)
    if is_outside(text):
        if device != "cpu":
            raise ConfigError(f"{text} is code, which chooses its device itself: leave device out")
        return PolicySource(name=text), make_policy(text)[1]
    path, sha256 = sound_checkpoint(store, text)
    load_policy(path)
    return PolicySource(checkpoint=path, device=device), sha256


def is_outside(text: str) -> bool:
    """Whether this names a policy from outside: an entry point, or module:name."""
    module_and_name = ":" in text and not text.startswith("slot:")
    return module_and_name or text in installed("robocache.policies")


def load_as(path: Path, embodiment: str, device: str = "cpu") -> TrainablePolicy:
    """The policy of a checkpoint, acting as a robot; empty: as its first.

    Raises:
        ConfigError: it tells robots apart, and does not know this one; or no such device.
    """
    policy = load_to_act(path, device)
    if embodiment and isinstance(policy, GrootPolicy):
        policy.act_as(embodiment)
    return policy


def sound_checkpoint(store: RunStore, text: str) -> tuple[Path, str]:
    """A checkpoint by any of its names, and its identity, after looking at every file of it.

    Raises:
        CheckpointError: a file of it is altered or missing.
        IntegrityError: the run that made it is not as it was recorded.
    """
    path = store.find_checkpoint(text)
    sha256 = verify_checkpoint(path)
    maker = store.maker(sha256)
    if maker is not None:
        require_sound(store, maker)
    return path, sha256
