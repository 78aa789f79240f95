"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined: before it is imported


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with sample datasets in their real formats, beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the sample datasets (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def groot_oracle() -> Path:
    """Folder with tensors of the public GR00T N1.6 model: $GROOT_ORACLE, or the shared one."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "oracles" / "groot_n16"
    folder = Path(os.environ.get("GROOT_ORACLE", beside))
    if not (folder / "full.safetensors").is_file():
        pytest.skip("no GR00T oracle: set GROOT_ORACLE, or place it at ../shared/oracles/groot_n16")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a run store of its own."""
    folder = tmp_path / "robocache-home"
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder
