"""The plan: which episodes are to be made, each with a key that says all that determines it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from robocache.core.errors import ConfigError
from robocache.core.seeding import derive_seed
from robocache.sim_to_real import LatencyConfig


@dataclass(frozen=True)
class RolloutPlan:
    """Episodes to be made.

    Attributes:
        tasks: environment names, e.g. "metaworld/drawer-open".
        episodes: per task.
        seed: root seed.
        purpose: "collect" or "evaluate"; layouts of the two never coincide.
        actor: "expert", or the sha256 of the checkpoint that acts.
        env_version: version of the environments' code.
        env_options: keyword options of `make_env`.
        latency: stream name -> latency of that sensor.
        expert_noise: standard deviation of Gaussian noise on the expert's executed action, in units
            of the action; the clean action is recorded as the label.
        steps_after_success: how long an episode goes on after the task is first solved.
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    purpose: str
    actor: str
    env_version: str
    env_options: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, LatencyConfig] = field(default_factory=dict)
    expert_noise: float = 0.0
    steps_after_success: int = 0

    def __post_init__(self) -> None:
        if not self.tasks or self.episodes < 1:
            raise ConfigError(
                f"a plan needs tasks and episodes, got {len(self.tasks)} tasks and "
                f"{self.episodes} episodes"
            )
        if len(set(self.tasks)) != len(self.tasks):
            raise ConfigError(f"a task is named twice: {', '.join(self.tasks)}")

    def digest(self) -> str:
        """sha256 of everything that determines an episode apart from its task and index."""
        content = asdict(self)
        del content["tasks"], content["episodes"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def jobs(self) -> list[Job]:
        """Every episode of the plan, tasks taking turns."""
        digest = self.digest()[:10]
        return [
            Job(
                key=f"{task}/{self.purpose}-{self.seed}/{index:05d}-{digest}",
                task=task,
                index=index,
                seed=derive_seed(self.seed, self.purpose, index),
            )
            for index in range(self.episodes)
            for task in self.tasks
        ]


@dataclass(frozen=True)
class Job:
    """One episode to be made: its key, task, number, and the seed its environment is reset with."""

    key: str
    task: str
    index: int
    seed: int
