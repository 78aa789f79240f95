"""`robocache groot tiny | verify | export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from robocache.cli.output import console
from robocache.core.errors import ConfigError, StorageError
from robocache.policies.groot_n16.stages import Stage


def tiny(folder: Path, state_size: int, action_size: int, seed: int) -> dict[str, Any]:
    """Write a tiny checkpoint, and say what can be done with it.

    Raises:
        StorageError: it cannot be written.
    """
    from robocache.policies.groot_n16.tiny import write_tiny

    try:
        weights = write_tiny(folder, state_size=state_size, action_size=action_size, seed=seed)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error}") from error
    place = shlex.quote(str(folder))
    next_commands = [
        f"robocache groot load {place}",
        f"robocache train dataset=path/to/gr1 policy=groot_gr1 policy.network.base={place} "
        f"policy.network.dtype=float32 policy.network.tune_top_llm_layers=1 trainer.steps=20 "
        f"trainer.batch_size=8 --name gr1-tiny",
    ]
    console.print(f"{weights:,} random weights in {folder}; it can do nothing yet. Next:")
    for command in next_commands:
        console.print(f"  {command}", markup=False)
    return {"folder": folder, "parameters": weights, "next": next_commands}


def verify(oracle: Path | None, tokenizer: Path | None, without_tokens: bool) -> dict[str, Any]:
    """Compare with an oracle and print every stage; `passed` where all is within its bound."""
    from robocache.policies.groot_n16 import verify as comparing

    oracle = comparing.require_oracle(oracle)
    found = comparing.verify(oracle, tokenizer)
    _print_stages(found.stages, found.not_run)
    failing = found.failing
    passed = not failing and (without_tokens or not found.not_run)
    largest = found.largest
    console.print(
        f"{len(found.stages) - len(failing)} of {len(found.stages)} stages within their bounds; "
        f"the largest error of these is {largest.error:.1e} ({largest.name})"
    )
    for stage in failing:
        text = escape(f"{stage.name}: {stage.error:.2e}, at most {stage.bound:.1e} {stage.detail}")
        console.print(f"[red]DIFFERS[/red] {text}")
    if found.not_run:
        names = ", ".join(found.not_run)
        console.print(f"not run, for lack of a tokenizer: {names}; give --tokenizer FOLDER")
    return {
        "oracle": oracle,
        "passed": passed,
        "failing": [stage.name for stage in failing],
        "not_run": list(found.not_run),
        "largest_error": largest.error,
        "stages": [
            {
                "name": stage.name,
                "error": stage.error,
                "bound": stage.bound,
                "passed": stage.passed,
                "detail": stage.detail,
            }
            for stage in found.stages
        ],
    }


def export(text: str, folder: Path, max_shard_gb: float) -> dict[str, Any]:
    """Write a policy as a checkpoint that the public code can load.

    Raises:
        CheckpointError, IntegrityError: the policy is damaged, or the folder holds a checkpoint.
        ConfigError: there is no such policy, or it is no GR00T.
        StorageError: it cannot be written.
    """
    from robocache.cli.policies import sound_checkpoint
    from robocache.policies import load_policy
    from robocache.policies.groot_n16.checkpoint import LICENSE_NOTICE, read_checkpoint
    from robocache.policies.groot_n16.export import export as write
    from robocache.policies.groot_n16.policy import GrootPolicy
    from robocache.runs import RunStore

    path, sha256 = sound_checkpoint(RunStore(), text)
    policy = load_policy(path)
    if not isinstance(policy, GrootPolicy):
        raise ConfigError(f"{text} is a policy of kind {policy.kind!r}; only GR00T is exported")
    write(policy, folder, max(1, int(max_shard_gb * 1e9)))
    written = read_checkpoint(folder)
    console.print(LICENSE_NOTICE)
    console.print(
        f"{folder}: {len(written.tensors)} tensors, {written.bytes / 1e9:.2f} GB, embodiments "
        f"{', '.join(policy.robots)}"
    )
    return {
        "folder": folder,
        "checkpoint": sha256,
        "bytes": written.bytes,
        "embodiments": list(policy.robots),
    }


def _print_stages(stages: tuple[Stage, ...], not_run: tuple[str, ...]) -> None:
    table = Table(
        "stage", Column("error", justify="right"), Column("bound", justify="right"), "", box=None
    )
    for stage in stages:
        mark = "" if stage.passed else "[red]DIFFERS[/red]"
        table.add_row(escape(stage.name), f"{stage.error:.1e}", f"{stage.bound:.1e}", mark)
    for name in not_run:
        table.add_row(escape(name), "not run", "", "")
    console.print(table)
