"""GR00T N1.6 with random weights: how long an answer takes, and how many samples train a second.

    python benchmarks/groot_inference.py
    python benchmarks/groot_inference.py --compiled
    python benchmarks/groot_inference.py --released --device cuda --compiled

Sides, in seconds of one call at batch 1: `act` from pictures to actions, and of it `backbone` and
`steps` (all steps from noise to actions); `act compiled` and `steps compiled`; and training steps,
`train 8` with what trains by default and `train 8 lora`, for each of `--batches`. Tiny weights on
the CPU unless asked otherwise; prompts are of bytes, so they are longer than those of words.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from groot_material import HORIZON, TAG, TEXT, make_policy
from measure import arguments, interleave, publish

from robocache.datasets import WindowTable
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.compiled import CompiledVelocity
from robocache.policies.groot_n16.encoding import encode
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.trainable import mean_loss


def main() -> None:
    parser = arguments(__doc__, rounds=20)
    parser.add_argument("--released", action="store_true", help="weights of the released size")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--flow-steps", type=int, default=4)
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32], help="of training")
    args = parser.parse_args()
    seconds, figures = acting(args)
    trained = training(args, seconds)
    peers = {f"{name} compiled": name for name in ("act", "steps") if f"{name} compiled" in seconds}
    publish(
        args,
        {**figures, "training": trained, "device": device_name(args.device)},
        seconds=seconds,
        peers=peers,
    )


def acting(args: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of every side at batch 1, and what was asked."""
    policy, table = policy_of(args, lora=False)
    policy.only_act()
    values = {name: value[0].numpy() for name, value in table.batch(np.array([0])).values.items()}
    sample = policy.robot.sample(values, TEXT)
    model, device = policy.model, policy.model.device
    inputs = encode(policy.processor, [sample], [TAG], None, device)
    config = model.config
    noise = torch.randn(1, config.action_horizon, config.max_action_dim).to(device)
    velocities = {"": None}
    if args.compiled:
        velocities[" compiled"] = CompiledVelocity(model.action_head)

    @torch.inference_mode()
    def backbone() -> Any:
        return model.context(model.encode(inputs))

    context = backbone()

    def steps(velocity: Any) -> Callable[[], Any]:
        @torch.inference_mode()
        def run() -> Any:
            return model.sample(
                context, inputs.state, inputs.embodiment_id, noise, args.flow_steps, velocity
            )

        return run

    def act(velocity: Any) -> Callable[[], Any]:
        def run() -> Any:
            policy.actor.velocity = velocity
            return policy.predict([sample], [1])[0]["arm"]

        return run

    calls: dict[str, Callable[[], Any]] = {"backbone": backbone}
    for name, velocity in velocities.items():
        calls |= {f"steps{name}": steps(velocity), f"act{name}": act(velocity)}
    compare({name: call() for name, call in calls.items() if name.startswith("act")})
    seconds = interleave({n: timed(c, args.device) for n, c in calls.items()}, args.rounds)
    return seconds, {"prompt_tokens": inputs.input_ids.shape[1], "horizon": HORIZON}


def compare(answers: Mapping[str, Any]) -> None:
    """All ways to act give the same actions, up to the rounding of bfloat16."""
    expected = answers["act"]
    for name, found in answers.items():
        if np.abs(found - expected).max() > 0.05 * np.abs(expected).max():
            raise SystemExit(f"{name} gives other actions than act")


def training(
    args: argparse.Namespace, seconds: dict[str, list[float]]
) -> dict[str, dict[str, float | None]]:
    """Samples per second and peak bytes on the device of every kind of training step."""
    found: dict[str, dict[str, float | None]] = {}
    for lora in (False, True):
        for size in args.batches:
            name = f"train {size}{' lora' if lora else ''}"
            free()
            try:
                seconds[name], peak = train_steps(args, size, lora)
            except torch.OutOfMemoryError:
                found[name] = {"samples_per_s": None, "peak_bytes": None}
                continue
            rate = round(size / statistics.median(seconds[name]), 2)
            found[name] = {"samples_per_s": rate, "peak_bytes": peak}
    return found


def train_steps(args: argparse.Namespace, size: int, lora: bool) -> tuple[list[float], int | None]:
    """Seconds of steps of AdamW at a batch size, and peak bytes on CUDA."""
    policy, table = policy_of(args, lora=lora)
    policy.train()
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5, fused=True)
    batch = table.batch(np.arange(size) % len(table))
    cuda = args.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16, enabled=cuda):
            loss = mean_loss(policy, batch.to(policy.model.device), Draws.seeded(0))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    measured = interleave({"step": timed(step, args.device)}, args.rounds)["step"]
    return measured, torch.cuda.max_memory_allocated() if cuda else None


def policy_of(args: argparse.Namespace, *, lora: bool) -> tuple[GrootPolicy, WindowTable]:
    return make_policy(
        released=args.released,
        views=args.views,
        flow_steps=args.flow_steps,
        device=args.device,
        dtype=args.dtype,
        lora=lora,
    )


def timed(call: Callable[[], Any], device: str) -> Callable[[], float]:
    """Seconds of a call, until the device is done with it."""

    def run() -> float:
        began = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return run


def free() -> None:
    """Give back what the network before took."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


if __name__ == "__main__":
    main()
