"""Delay and loss between an environment's sensors and whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Env, EnvSpec, Expert, Samples, Step
from robocache.core.errors import EnvError, unknown_name
from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator


class SensorSuite:
    """An environment whose samples arrive late, or not at all.

    Capture times stay as they are; `Samples.available_s` says when each sample can first be
    used, and dropped samples are absent. Delays follow from the episode's seed.

    Args:
        env: the environment underneath; if it has an expert, `expert_action` is passed through.
        latency: stream name -> delay and loss; other streams are left as they are.

    Raises:
        ConfigError: a name in `latency` is no stream of the environment.
    """

    def __init__(self, env: Env, latency: Mapping[str, LatencyConfig]) -> None:
        for name in latency:
            if name not in env.spec.streams:
                raise unknown_name(f"stream of {env.spec.name}", name, env.spec.streams)
        self._env = env
        self._latency = dict(latency)
        self._links: dict[str, LatencySimulator] = {}

    @property
    def spec(self) -> EnvSpec:
        return self._env.spec

    @property
    def instruction(self) -> str:
        return self._env.instruction

    def reset(self, seed: int) -> Step:
        self._links = {
            name: LatencySimulator(config, seed, name) for name, config in self._latency.items()
        }
        return self._delivered(self._env.reset(seed))

    def step(self, action: NDArray[np.float32]) -> Step:
        return self._delivered(self._env.step(action))

    def expert_action(self) -> NDArray[np.float32]:
        """The environment's own expert, which knows the true state.

        Raises:
            EnvError: the environment has no expert.
        """
        if not isinstance(self._env, Expert):
            raise EnvError(f"{self.spec.name} has no expert")
        return self._env.expert_action()

    def close(self) -> None:
        self._env.close()

    def _delivered(self, step: Step) -> Step:
        samples: dict[str, Samples] = {}
        for name, captured in step.samples.items():
            link = self._links.get(name)
            arrived = captured if link is None else _send(link, captured)
            if len(arrived.times_s):
                samples[name] = arrived
        return replace(step, samples=samples)


def _send(link: LatencySimulator, captured: Samples) -> Samples:
    sent = captured.times_s if captured.available_s is None else captured.available_s
    kept, available = link.deliver(sent)
    return Samples(captured.values[kept], captured.times_s[kept], available[kept])
