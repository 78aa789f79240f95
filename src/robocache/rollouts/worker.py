"""What one worker process does: make a batch of episodes and leave them in one durable shard."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from robocache.core.env import Env
from robocache.core.episode import Episode, episode_hash
from robocache.core.policy import Policy
from robocache.datasets.shards import SUFFIX, write_shard
from robocache.envs import make_env
from robocache.envs.sensors import SensorSuite
from robocache.policies import load_to_act, make_policy
from robocache.rollouts.actors import ExpertActor, PolicyActor
from robocache.rollouts.plan import Job, RolloutPlan
from robocache.rollouts.rollout import Actor, run_episodes
from robocache.runs import LedgerRow


@dataclass(frozen=True)
class PolicySource:
    """Where a worker finds the policy: a checkpoint folder, or the name of one from outside.

    Attributes:
        device: where the network of a checkpoint computes.
    """

    checkpoint: Path | None = None
    name: str | None = None
    device: str = "cpu"

    def load(self) -> Policy:
        if self.checkpoint is not None:
            return load_to_act(self.checkpoint, self.device)
        assert self.name is not None
        return make_policy(self.name)[0]


class Worker:
    """Keeps environments and the policy between batches.

    Args:
        plan: what holds for all episodes.
        folder: where shards go.
        policy: who acts; None: the environment's expert.
    """

    def __init__(self, plan: RolloutPlan, folder: Path, policy: PolicySource | None) -> None:
        self._plan = plan
        self._folder = folder
        self._actor: Actor = (
            ExpertActor(plan.expert_noise) if policy is None else PolicyActor(policy.load())
        )
        self._envs: dict[str, list[Env]] = {}

    def episodes(self, jobs: Sequence[Job]) -> list[Episode]:
        """Make these episodes."""
        used: dict[str, int] = {}

        def env_for(job: Job) -> Env:
            number = used.get(job.task, 0)
            used[job.task] = number + 1
            pool = self._envs.setdefault(job.task, [])
            if number == len(pool):
                pool.append(self._make(job.task))
            return pool[number]

        with one_thread():
            return run_episodes(self._plan, jobs, env_for, self._actor)

    def write(self, jobs: Sequence[Job]) -> list[LedgerRow]:
        """Make these episodes, write them, and return the rows for the ledger."""
        episodes = self.episodes(jobs)
        shard = self._folder / f"{secrets.token_hex(8)}{SUFFIX}"
        write_shard(shard, episodes)
        return [ledger_row(shard, episode) for episode in episodes]

    def _make(self, task: str) -> Env:
        env: Env = make_env(task, **self._plan.env_options)
        if not self._plan.latency and self._plan.randomization is None:
            return env
        return SensorSuite(env, self._plan.latency, self._plan.randomization)


def ledger_row(shard: Path, episode: Episode) -> LedgerRow:
    """What the ledger keeps of an episode in a shard."""
    provenance, outcome = episode.provenance, episode.outcome
    return LedgerRow(
        key=episode.key,
        shard=shard.name,
        sha256=episode_hash(episode),
        success=outcome.success,
        steps=outcome.steps,
        task=provenance.task,
        seed=provenance.seed,
        index=provenance.index,
        details=dict(outcome.details),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, because other counts may give other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_make: Callable[[], Worker] | None = None
_worker: Worker | None = None


def start(make: Callable[[], Worker]) -> None:
    """Prepare a process of the pool: deaf to Ctrl-C, which the parent handles, but not without it.

    A worker whose parent was killed must not write on beside the one that takes over.
    """
    global _make
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make = make


def work(jobs: Sequence[Job]) -> list[LedgerRow]:
    """One batch, in a process of the pool."""
    global _worker
    if _worker is None:  # made here, so that what goes wrong reaches the parent as it is
        assert _make is not None
        _worker = _make()
    return _worker.write(jobs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
