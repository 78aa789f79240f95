"""Every Triton kernel compiles to machine code of the cards that are meant, without a card."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compile_kernels import modules, variants

from robocache.ops import backends

ARCHES = (80, 90, 100)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)])
def test_every_kernel_compiles(tmp_path: Path, every: bool) -> None:
    if not backends.has_triton():
        pytest.skip("triton is not installed")
    rooms = {name.split(".")[2] for name in modules()}
    assert rooms == {"align", "augment", "resample", "voxelize"}
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("compile_kernels.py")
    options = [*map(str, ARCHES), *(["--every"] if every else [])]
    done = subprocess.run(
        [sys.executable, script, *options], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    sizes = {(module, name, int(arch)): int(size) for module, name, arch, size in rows}
    expected = {
        (module, name, arch)
        for module in modules()
        for name, *_ in variants(module, every=every)
        for arch in ARCHES
    }
    assert set(sizes) == expected and min(sizes.values()) > 0
