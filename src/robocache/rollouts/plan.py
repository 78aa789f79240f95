"""The plan: which episodes are to be made, each with a key that says all that determines it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from robocache.core.errors import ConfigError
from robocache.core.seeding import derive_seed
from robocache.sim_to_real import DepthRanges, ImageRanges, LatencyConfig, Randomization


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
        frames_purpose: what camera frames are kept for; "": they are not kept, a policy sees them
            while it acts and they are gone.
        frames_keep_days: how many days they are kept; None: no end is set.
        randomization: how pictures and ranges are changed; None: not at all.
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
    frames_purpose: str = ""
    frames_keep_days: float | None = None
    randomization: Randomization | None = None

    def __post_init__(self) -> None:
        if not self.tasks or self.episodes < 1:
            raise ConfigError(
                f"a plan needs tasks and episodes, got {len(self.tasks)} tasks and "
                f"{self.episodes} episodes"
            )
        if len(set(self.tasks)) != len(self.tasks):
            raise ConfigError(f"a task is named twice: {', '.join(self.tasks)}")
        if self.frames_purpose != self.frames_purpose.strip():
            raise ConfigError(f"a purpose of frames must be words, got {self.frames_purpose!r}")
        if self.frames_keep_days is not None:
            if not self.frames_purpose:
                raise ConfigError("frames are kept for days only if they are kept for a purpose")
            if not 0 < self.frames_keep_days < math.inf:
                raise ConfigError(
                    f"frames are kept for a number of days above 0, got {self.frames_keep_days}"
                )

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data; what was added to plans later only where it is used."""
        content = asdict(self)
        if self.randomization is None:
            del content["randomization"]
        return content

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RolloutPlan:
        """The plan that `to_json` described.

        Raises:
            ConfigError: it is not the description of a plan.
        """
        try:
            latency = {name: LatencyConfig(**value) for name, value in record["latency"].items()}
            given = {**record, "tasks": tuple(record["tasks"]), "latency": latency}
            if given.get("randomization") is not None:
                given["randomization"] = _randomization(given["randomization"])
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a plan of episodes: {error}") from error

    def digest(self) -> str:
        """sha256 of everything that determines an episode apart from its task and index."""
        content = self.to_json()
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


def _randomization(record: Mapping[str, Any]) -> Randomization:
    def bounds(group: Mapping[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in group.items()}

    return Randomization(
        ImageRanges(**bounds(record["images"])),
        DepthRanges(**bounds(record["depth"])),
        tuple(record["lidar"]),
    )


@dataclass(frozen=True)
class Job:
    """One episode to be made: its key, task, number, and the seed its environment is reset with."""

    key: str
    task: str
    index: int
    seed: int
