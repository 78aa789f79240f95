"""What the samples of a training see and predict, by robot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from robocache.cli.train_config import PolicyConfig
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.window import Window
from robocache.policies import load_policy
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.settings import GrootSettings


def windows_of(policy: PolicyConfig | None, start: Path | None) -> dict[str, Window]:
    """What samples see and predict: by embodiment, and under "" where a dataset names none.

    Policies that see all robots alike have the one under "".

    Args:
        policy: what is trained, or
        start: the checkpoint that it starts from.

    Raises:
        ConfigError: there is neither.
    """
    if start is not None:
        loaded = load_policy(start)
        own = loaded.windows if isinstance(loaded, GrootPolicy) else {}
        return {"": loaded.window, **own}
    if policy is None:
        raise ConfigError("there is neither a policy nor init_from in the configuration")
    network = policy.network
    if isinstance(network, GrootSettings):
        own = network.windows(policy.inputs, policy.action, policy.rate_hz)
        return {"": own[network.first], **own}
    return {"": Window(policy.inputs, policy.action, policy.rate_hz, network.horizon)}


def window_for(windows: Mapping[str, Window], embodiment: str) -> Window:
    """What samples of an embodiment see and predict; see `windows_of`.

    Raises:
        ConfigError: the policy tells robots apart, and does not know this one.
    """
    if len(windows) == 1:
        return windows[""]
    if embodiment not in windows:
        raise unknown_name("embodiment of the mixture", embodiment, filter(None, windows))
    return windows[embodiment]
