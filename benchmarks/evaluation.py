"""What lockstep brings: evaluation episodes per second, many at once and one at a time.

    python benchmarks/evaluation.py

One process and one torch thread, as in a worker of `robocache eval`; one plan, one FlowPolicy
(preset `policy=flow`, untrained: its cost does not depend on its weights). Episodes are cut at
--max-steps. Both ways must give the same bits: outcome and content hash of every episode are
compared, and a difference ends the script with an error. Writing episodes is not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from demonstrations import preset, record, simulator
from measure import arguments, interleave, publish, rates, ratio

from robocache.core.episode import Episode, episode_hash
from robocache.core.errors import PolicyError
from robocache.envs.metaworld import MT10
from robocache.policies import save_policy
from robocache.rollouts import Job, PolicySource, RolloutPlan, Worker


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--tasks", nargs="+", default=[f"metaworld/{task}" for task in MT10])
    parser.add_argument("--episodes", type=int, default=2, help="per task, round and side")
    parser.add_argument("--max-steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=20, help="episodes in lockstep")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        dataset = record(Path(scratch) / "data", args.tasks, 1)
        _, policy, _ = preset(dataset)
        save_policy(Path(scratch), policy, policy.state_dict())
        plan = RolloutPlan(
            tasks=tuple(args.tasks),
            episodes=args.episodes,
            seed=1,
            purpose="evaluate",
            actor="untrained",
            env_version=simulator(args.tasks[0]),
            env_options={"phrases": "held_out", "max_steps": args.max_steps},
        )
        jobs = plan.jobs()
        sizes = {"in_lockstep": args.batch, "one_at_a_time": 1}
        made: dict[str, list[Episode]] = {}
        sides = {
            name: side(Worker(plan, Path(), PolicySource(Path(scratch))), jobs, size, name, made)
            for name, size in sizes.items()
        }
        seconds = interleave(sides, args.rounds)
    hashes = [(e.outcome, episode_hash(e)) for e in made["in_lockstep"]]
    if hashes != [(e.outcome, episode_hash(e)) for e in made["one_at_a_time"]]:
        raise PolicyError("episodes made in lockstep differ from those made one at a time")
    publish(
        args,
        {
            "measures": "evaluation episodes per second in one process",
            "tasks": args.tasks,
            "simulator": plan.env_version,
            "policy": "FlowPolicy of the preset policy=flow, untrained",
            "max_steps": args.max_steps,
            "episodes_per_round": len(jobs),
            "steps_per_round": sum(e.outcome.steps for e in made["in_lockstep"]),
            "episodes_in_lockstep": args.batch,
            "torch_threads": torch.get_num_threads(),
            "episodes_per_s": rates(seconds, len(jobs)),
            "speed_in_lockstep_over_one_at_a_time": ratio(
                seconds["one_at_a_time"], seconds["in_lockstep"]
            ),
            "outcomes_and_hashes_identical": True,
        },
        seconds=seconds,
        peers={"in_lockstep": "one_at_a_time"},
    )


def side(
    worker: Worker, jobs: Sequence[Job], size: int, name: str, made: dict[str, list[Episode]]
) -> Callable[[], float]:
    """Makes all episodes `size` at a time, leaves them in `made`, and tells the seconds."""

    def run() -> float:
        began = time.perf_counter()
        made[name] = [
            episode
            for start in range(0, len(jobs), size)
            for episode in worker.episodes(jobs[start : start + size])
        ]
        return time.perf_counter() - began

    return run


if __name__ == "__main__":
    main()
