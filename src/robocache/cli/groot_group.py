"""`robocache groot ...`: GR00T N1.6, its checkpoints, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robocache.cli.options import PROBLEMS, Json, Overrides
from robocache.cli.output import conclude

groot_app = typer.Typer(
    no_args_is_help=True, help="GR00T N1.6: checkpoints, parity, memory, export."
)


@groot_app.command("tiny")
def groot_tiny(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="To be made.")],
    state_size: Annotated[int, typer.Option(min=1, help="Numbers states are padded to.")] = 64,
    action_size: Annotated[int, typer.Option(min=1, help="Numbers actions are padded to.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    json: Json = False,
) -> None:
    """Write a GR00T N1.6 of half a million random weights, to try everything on a laptop.

    robocache groot tiny tiny-groot
    """
    from robocache.cli.groot import tiny as run

    conclude("groot tiny", run(folder, state_size, action_size, seed))


@groot_app.command("verify")
def groot_verify(
    oracle: Annotated[
        Path | None,
        typer.Option(
            "--oracle", metavar="FOLDER", envvar="GROOT_ORACLE", help="Tensors of the public model."
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FOLDER", help="Qwen2's; else that of the oracle."),
    ] = None,
    without_tokens: Annotated[
        bool, typer.Option("--without-tokens", help="No tokenizer at hand is no problem.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare every stage with tensors of the public model: exit code 4 names those that differ.

    robocache groot verify --oracle oracles/groot_n16 --tokenizer qwen2_tokenizer
    """
    from robocache.cli.groot import verify as run

    result = run(oracle, tokenizer, without_tokens)
    conclude("groot verify", result, 0 if result["passed"] else PROBLEMS)


@groot_app.command("load")
def groot_load(
    checkpoint: Annotated[
        str, typer.Argument(metavar="PATH_OR_HUB_ID", help="A folder, or owner/name on the hub.")
    ],
    device: Annotated[str, typer.Option(help="Where the weights go: cpu, cuda, cuda:1.")] = "cpu",
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32; else as they are stored.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only the checks.")] = False,
    json: Json = False,
) -> None:
    """Check a checkpoint before loading it, then load it: exit code 4 where something is wrong.

    robocache groot load nvidia/GR00T-N1.6-3B --device cuda

    robocache groot load path/to/checkpoint --dry-run
    """
    from robocache.cli.groot_load import load as run

    result = run(checkpoint, device, dtype, dry_run)
    conclude("groot load", result, PROBLEMS if result["problems"] else 0)


@groot_app.command("export")
def groot_export(
    policy: Annotated[
        str, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Run, run@step, folder or hash.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="To be made.")],
    max_shard_gb: Annotated[
        float, typer.Option(min=0.000001, help="Largest file of weights, in GB.")
    ] = 5.0,
    json: Json = False,
) -> None:
    """Write a fine-tuned policy as a checkpoint that the public code can load.

    robocache groot export my-run exported
    """
    from robocache.cli.groot import export as run

    conclude("groot export", run(policy, folder, max_shard_gb))


@groot_app.command("memory")
def groot_memory(
    overrides: Overrides = None,
    base: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A checkpoint or config.json; else the released size."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples at once; else of trainer.*, else 1.")
    ] = None,
    views: Annotated[
        int | None, typer.Option(min=1, help="Pictures of a sample; else of the preset.")
    ] = None,
    text_tokens: Annotated[int, typer.Option(min=1, help="Of a prompt without pictures.")] = 37,
    json: Json = False,
) -> None:
    """What a setting of training needs of a graphics card, term by term, and what is assumed.

    robocache groot memory --batch 8 'policy.network.lora={rank: 16}'

    robocache groot memory policy=groot_libero policy.network.gradient_checkpointing=true
    """
    from robocache.cli.groot_memory import memory as run

    result = run(overrides or [], base=base, batch=batch, views=views, text_tokens=text_tokens)
    conclude("groot memory", result)
