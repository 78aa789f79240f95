"""A package to be compared with, in an environment and a process of its own.

`make_environment` makes the environment once, `Peer` starts a script in it and keeps it, and the
script calls `serve`. Requests and answers are JSON, one line each. Standard library only, so that
the script can import this file in an environment that has nothing of this project.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def make_environment(folder: Path, installs: Sequence[Sequence[str]]) -> Path:
    """The interpreter of the environment in `folder`, which is made if it is not there.

    Args:
        folder: where the environment is, or shall be.
        installs: the arguments of one `pip install` each, run in this order.
    """
    python = folder / "bin" / "python"
    done = folder / "installed.json"
    if python.is_file() and (done.is_file() or not installs):
        return python
    if not python.is_file():
        venv.create(folder, with_pip=True)
    for wanted in installs:
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    done.write_text(json.dumps([list(wanted) for wanted in installs], indent=2) + "\n")
    return python


class Peer:
    """A script that runs in another interpreter and answers one request at a time.

        with Peer(python, "rlds_peer.py") as peer:
            answer = peer.ask("epoch", batch=32)

    What the script prints itself goes to standard error.
    """

    def __init__(
        self, python: Path, script: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, action: str, **values: Any) -> dict[str, Any]:
        """What the script's function `action` returns for `values`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps({"action": action, "values": values}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit(f"the peer ended with {self._process.wait()} while asked: {action}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the script: it ends when its standard input does."""
        self._process.communicate()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(actions: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Answer requests on standard input until it ends; the script's side of `Peer`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not end up between the answers
    for line in sys.stdin:
        request = json.loads(line)
        found = actions[request["action"]](**request["values"])
        answers.write(json.dumps(dict(found)) + "\n")
        answers.flush()
