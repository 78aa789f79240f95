"""The command line in this process: fast, for what needs no killing."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

import pytest

from robocache.cli.main import main
from robocache.cli.output import use_json


@dataclass(frozen=True)
class Said:
    """Exit code, and what was printed where."""

    code: int
    out: str
    err: str


def robocache(*arguments: str) -> Said:
    """Run `robocache` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        _main(patch, arguments)
    use_json(False)
    return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def _main(patch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    patch.setattr(sys, "argv", ["robocache", *arguments])
    main()
