"""Where the run store lives: `$ROBOCACHE_HOME`, or `~/.robocache`.

robocache.db    run store, ledger, registry
runs/<id>/      one folder a run
datasets/       collected and converted datasets
cache/          caches of windows, indexes, statistics, remote datasets by version
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The absolute path of the store's folder; it need not exist yet."""
    text = os.environ.get("ROBOCACHE_HOME") or "~/.robocache"
    return Path(text).expanduser().absolute()


def runs_folder() -> Path:
    return home() / "runs"


def datasets_folder() -> Path:
    return home() / "datasets"


def database_path() -> Path:
    return home() / "robocache.db"


def portable(path: Path) -> str:
    """`path` as it is kept in the database: relative when it is below `home()`."""
    path, root = path.resolve(), home().resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def located(text: str) -> Path:
    """The path that `portable` made `text` of; follows the home when it is moved."""
    return home() / text
