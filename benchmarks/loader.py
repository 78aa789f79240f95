"""What the loader costs: training samples per second fed by it, and fed from memory.

    python benchmarks/loader.py

One FlowPolicy (preset `policy=flow`) takes the training loop's optimizer steps. One side gets its
batches from WindowTable and WindowSampler, the other cycles through batches made beforehand.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from demonstrations import preset, record
from measure import arguments, interleave, publish, rates, ratio

from robocache.datasets import Batch, WindowSampler
from robocache.envs.metaworld import MT10
from robocache.learning import TrainerConfig
from robocache.learning.engine.ema import WeightAverage
from robocache.policies import FlowPolicy
from robocache.policies.draws import Draws
from robocache.policies.trainable import mean_loss

HELD_BATCHES = 32
TARGET = 0.9


def main() -> None:
    parser = arguments(__doc__, rounds=40)
    parser.add_argument("--tasks", nargs="+", default=[f"metaworld/{task}" for task in MT10])
    parser.add_argument("--episodes", type=int, default=10, help="demonstrations per task")
    parser.add_argument("--steps", type=int, default=5, help="optimizer steps per round and side")
    parser.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        dataset = record(Path(scratch) / "data", args.tasks, args.episodes)
        start = time.perf_counter()
        config, policy, table = preset(dataset)
        prepared_s = time.perf_counter() - start
    size = config.trainer.batch_size
    sampler = WindowSampler(table, size, seed=0)
    held = [next(sampler) for _ in range(HELD_BATCHES)]
    optimize = optimizer_step(policy.train(), config.trainer)
    feeds: dict[str, Iterator[Batch]] = {"loader": sampler, "memory": itertools.cycle(held)}

    def side(feed: Iterator[Batch]) -> Callable[[], float]:
        def run() -> float:
            began = time.perf_counter()
            for _ in range(args.steps):
                optimize(next(feed))
            return time.perf_counter() - began

        return run

    seconds = interleave({name: side(feed) for name, feed in feeds.items()}, args.rounds)
    measured = ratio(seconds["memory"], seconds["loader"])
    publish(
        args,
        {
            "measures": "training samples per second, fed by the loader and fed from memory",
            "episodes": len(dataset.keys()),
            "windows": len(table),
            "inputs": [view.stream for view in policy.inputs],
            "parameters": sum(p.numel() for p in policy.parameters()),
            "batch_size": sampler.batch_size,
            "steps_per_round": args.steps,
            "torch_threads": torch.get_num_threads(),
            "seconds_to_read_align_and_make_statistics": round(prepared_s, 2),
            "samples_per_s": rates(seconds, sampler.batch_size * args.steps),
            "loader_over_memory": measured,
            "target": TARGET,
            "target_met": measured["median"] >= TARGET,
        },
        seconds=seconds,
        peers={"loader": "memory"},
    )


def optimizer_step(policy: FlowPolicy, config: TrainerConfig) -> Callable[[Batch], None]:
    """One step as in `robocache.learning.imitation.train`."""
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average = WeightAverage(policy, config.ema_decay)
    draws = Draws.seeded(0)

    def step(batch: Batch) -> None:
        loss = mean_loss(policy, batch, draws)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), config.clip_norm)
        optimizer.step()
        average.update(policy)

    return step


if __name__ == "__main__":
    main()
