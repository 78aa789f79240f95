"""Imitation: a policy learns to predict demonstrated actions. The loop is `train`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, PolicyError
from robocache.core.policy import EvaluationCallback
from robocache.core.seeding import derive_seed
from robocache.datasets import Batch, Loader
from robocache.learning.engine.checkpoint import read_training_state, write_training_state
from robocache.learning.engine.ema import WeightAverage
from robocache.learning.engine.processes import Processes
from robocache.learning.engine.schedule import cosine_with_warmup
from robocache.learning.engine.trace import TRACE_NAME, Trace
from robocache.learning.randomized import BatchRandomizer
from robocache.policies import TrainablePolicy
from robocache.policies.device import require_device
from robocache.policies.draws import Draws
from robocache.policies.trainable import as_module
from robocache.runs import (
    Run,
    RunStore,
    StopRequest,
    checkpoint_folder,
    latest_checkpoint,
    verify_checkpoint,
)

ALONE = Processes()
Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a line of figures."""


@dataclass(frozen=True)
class TrainerConfig:
    """How a policy is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: windows per step, of all processes together.
        accumulate: parts that each process takes its windows in, one after the other; less memory,
            the same gradient but for rounding.
        learning_rate: peak, reached after warm-up.
        warmup_steps: steps of linear warm-up, before the cosine to zero.
        weight_decay: AdamW's.
        clip_norm: largest norm of the gradient.
        ema_decay: weight of the past in the averaged weights; 0: no average is kept.
        checkpoint_every: steps between checkpoints; the last step always has one.
        keep_at: further steps at which a checkpoint is made.
        evaluate_every: steps between calls of the evaluation callback; 0: never.
        log_every: steps between lines of metrics.jsonl.
        device: "cpu" or "cuda".
        amp: bfloat16 autocast, weights that are trained stay float32; on CUDA only.
        threads: torch threads on the CPU; 0 leaves torch's own choice. Part of what makes a run
            repeatable: other counts give other bits.
    """

    steps: int = 2000
    batch_size: int = 256
    accumulate: int = 1
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
        for name in ("steps", "batch_size", "accumulate", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        require_device(self.device)


GROOT_TRAINER = TrainerConfig(
    steps=10_000,
    batch_size=64,
    learning_rate=1e-4,
    warmup_steps=500,
    weight_decay=1e-5,
    ema_decay=0.0,
    checkpoint_every=1000,
)
"""What the public code fine-tunes GR00T N1.6 with; preset `trainer=groot`."""


def train(
    policy: TrainablePolicy,
    loader: Loader,
    config: TrainerConfig,
    *,
    run: Run | None,
    store: RunStore,
    seed: int,
    progress: Progress | None = None,
    evaluate: EvaluationCallback | None = None,
    randomize: BatchRandomizer | None = None,
    processes: Processes = ALONE,
) -> Path:
    """Train until `config.steps`, from the run's last checkpoint if it has one.

    Stopped at any moment and called again with the same arguments, it ends with the same bits (same
    machine, same thread count). All noise of step n follows from (seed, n).

    Args:
        run: None in all processes but the first.
        randomize: changes pictures and ranges of every batch, on the device.
        processes: which of how many this is; `loader` hands out its part of every batch.

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
    module = as_module(policy).to(device).train()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average = WeightAverage(policy.learned(), config.ema_decay)
    folder = processes.share(None if run is None else run.folder)
    step = 0
    start = latest_checkpoint(folder)
    if start is not None:
        verify_checkpoint(start)
        state = read_training_state(start, policy, average, optimizer)
        loader.load_state_dict(state["sampler"])
        step = state["step"]
    processes.share(step)  # none writes the next checkpoint before all have read this one
    trace = None
    if run is not None:
        run.rewind_metrics(step)
        trace = Trace(run.folder / TRACE_NAME, step)

    def save() -> Path:
        path = checkpoint_folder(folder, step)
        state = {"step": step, "sampler": loader.state_dict(), "seed": seed}
        if run is not None:
            store.write_checkpoint(
                run,
                path,
                step,
                lambda place: write_training_state(place, policy, average, optimizer, state),
            )
        return processes.share(path)

    clock = time.monotonic()
    counted = step
    with StopRequest() as stop:
        while step < config.steps:
            batch = next(loader).to(device)
            if randomize is not None:
                first = step * config.batch_size + processes.rank * len(batch.index)
                batch = randomize(batch, first)
            rate = cosine_with_warmup(
                step,
                peak=config.learning_rate,
                warmup_steps=config.warmup_steps,
                steps=config.steps,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            loss = add_gradients(policy, batch, config, processes, seed=seed, step=step)
            processes.sum(weight.grad for weight in weights if weight.grad is not None)
            norm = torch.nn.utils.clip_grad_norm_(weights, config.clip_norm)
            optimizer.step()
            average.update(policy.learned())
            step += 1
            if trace is not None:
                trace.add(step, batch.index, loss, norm)

            last, stopping = step == config.steps, processes.any(stop.requested)
            judging = evaluate is not None and is_due(step, config.evaluate_every)
            saving = is_due(step, config.checkpoint_every) or step in config.keep_at
            saving = saving or judging or last or stopping
            logging = is_due(step, config.log_every) or last
            if saving or logging:
                if trace is not None:
                    trace.flush()
                figures = {"loss": loss.item(), "gradient_norm": norm.item(), "learning_rate": rate}
                require_finite(figures, step)
            if logging and run is not None:
                now = time.monotonic()
                speed = (step - counted) * loader.batch_size / max(now - clock, 1e-9)
                clock, counted = now, step
                run.log_metrics(step, **figures, samples_per_s=speed)
                if progress is not None:
                    progress(step, config.steps, f"loss {loss.item():.4f}  {speed:,.0f} samples/s")
            if saving:
                path = save()
                if judging and evaluate is not None and run is not None:
                    run.log_metrics(step, **evaluate(path, step))
            if stopping and not last:
                raise KeyboardInterrupt
    return checkpoint_folder(folder, config.steps)


def add_gradients(
    policy: TrainablePolicy,
    batch: Batch,
    config: TrainerConfig,
    processes: Processes = ALONE,
    *,
    seed: int,
    step: int,
) -> Tensor:
    """Add to the weights' gradients what this process contributes to the mean over the batch.

    Noise is that of the whole batch, drawn from (seed, step), whatever its parts; dropout is drawn
    from (seed, part, step), with parts counted over all processes.

    Returns:
        () float32 loss of the whole batch.
    """
    weight = policy.loss_weight(batch)
    processes.sum([weight])
    loss = torch.zeros((), device=batch.actions.device)
    noise_seed = derive_seed(seed, "imitation", 0, step)
    row, total = processes.rank * len(batch.index), processes.count * len(batch.index)
    for number, part in enumerate(batch.split(config.accumulate)):
        place = processes.rank * config.accumulate + number
        torch.manual_seed(derive_seed(seed, "dropout", place, step))
        draws = Draws.seeded(noise_seed, row, total)
        row += len(part.index)
        with torch.autocast(
            part.actions.device.type,
            torch.bfloat16,
            enabled=config.amp and part.actions.device.type == "cuda",
        ):
            share = policy.summed_loss(part, draws) / weight
        share.backward()  # type: ignore[no-untyped-call]
        loss += share.detach()
    processes.sum([loss])
    return loss


def require_finite(figures: Mapping[str, float], step: int) -> None:
    """Raise PolicyError where a loss or gradient is no longer a number."""
    if not math.isfinite(figures["loss"] + figures["gradient_norm"]):
        raise PolicyError(
            f"step {step}: the loss is {figures['loss']}, the gradient's norm "
            f"{figures['gradient_norm']}; the checkpoints before are sound, try a lower "
            f"trainer.learning_rate"
        )


def is_due(step: int, every: int) -> bool:
    """Whether something done every so many steps is done after this one; 0: never."""
    return every > 0 and step % every == 0
