"""Imitation: a policy learns to predict demonstrated actions. The loop is `train`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from robocache.core.errors import ConfigError, PolicyError
from robocache.core.policy import EvaluationCallback
from robocache.core.seeding import derive_seed
from robocache.datasets import Loader
from robocache.learning.engine.checkpoint import read_training_state, write_training_state
from robocache.learning.engine.ema import WeightAverage
from robocache.learning.engine.schedule import cosine_with_warmup
from robocache.learning.engine.trace import TRACE_NAME, Trace
from robocache.policies import FlowPolicy
from robocache.runs import (
    Run,
    RunStore,
    StopRequest,
    checkpoint_folder,
    latest_checkpoint,
    verify_checkpoint,
)

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a line of figures."""


@dataclass(frozen=True)
class TrainerConfig:
    """How a policy is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: windows per step.
        learning_rate: peak, reached after warm-up.
        warmup_steps: steps of linear warm-up, before the cosine to zero.
        weight_decay: AdamW's.
        clip_norm: largest norm of the gradient.
        ema_decay: weight of the past in the averaged weights.
        checkpoint_every: steps between checkpoints; the last step always has one.
        keep_at: further steps at which a checkpoint is made.
        evaluate_every: steps between calls of the evaluation callback; 0: never.
        log_every: steps between lines of metrics.jsonl.
        device: "cpu" or "cuda".
        amp: bfloat16 autocast; on CUDA only.
        threads: torch threads on the CPU; 0 leaves torch's own choice. Part of what makes a run
            repeatable: other counts give other bits.
    """

    steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    checkpoint_every: int = 500
    keep_at: tuple[int, ...] = ()
    evaluate_every: int = 0
    log_every: int = 20
    device: str = "cpu"
    amp: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.checkpoint_every < 1:
            raise ConfigError("steps, batch_size and checkpoint_every must be at least 1")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError("device=cuda was asked for, but torch sees no CUDA device")


def train(
    policy: FlowPolicy,
    loader: Loader,
    config: TrainerConfig,
    *,
    run: Run,
    store: RunStore,
    seed: int,
    progress: Progress | None = None,
    evaluate: EvaluationCallback | None = None,
) -> Path:
    """Train until `config.steps`, from the run's last checkpoint if it has one.

    Stopped at any moment and called again with the same arguments, it ends with the same bits (same
    machine, same thread count). All noise of step n follows from (seed, n).

    Returns:
        The folder of the final checkpoint.

    Raises:
        KeyboardInterrupt: Ctrl-C; the step was finished and a checkpoint written.
        PolicyError: the loss is no longer finite; no checkpoint holds such weights.
        CheckpointError: the last checkpoint is damaged.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    policy.to(device).train()
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average = WeightAverage(policy, config.ema_decay)
    step = 0
    start = latest_checkpoint(run.folder)
    if start is not None:
        verify_checkpoint(start)
        state = read_training_state(start, policy, average, optimizer)
        loader.load_state_dict(state["sampler"])
        step = state["step"]
    run.rewind_metrics(step)
    trace = Trace(run.folder / TRACE_NAME, step)

    def save() -> Path:
        path = checkpoint_folder(run.folder, step)
        state = {"step": step, "sampler": loader.state_dict(), "seed": seed}
        store.write_checkpoint(
            run,
            path,
            step,
            lambda folder: write_training_state(folder, policy, average, optimizer, state),
        )
        return path

    clock = time.monotonic()
    counted = step
    with StopRequest() as stop:
        while step < config.steps:
            batch = next(loader).to(device)
            rate = cosine_with_warmup(
                step,
                peak=config.learning_rate,
                warmup_steps=config.warmup_steps,
                steps=config.steps,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            random = torch.Generator().manual_seed(derive_seed(seed, "imitation", 0, step))
            with torch.autocast(
                device.type, torch.bfloat16, enabled=config.amp and device.type == "cuda"
            ):
                loss = policy.loss(batch, random)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), config.clip_norm)
            optimizer.step()
            average.update(policy)
            step += 1
            trace.add(step, batch.index, loss, norm)

            last, stopping = step == config.steps, stop.requested
            judging = evaluate is not None and is_due(step, config.evaluate_every)
            saving = is_due(step, config.checkpoint_every) or step in config.keep_at
            saving = saving or judging or last or stopping
            logging = is_due(step, config.log_every) or last
            if saving or logging:
                trace.flush()
                figures = {"loss": loss.item(), "gradient_norm": norm.item(), "learning_rate": rate}
                if not math.isfinite(figures["loss"] + figures["gradient_norm"]):
                    raise PolicyError(
                        f"step {step}: the loss is {figures['loss']}, the gradient's norm "
                        f"{figures['gradient_norm']}; the checkpoints before are sound, try a "
                        f"lower trainer.learning_rate"
                    )
            if logging:
                now = time.monotonic()
                speed = (step - counted) * loader.batch_size / max(now - clock, 1e-9)
                clock, counted = now, step
                run.log_metrics(step, **figures, samples_per_s=speed)
                if progress is not None:
                    progress(step, config.steps, f"loss {loss.item():.4f}  {speed:,.0f} samples/s")
            if saving:
                path = save()
                if judging and evaluate is not None:
                    run.log_metrics(step, **evaluate(path, step))
            if stopping and not last:
                raise KeyboardInterrupt
    return checkpoint_folder(run.folder, config.steps)


def is_due(step: int, every: int) -> bool:
    """Whether something done every so many steps is done after this one; 0: never."""
    return every > 0 and step % every == 0
