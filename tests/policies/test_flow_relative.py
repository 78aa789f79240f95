"""Actions relative to an input, motion features, and the same policy on a GPU."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import small_flow
from robocache.core import Observation, Statistics, StreamInput, StreamSpec, StreamStatistics
from robocache.core.errors import ConfigError
from robocache.policies import FlowConfig, FlowPolicy
from robocache.policies.draws import Draws
from robocache.policies.flow.features import motion
from robocache.policies.trainable import mean_loss

SPECS = {
    "joints": StreamSpec((2,), rate_hz=10.0),
    "hand": StreamSpec((3,), rate_hz=10.0),
    "action": StreamSpec((2,), rate_hz=10.0),
}


def constant(mean: float, size: int) -> StreamStatistics:
    value = np.full(size, mean)
    return StreamStatistics(value, np.ones(size), value, value, value, value, 10)


def relative_policy(reference: str) -> FlowPolicy:
    names = {"joints": (0.0, 2), "hand": (0.0, 3), "action": (7.0, 2), "action - joints": (0.5, 2)}
    return FlowPolicy(
        FlowConfig(horizon=4, execute_steps=2, hidden=8, blocks=1, relative_to=reference),
        inputs=(StreamInput("joints", (-0.1, 0.0)), StreamInput("hand")),
        specs=SPECS,
        action="action",
        rate_hz=10.0,
        statistics=Statistics({n: constant(*v) for n, v in names.items()}),
    )


def seen(valid: bool) -> Observation:
    values = {
        "joints": np.array([[9.0, 9.0], [1.0, 2.0]], np.float32),
        "hand": np.zeros((1, 3), np.float32),
    }
    ok = {"joints": np.array([True, valid]), "hand": np.array([True])}
    return Observation(values, ok, {}, "move", 0.0)


def test_relative_actions_start_from_the_latest_sample() -> None:
    """A fresh network predicts the mean, which here is 0.5 beyond where the joints are."""
    policy = relative_policy("joints")
    known, unknown = (policy.act([seen(valid)], [3])[0].actions for valid in (True, False))
    np.testing.assert_allclose(known, np.tile([1.5, 2.5], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(unknown, np.full((4, 2), 7.5), atol=1e-6)  # from the mean action


@pytest.mark.parametrize(("reference", "why"), [("nothing", "one of"), ("hand", "have shape")])
def test_what_actions_cannot_be_relative_to(reference: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        relative_policy(reference)


def test_motion_is_ten_times_the_way_since_then() -> None:
    normal = torch.tensor([[[1.0, 0.0], [1.5, 5.0], [2.0, 0.25]]])
    valid = torch.tensor([[True, False, True]])
    assert motion(normal, valid).tolist() == [[10.0, 2.5, 0.0, 0.0]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_cuda_acts_as_the_cpu_does_and_learns_in_bfloat16() -> None:
    policy = small_flow.policy()
    observations = [small_flow.observation(number) for number in range(5)]
    expected = np.stack([chunk.actions for chunk in policy.act(observations, range(5))])
    device = torch.device("cuda")
    policy.to(device)
    actions = np.stack([chunk.actions for chunk in policy.act(observations, range(5))])
    np.testing.assert_allclose(actions, expected, atol=2e-3)
    batch = small_flow.batch().to(device)
    assert dataclasses.replace(batch).actions.device.type == "cuda"
    with torch.autocast("cuda", torch.bfloat16):
        loss = mean_loss(policy, batch, Draws.seeded(0))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters() if p.grad is not None)
