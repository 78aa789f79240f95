"""Arguments and options that several verbs share, and the exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

ERROR, PROBLEMS, USAGE, UNFORESEEN, INTERRUPTED, UNREAD = 3, 4, 64, 70, 130, 141
VERDICTS = {"accepted": 0, "rejected": 1, "inconclusive": 2}

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings and presets.")
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the run; else made from the settings.")
]
Slot = Annotated[str | None, typer.Option("--slot", help="Judge under the rule of this slot.")]
Json = Annotated[
    bool, typer.Option("--json", help="Lines of JSON: progress, then the result or the error.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would go.")]
OnError = Annotated[
    str, typer.Option("--on-error", help="raise at a damaged episode, or skip such episodes.")
]
