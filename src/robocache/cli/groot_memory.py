"""`robocache groot memory`: what a training setting needs of a graphics card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from robocache.cli.configuration import load
from robocache.cli.output import console
from robocache.cli.train_config import TrainConfig
from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies.groot_n16.activations import Arithmetic
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.layer_costs import Pass
from robocache.policies.groot_n16.memory import (
    ALLOCATOR_SHARE,
    ASSUMPTIONS,
    CARDS_GB,
    CUDA_BYTES,
    Budget,
    training_budget,
)
from robocache.policies.groot_n16.settings import GrootSettings


def memory(
    overrides: Sequence[str],
    *,
    base: Path | None,
    batch: int | None,
    views: int | None,
    text_tokens: int,
) -> dict[str, Any]:
    """Print the budget of a setting of `train`, term by term.

    Args:
        overrides: as `train` takes them.
        base: a checkpoint, or its config.json; None: the released size.
        batch: samples of one part of a batch; None: as the trainer's settings say, else 1.
        views: pictures of a sample; None: as the preset says.
        text_tokens: of a prompt beside its pictures.

    Raises:
        ConfigError: a setting is unknown or cannot be used.
        CheckpointError: the base is no GR00T N1.6.
    """
    trained = _settings(overrides)
    policy = trained.policy
    if policy is None or not isinstance(policy.network, GrootSettings):
        raise ConfigError("groot memory is about GR00T: give policy=groot_... or leave it out")
    trainer = trained.trainer
    if batch is None:
        told = any(text.startswith(("trainer=", "trainer.batch_size")) for text in overrides)
        batch = -(-trainer.batch_size // trainer.accumulate) if told else 1
    robots = policy.network.embodiments
    windows = policy.network.windows(policy.inputs, policy.action, policy.rate_hz).values()
    steps = max(len(view.offsets_s) for window in windows for view in window.inputs)
    through = Pass(
        batch=batch,
        views=views or steps * max(len(robot.video) for robot in robots.values()),
        text_tokens=text_tokens,
        state_steps=steps,
        arithmetic=Arithmetic(autocast=trainer.amp),
    )
    config = GrootConfig() if base is None else read_config(base)
    budget = training_budget(config, policy.network, through, averaged=trainer.ema_decay > 0)
    _print(budget, through, policy.network)
    return {
        "setting": {
            "batch": through.batch,
            "views": through.views,
            "text_tokens": through.text_tokens,
            "lora": policy.network.lora,
            "gradient_checkpointing": policy.network.gradient_checkpointing,
            "dtype": policy.network.dtype,
            "amp": trainer.amp,
            "ema": trainer.ema_decay > 0,
        },
        "parameters": budget.parameters,
        "training": budget.training,
        "terms": {name: size for name, size, _ in terms(budget)},
        "activations": dict(budget.activations),
        "tensors": budget.tensors,
        "total": budget.total,
        "fits": {f"{card} GB": budget.fits(card) for card in CARDS_GB},
        "assumptions": list(ASSUMPTIONS),
    }


def terms(budget: Budget) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and explanation of what the total is the sum of."""
    yield "frozen weights", budget.frozen, f"{budget.parameters - budget.training:,} parameters"
    yield "trained weights", budget.trained, f"{budget.training:,} parameters, float32"
    yield "optimizer", budget.optimizer, "AdamW: two float32 for each of these"
    yield "average", budget.average, "trainer.ema_decay=0 keeps none"
    yield (
        "activations and gradients",
        budget.passing,
        "at the worst moment; one by one below",
    )
    yield "allocator", budget.allocator, f"{ALLOCATOR_SHARE:.0%} of the above, taken"
    yield "CUDA", CUDA_BYTES, "context and workspaces, taken"


def read_config(base: Path) -> GrootConfig:
    """The sizes of a checkpoint; no weights are looked at.

    Raises:
        CheckpointError: there is none, or it is of another model.
    """
    path = base / "config.json" if base.is_dir() else base
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as a config.json: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no object")
    return GrootConfig.from_json(data)


def _settings(overrides: Sequence[str]) -> TrainConfig:
    """The settings of `train`, without what has nothing to do with memory."""
    given = [text for text in overrides if not text.startswith("trainer.device=")]
    names = {text.lstrip("+").partition("=")[0] for text in given}
    if "policy" not in names:
        given.insert(0, "policy=groot_gr1")
    if "policy.network.base" not in names:
        given.append("policy.network.base=released")
    if not names & {"dataset", "mixture"}:
        given.append("dataset=none")
    config, _ = load("train", TrainConfig, given)
    return config


def _print(budget: Budget, through: Pass, settings: GrootSettings) -> None:
    console.print(
        f"{budget.training:,} of {budget.parameters:,} parameters train; batch {through.batch}, "
        f"{through.views} views, {through.text_tokens} tokens of text, "
        f"{'with' if settings.gradient_checkpointing else 'without'} gradient checkpointing"
    )
    table = Table("term", Column("GB", justify="right"), "", box=None)
    for name, size, why in terms(budget):
        table.add_row(name, _gb(size), why)
    table.add_row("[bold]total[/bold]", f"[bold]{_gb(budget.total)}[/bold]", "")
    table.add_section()
    for part, size in budget.activations.items():
        table.add_row(f"kept: {part}", _gb(size), "")
    table.add_row("kept: bfloat16 copies", _gb(budget.copies), "of float32 matrices")
    table.add_row("all gradients", _gb(budget.gradients), "")
    console.print(table)
    fits = [f"{card} GB" for card in CARDS_GB if budget.fits(card)]
    console.print(
        f"fits into cards of {', '.join(fits)}" if fits else "fits into none of the cards"
    )
    console.print("assumed: " + ";\n  ".join(ASSUMPTIONS))


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f}"
