"""What sensors cost: environment steps per second with and without them.

    python benchmarks/env_steps.py --task drawer-open --rounds 7

Both environments run in this process, one episode of each in turn, driven by the same actions (an
expert's, recorded beforehand), so that a change of the machine's speed hits both. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from robocache.envs.metaworld import STATE_SENSORS, MetaWorldConfig, MetaWorldEnv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="drawer-open")
    parser.add_argument("--steps", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--episodes", type=int, default=4, help="episodes per round and side")
    parser.add_argument("--sensors", nargs="*", default=list(STATE_SENSORS))
    args = parser.parse_args()
    bare = MetaWorldEnv(MetaWorldConfig(task=args.task, max_steps=args.steps, sensors=()))
    full = MetaWorldEnv(
        MetaWorldConfig(task=args.task, max_steps=args.steps, sensors=tuple(args.sensors))
    )
    plans = [expert_actions(bare, seed, args.steps) for seed in range(args.episodes)]
    rates: dict[str, list[float]] = {"without": [], "with": []}
    for round_index in range(args.rounds + 1):
        spent = {"without": 0.0, "with": 0.0}
        for seed, actions in enumerate(plans):
            spent["without"] += episode_s(bare, seed, actions)
            spent["with"] += episode_s(full, seed, actions)
        if round_index:  # the first round warms up
            for side, seconds in spent.items():
                rates[side].append(args.steps * args.episodes / seconds)
    ratios = [slow / fast for fast, slow in zip(rates["without"], rates["with"], strict=True)]
    print(json.dumps(report(args, full, rates, ratios), indent=2))


def expert_actions(env: MetaWorldEnv, seed: int, steps: int) -> list[NDArray[np.float32]]:
    env.reset(seed)
    actions = []
    for _ in range(steps):
        actions.append(env.expert_action())
        env.step(actions[-1])
    return actions


def episode_s(env: MetaWorldEnv, seed: int, actions: list[NDArray[np.float32]]) -> float:
    env.reset(seed)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - start


def report(
    args: argparse.Namespace,
    env: MetaWorldEnv,
    rates: dict[str, list[float]],
    ratios: list[float],
) -> dict[str, object]:
    return {
        "task": args.task,
        "version": env.spec.version,
        "sensors": args.sensors,
        "rounds": args.rounds,
        "steps_per_round": args.steps * args.episodes,
        "steps_per_s_without": round(statistics.median(rates["without"]), 1),
        "steps_per_s_with": round(statistics.median(rates["with"]), 1),
        "speed_ratio": round(statistics.median(ratios), 4),
        "speed_ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "extra_time_share": round(1 / statistics.median(ratios) - 1, 4),
        "hardware": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
    }


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
