"""What a simulator is made of besides its code: meshes, textures and models, by one hash."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from robocache.runs import sha256_directory


def simulator_assets(tasks: Sequence[str]) -> dict[str, str]:
    """Simulator -> hash of the names and contents of its asset files, for those that have any.

    Args:
        tasks: environment names, as `make_env` takes them.
    """
    if not any(task.startswith("metaworld/") for task in tasks):
        return {}
    spec = importlib.util.find_spec("metaworld")
    if spec is None or spec.origin is None:
        return {}
    return {"metaworld": sha256_directory(Path(spec.origin).parent / "assets")}
