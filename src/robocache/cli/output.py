"""What the command line says: text for people, or with `--json` a line of JSON for each event.

Events on the standard output: `progress` (about once a second), then one `result`; or `error`, or
`stopped` after Ctrl-C. The consoles are silent meanwhile, so verbs print without asking who reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError  # rich would exit with status 1, which reads as "rejected"


console = _Console(highlight=False, soft_wrap=True)
errors = _Console(highlight=False, soft_wrap=True, stderr=True)
_silent = False


def use_json(wanted: bool) -> None:
    """Speak in events from now on, or in text."""
    console.quiet = errors.quiet = wanted


def be_silent() -> None:
    """Say nothing but errors: another process of the same command speaks."""
    global _silent
    _silent = console.quiet = True


def in_json() -> bool:
    return console.quiet and not _silent


def tell(event: str, **fields: Any) -> None:
    """Print an event; nothing while text is wanted."""
    if not in_json():
        return
    from robocache.runs.plain import plain

    print(json.dumps({"event": event, **plain(fields)}), flush=True)  # noqa: T201


def conclude(verb: str, result: Mapping[str, Any], code: int = 0) -> None:
    """The end of a verb: its result as an event, and its exit code."""
    tell("result", verb=verb, **result)
    if code:
        raise typer.Exit(code)
