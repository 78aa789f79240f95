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
DomainRandomization = Annotated[
    bool,
    typer.Option("--domain-randomization", help="The same as the setting sim_to_real=standard."),
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
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A folder, a file, a URI, or a collection's name.")
]
Destination = Annotated[str, typer.Argument(metavar="NEW", help="Folder to be made.")]
To = Annotated[
    str | None, typer.Option("--to", help="lerobot (v3.0) or episodes; else as the source is.")
]
Fps = Annotated[
    float | None, typer.Option("--fps", help="Rate of rows in LeRobot; else that of the actions.")
]
ReaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="For its reader, e.g. split=val; may be repeated."
    ),
]


def with_preset(overrides: list[str] | None, domain_randomization: bool) -> list[str]:
    """Settings, with that of `--domain-randomization` first, so that others go over it."""
    preset = ["sim_to_real=standard"] if domain_randomization else []
    return [*preset, *(overrides or [])]
