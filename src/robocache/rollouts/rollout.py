"""The loop that makes episodes: several in lockstep, so that a policy is asked in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Env, Step
from robocache.core.episode import Episode, Outcome, Provenance
from robocache.datasets.alignment import LiveAligner
from robocache.rollouts.plan import Job, RolloutPlan
from robocache.rollouts.recorder import Recorder

Decision = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""The action to execute (A,), and the expert's label (A,) where there is one."""


@dataclass(eq=False)
class Rollout:
    """One episode in the making."""

    job: Job
    env: Env
    last: Step
    recorder: Recorder
    steps: int = 0
    steps_since_success: int = -1
    reward: float = 0.0
    aligner: LiveAligner = field(init=False)
    random: np.random.Generator = field(init=False)
    queue: deque[NDArray[np.float32]] = field(default_factory=deque)
    details: dict[str, float] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether the task was solved at any step."""
        return self.steps_since_success >= 0

    def advance(self, action: NDArray[np.float32], label: NDArray[np.float32] | None) -> Step:
        """Execute one action and record what came of it."""
        step = self.env.step(action)
        self.recorder.add(action, label, self.last.now_s, step)
        self.steps += 1
        self.reward += step.reward
        if self.success or step.success:
            self.steps_since_success += 1
        for name, value in step.details.items():
            self.details[name] = max(value, self.details.get(name, value))
        return step

    def finished(self, plan: RolloutPlan) -> bool:
        """Whether the episode is over."""
        return (
            self.last.terminated
            or self.last.truncated
            or (self.success and self.steps_since_success >= plan.steps_after_success)
        )

    def episode(self, plan: RolloutPlan) -> Episode:
        """The finished episode; `details` hold the largest value of each of the environment's."""
        spec = self.env.spec
        return Episode(
            key=self.job.key,
            streams=self.recorder.streams(),
            instruction=self.env.instruction,
            outcome=Outcome(
                success=self.success,
                terminated=self.last.terminated,
                truncated=self.last.truncated,
                steps=self.steps,
                reward=self.reward,
                details=self.details,
            ),
            provenance=Provenance(
                source=spec.name,
                task=self.job.task,
                seed=plan.seed,
                index=self.job.index,
                simulator=spec.version,
                actor=plan.actor,
            ),
        )


class Actor(Protocol):
    """Decides for several running episodes at once."""

    def begin(self, rollouts: Sequence[Rollout]) -> None: ...

    def decide(self, rollouts: Sequence[Rollout]) -> list[Decision]: ...

    def observe(self, rollout: Rollout, action: NDArray[np.float32], step: Step) -> None: ...


def run_episodes(
    plan: RolloutPlan, jobs: Sequence[Job], envs: Callable[[Job], Env], actor: Actor
) -> list[Episode]:
    """Make these episodes, all of them in lockstep.

    Args:
        plan: what holds for all of them.
        jobs: the episodes.
        envs: gives an environment of its own to each job.
        actor: decides for all running episodes at once.
    """
    rollouts = []
    for job in jobs:
        env = envs(job)
        first = env.reset(job.seed)
        recorder = Recorder(env.spec, keep_frames=bool(plan.frames_purpose))
        recorder.start(first)
        rollouts.append(Rollout(job, env, first, recorder))
    actor.begin(rollouts)
    running = list(rollouts)
    while running:
        for rollout, (action, label) in zip(running, actor.decide(running), strict=True):
            step = rollout.advance(action, label)
            actor.observe(rollout, action, step)
            rollout.last = step
        running = [rollout for rollout in running if not rollout.finished(plan)]
    return [rollout.episode(plan) for rollout in rollouts]
