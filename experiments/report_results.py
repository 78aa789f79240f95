"""Results of an experiment as JSON, with the machine and versions they were made on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from robocache.runs.machine import memory_bytes, package_versions, processor


def save(name: str, results: dict[str, Any]) -> None:
    """Write experiments/results/<name>.json."""
    record = {
        **results,
        "machine": {"cpu": processor(), "memory_bytes": memory_bytes()},
        "torch_threads": torch.get_num_threads(),
        "packages": package_versions(),
    }
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
