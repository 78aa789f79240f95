"""`robocache groot ...`: GR00T N1.6, its checkpoints, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robocache.cli.options import PROBLEMS, Json
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
