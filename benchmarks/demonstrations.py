"""Material for the measurements: recorded demonstrations and the policy of the `flow` preset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robocache.cli.configuration import load
from robocache.cli.train import prepare
from robocache.cli.train_config import TrainConfig
from robocache.cli.training_data import TrainingData
from robocache.datasets import EpisodeStore, WindowTable, write_shard
from robocache.envs import make_env
from robocache.policies import FlowPolicy
from robocache.rollouts import RolloutPlan, Worker


def record(folder: Path, tasks: Sequence[str], episodes: int) -> EpisodeStore:
    """Demonstrations of the scripted experts, as `robocache collect` makes them."""
    plan = RolloutPlan(
        tasks=tuple(tasks),
        episodes=episodes,
        seed=0,
        purpose="collect",
        actor="expert",
        env_version=simulator(tasks[0]),
        expert_noise=0.1,
        steps_after_success=10,
    )
    folder.mkdir(parents=True)
    recorded = Worker(plan, folder, None).episodes(plan.jobs())
    write_shard(folder / "demonstrations.episodes.parquet", recorded)
    return EpisodeStore(folder)


def simulator(task: str) -> str:
    """Version of the simulator of a task."""
    env = make_env(task)
    env.close()
    return env.spec.version


def preset(dataset: EpisodeStore) -> tuple[TrainConfig, FlowPolicy, WindowTable]:
    """What `robocache train` would begin with on this dataset."""
    config, _ = load("train", TrainConfig, [f"dataset={dataset.path}"])
    data = TrainingData({"demonstrations": dataset}, {"demonstrations": dataset.keys()})
    policy, table = prepare(config, data, 0, None)
    assert isinstance(table, WindowTable)
    return config, policy, table
