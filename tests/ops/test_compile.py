"""Every Triton kernel compiles to machine code of the cards that are meant, without a card."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import robocache.ops
from robocache.ops import backends

ARCHES = (80, 90, 100)


def test_every_kernel_compiles(tmp_path: Path) -> None:
    if not backends.has_triton():
        pytest.skip("triton is not installed")
    names = [
        found.name
        for found in pkgutil.walk_packages(robocache.ops.__path__, "robocache.ops.")
        if found.name.endswith(".triton")
    ]
    assert "robocache.ops.resample.triton" in names and "robocache.ops.align.triton" in names
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("compile_kernels.py"), *map(str, ARCHES)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    sizes = {(module, name, int(arch)): int(size) for module, name, arch, size in rows}
    expected = {
        (module, name, arch)
        for module in names
        for name, *_ in importlib.import_module(module).VARIANTS
        for arch in ARCHES
    }
    assert set(sizes) == expected and min(sizes.values()) > 0
