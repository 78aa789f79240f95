"""What sensors cost: environment steps per second with and without them.

    python benchmarks/env_steps.py --task drawer-open --rounds 7

Both environments are driven by the same actions, an expert's, recorded beforehand.
"""

from __future__ import annotations

import functools
import time

import numpy as np
from measure import arguments, interleave, publish, rates, ratio
from numpy.typing import NDArray

from robocache.envs.metaworld import STATE_SENSORS, MetaWorldConfig, MetaWorldEnv


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--task", default="drawer-open")
    parser.add_argument("--steps", type=int, default=110)
    parser.add_argument("--episodes", type=int, default=4, help="episodes per round and side")
    parser.add_argument("--sensors", nargs="*", default=list(STATE_SENSORS))
    args = parser.parse_args()
    envs = {
        name: MetaWorldEnv(MetaWorldConfig(task=args.task, max_steps=args.steps, sensors=sensors))
        for name, sensors in (("without", ()), ("with", tuple(args.sensors)))
    }
    plans = [expert_actions(envs["without"], seed, args.steps) for seed in range(args.episodes)]
    sides = {name: functools.partial(round_s, env, plans) for name, env in envs.items()}
    seconds = interleave(sides, args.rounds)
    publish(
        args,
        {
            "measures": "environment steps per second, with and without sensors",
            "task": args.task,
            "simulator": envs["with"].spec.version,
            "sensors": args.sensors,
            "steps_per_round": args.steps * args.episodes,
            "steps_per_s": rates(seconds, args.steps * args.episodes),
            "speed_with_over_without": ratio(seconds["without"], seconds["with"]),
        },
        seconds=seconds,
        peers={"with": "without"},
    )


def expert_actions(env: MetaWorldEnv, seed: int, steps: int) -> list[NDArray[np.float32]]:
    env.reset(seed)
    actions = []
    for _ in range(steps):
        actions.append(env.expert_action())
        env.step(actions[-1])
    return actions


def round_s(env: MetaWorldEnv, plans: list[list[NDArray[np.float32]]]) -> float:
    """Seconds spent in `step`; resets are not counted."""
    spent = 0.0
    for seed, actions in enumerate(plans):
        env.reset(seed)
        start = time.perf_counter()
        for action in actions:
            env.step(action)
        spent += time.perf_counter() - start
    return spent


if __name__ == "__main__":
    main()
