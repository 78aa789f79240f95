"""Who acts: a scripted expert with noise, or a policy asked in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Expert, Samples, Step
from robocache.core.errors import ConfigError, PolicyError
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed, generator
from robocache.datasets.alignment import LiveAligner
from robocache.rollouts.recorder import action_spec
from robocache.rollouts.rollout import Decision, Rollout


class ExpertActor:
    """The environment's scripted expert; noise goes on what is executed, the label stays clean.

    Args:
        noise: standard deviation of the noise, in units of the action.
    """

    def __init__(self, noise: float) -> None:
        self._noise = noise

    def begin(self, rollouts: Sequence[Rollout]) -> None:
        for rollout in rollouts:
            if not isinstance(rollout.env, Expert):
                raise ConfigError(f"{rollout.env.spec.name} has no scripted expert")
            rollout.random = generator(rollout.job.seed, "expert-noise")

    def decide(self, rollouts: Sequence[Rollout]) -> list[Decision]:
        decisions: list[Decision] = []
        for rollout in rollouts:
            assert isinstance(rollout.env, Expert)
            label = rollout.env.expert_action()
            spec = rollout.env.spec
            noise = self._noise * rollout.random.standard_normal(label.shape)
            action = np.clip(label + noise, spec.action_low, spec.action_high).astype(np.float32)
            decisions.append((action, label))
        return decisions

    def observe(self, rollout: Rollout, action: NDArray[np.float32], step: Step) -> None:
        return None


class PolicyActor:
    """A policy with a receding horizon: asked again when `execute_steps` actions are used up."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def begin(self, rollouts: Sequence[Rollout]) -> None:
        for rollout in rollouts:
            spec = rollout.env.spec
            specs = {**spec.streams, "action": action_spec(spec)}
            rollout.aligner = LiveAligner(self._policy.inputs, specs)
            for name, samples in rollout.last.samples.items():
                rollout.aligner.push(name, samples)

    def decide(self, rollouts: Sequence[Rollout]) -> list[Decision]:
        asking = [rollout for rollout in rollouts if not rollout.queue]
        if asking:
            chunks = self._policy.act(
                [r.aligner.observe(r.last.now_s, r.env.instruction) for r in asking],
                [derive_seed(r.job.seed, "policy", 0, r.steps) for r in asking],
            )
            if len(chunks) != len(asking):
                raise PolicyError(
                    f"the policy returned {len(chunks)} chunks for {len(asking)} observations "
                    f"(episodes {asking[0].job.key} to {asking[-1].job.key})"
                )
            for rollout, chunk in zip(asking, chunks, strict=True):
                rollout.queue.extend(self._checked(rollout, chunk.actions))
        return [(rollout.queue.popleft(), None) for rollout in rollouts]

    def observe(self, rollout: Rollout, action: NDArray[np.float32], step: Step) -> None:
        for name, samples in step.samples.items():
            rollout.aligner.push(name, samples)
        given = np.array([rollout.last.now_s])
        rollout.aligner.push("action", Samples(action[None], given, np.array([step.now_s])))

    def _checked(self, rollout: Rollout, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        spec = rollout.env.spec
        place = f"episode {rollout.job.key}, step {rollout.steps}"
        if np.ndim(actions) != 2 or actions.shape[1:] != spec.action_low.shape or not len(actions):
            raise PolicyError(
                f"{place}: a chunk must be (H, {spec.action_low.shape[0]}) with H >= 1, "
                f"the policy returned {np.shape(actions)}"
            )
        if not np.isfinite(actions).all():
            raise PolicyError(f"{place}: the policy returned NaN or infinity")
        kept = actions[: self._policy.execute_steps].astype(np.float32)
        return np.clip(kept, spec.action_low, spec.action_high)
