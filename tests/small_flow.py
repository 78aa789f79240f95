"""A small flow policy with every kind of input, and observations for it."""

from __future__ import annotations

import numpy as np
import torch

from robocache.core import Observation, Statistics, StreamInput, StreamSpec, StreamStatistics
from robocache.datasets import Batch
from robocache.policies import FlowConfig, FlowPolicy
from robocache.policies.flow import Difference

SPECS = {
    "hand": StreamSpec((3,), rate_hz=100.0),
    "object.pose": StreamSpec((2, 3), rate_hz=50.0),
    "depth": StreamSpec((24, 32), "uint16", 20.0),
    "rgb": StreamSpec((16, 20, 3), "uint8", 20.0),
    "action": StreamSpec((4,), rate_hz=80.0),
}
INPUTS = (
    StreamInput("hand", (-0.05, 0.0)),
    StreamInput("object.pose", (-0.05, 0.0)),
    StreamInput("depth", (-0.1, 0.0)),
    StreamInput("rgb"),
)
WORDS = ("open the drawer", "close the drawer", "push the button", "pick up the puck", "")


def policy(
    seed: int = 0,
    *,
    moved: bool = True,
    inputs: tuple[StreamInput, ...] = INPUTS,
    ages: bool = False,
) -> FlowPolicy:
    """With random weights everywhere if `moved`: fresh networks are zero in places."""
    random = np.random.default_rng(0)
    statistics = Statistics(
        {
            name: StreamStatistics(
                mean=random.normal(size=spec.shape),
                std=random.uniform(0.5, 2, spec.shape),
                minimum=np.full(spec.shape, -5.0),
                maximum=np.full(spec.shape, 5.0),
                q01=np.full(spec.shape, -3.0),
                q99=np.full(spec.shape, 3.0),
                count=100,
            )
            for name, spec in SPECS.items()
            if name not in ("depth", "rgb")
        },
        "data",
    )
    torch.manual_seed(seed)
    made = FlowPolicy(
        FlowConfig(
            horizon=6,
            execute_steps=3,
            flow_steps=3,
            hidden=32,
            blocks=2,
            text_buckets=64,
            text_features=8,
            image_features=8,
            ages=ages,
            differences=(Difference("object.pose", (0, 1, 2), "hand", (0, 1, 2)),),
        ),
        inputs=inputs,
        specs=SPECS,
        action="action",
        rate_hz=80.0,
        statistics=statistics,
    )
    if moved:
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def observation(number: int) -> Observation:
    random = np.random.default_rng(number)
    values, valid, age = {}, {}, {}
    for view in INPUTS:
        spec, offsets = SPECS[view.stream], len(view.offsets_s)
        if spec.dtype.startswith("uint"):
            values[view.stream] = random.integers(
                0, np.iinfo(spec.dtype).max, (offsets, *spec.shape)
            ).astype(spec.dtype)
        else:
            values[view.stream] = random.normal(size=(offsets, *spec.shape)).astype(np.float32)
        valid[view.stream] = random.random(offsets) < 0.9
        age[view.stream] = random.uniform(0, 0.1, offsets)
    return Observation(values, valid, age, WORDS[number % len(WORDS)], number / 10)


def batch(size: int = 12) -> Batch:
    seen = [observation(number) for number in range(size)]
    random = np.random.default_rng(99)
    return Batch(
        values={
            v.stream: torch.from_numpy(np.stack([o.values[v.stream] for o in seen])) for v in INPUTS
        },
        valid={
            v.stream: torch.from_numpy(np.stack([o.valid[v.stream] for o in seen])) for v in INPUTS
        },
        age_s={
            v.stream: torch.from_numpy(np.stack([o.age_s[v.stream] for o in seen])) for v in INPUTS
        },
        instructions=[o.instruction for o in seen],
        actions=torch.from_numpy(random.normal(size=(size, 6, 4)).astype(np.float32)),
        action_valid=torch.from_numpy(random.random((size, 6)) < 0.8),
        index=np.arange(size),
    )
