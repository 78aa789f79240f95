"""What an environment is.

An environment gives raw samples: what each of its sensors captured since the last call, with
capture times. Latency and loss between sensor and policy are added by a wrapper
(`robocache.envs.sensors.SensorSuite`); alignment happens in the policy's window.

Time runs in seconds from 0 at reset. The action given to `step` at time `now_s` is applied from
then until the `now_s` of the returned step, one control period later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robocache.core.stream import StreamSpec


class Samples(NamedTuple):
    """Consecutive samples of one sensor.

    Attributes:
        values: (n, ...).
        times_s: (n,) float64 capture times.
        available_s: (n,) float64, when each can first be used; None: at capture.
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    available_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class EnvSpec:
    """What an environment offers.

    Attributes:
        name: e.g. "metaworld/drawer-open".
        version: simulator and versions; results are comparable only when it is equal.
        control_rate_hz: rate at which `step` is called.
        action_low, action_high: (A,) float32 bounds, inclusive.
        streams: sensor name -> StreamSpec.
        max_steps: after this many steps the episode is truncated.
    """

    name: str
    version: str
    control_rate_hz: float
    action_low: NDArray[np.float32]
    action_high: NDArray[np.float32]
    streams: Mapping[str, StreamSpec]
    max_steps: int


@dataclass(frozen=True, eq=False)
class Step:
    """What happened since the last call.

    Attributes:
        now_s: time after the step.
        samples: sensor name -> samples captured after the previous `now_s` and up to this one;
            a sensor that captured nothing may be absent. `reset` returns those at time 0.
        reward: finite float.
        terminated: the task itself is over (a fall, a lost game); success need not end it.
        truncated: the time limit `max_steps` was reached.
        success: the task is solved in this state.
        details: further numbers about this state.
    """

    now_s: float
    samples: Mapping[str, Samples]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    success: bool = False
    details: Mapping[str, float] = field(default_factory=dict)


class Env(Protocol):
    """One simulated (or real) scene; check yours with `robocache.testing.check_env`."""

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, seed: int) -> Step:
        """Start an episode whose every detail follows from `seed`."""
        ...

    @property
    def instruction(self) -> str:
        """What is asked in this episode, in words; known after `reset`."""
        ...

    def step(self, action: NDArray[np.float32]) -> Step:
        """Apply `action` (A,) for one control period."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Expert(Protocol):
    """An environment that can also act: used to collect demonstrations."""

    def expert_action(self) -> NDArray[np.float32]:
        """The scripted expert's action (A,) float32 for the present state, within bounds."""
        ...


@dataclass(frozen=True, eq=False)
class VectorStep:
    """One step of N environments at once; arrays have N as their first axis.

    Attributes:
        observations: name -> (N, ...) after automatic reset of those that ended.
        final_observations: name -> (N, ...), the true last observation where `terminated |
            truncated`, equal to `observations` elsewhere.
        rewards: (N,) float32.
        terminated, truncated, success: (N,) bool, never merged into one "done".
    """

    observations: Mapping[str, Any]
    final_observations: Mapping[str, Any]
    rewards: Any
    terminated: Any
    truncated: Any
    success: Any


@runtime_checkable
class VectorEnv(Protocol):
    """N environments stepped together, for reinforcement learning."""

    num_envs: int

    @property
    def spec(self) -> EnvSpec: ...

    def reset(self, seeds: Sequence[int]) -> Mapping[str, Any]: ...

    def step(self, actions: Any) -> VectorStep: ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit, simulators included."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...
