"""Delay, loss and other cameras between an environment's sensors and whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Env, EnvSpec, Expert, Samples, Step
from robocache.core.errors import unknown_name
from robocache.sim_to_real.kinds import is_changed
from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator
from robocache.sim_to_real.ranges import Randomization

if TYPE_CHECKING:
    from robocache.sim_to_real.streams import StreamRandomizer


class SensorSuite:
    """An environment whose samples arrive late, or not at all, and from other cameras.

    Capture times stay as they are; `Samples.available_s` says when each sample can first be
    used, and dropped samples are absent. Delays follow from the episode's seed, and so does what
    is done to pictures and ranges: one light and lens for an episode, other noise in every frame.

    Args:
        env: the environment underneath; `expert_action` is passed through where it has one.
        latency: stream name -> delay and loss; other streams are left as they are.
        randomization: how pictures and ranges are changed; None: not at all.

    Raises:
        ConfigError: a name in `latency`, or of a LiDAR, is no stream of the environment.
    """

    def __init__(
        self,
        env: Env,
        latency: Mapping[str, LatencyConfig],
        randomization: Randomization | None = None,
    ) -> None:
        for name in (*latency, *(randomization.lidar if randomization else ())):
            if name not in env.spec.streams:
                raise unknown_name(f"stream of {env.spec.name}", name, env.spec.streams)
        self._env = env
        self._latency = dict(latency)
        self._links: dict[str, LatencySimulator] = {}
        self._randomization = randomization
        self._views: dict[str, _View] = {}
        if isinstance(env, Expert):  # and only then is the suite one, too
            self.expert_action = env.expert_action

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
        wanted = self._randomization
        if wanted is not None:
            from robocache.sim_to_real.streams import StreamRandomizer  # imports torch

            self._views = {
                name: _View(StreamRandomizer(wanted, seed, name, spec))
                for name, spec in self._env.spec.streams.items()
                if is_changed(wanted, name, spec)
            }
        return self._delivered(self._env.reset(seed))

    def step(self, action: NDArray[np.float32]) -> Step:
        return self._delivered(self._env.step(action))

    def close(self) -> None:
        self._env.close()

    def _delivered(self, step: Step) -> Step:
        samples: dict[str, Samples] = {}
        for name, captured in step.samples.items():
            if name in self._views:
                captured = captured._replace(values=self._views[name].see(captured.values))
            link = self._links.get(name)
            arrived = captured if link is None else _send(link, captured)
            if len(arrived.times_s):
                samples[name] = arrived
        return replace(step, samples=samples)


class _View:
    """One camera or range sensor in one episode."""

    def __init__(self, randomizer: StreamRandomizer) -> None:
        self._randomizer = randomizer
        self._chosen = randomizer.parameters([0])
        self._count = 0

    def see(self, values: NDArray[Any]) -> NDArray[Any]:
        """The next frames (n, ...), changed."""
        first, self._count = self._count, self._count + len(values)
        return self._randomizer.frames(values, self._chosen, first)


def _send(link: LatencySimulator, captured: Samples) -> Samples:
    sent = captured.times_s if captured.available_s is None else captured.available_s
    kept, available = link.deliver(sent)
    return Samples(captured.values[kept], captured.times_s[kept], available[kept])
