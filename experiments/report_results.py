"""Results of an experiment as JSON, with the machine and versions they were made on."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from robocache.runs import collect_manifest


def save(name: str, results: dict[str, Any]) -> None:
    """Write experiments/results/<name>.json."""
    manifest = collect_manifest("experiment", {"name": name}, threads={})
    record = {
        "cpu": manifest["machine"].get("cpu") if isinstance(manifest.get("machine"), dict) else "",
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("torch", "numpy", "mujoco", "metaworld")},
        "threads": torch.get_num_threads(),
        **results,
    }
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
