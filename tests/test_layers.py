"""The import contracts hold, and each of them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = "from importlinter.cli import lint_imports_command as run; run()"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources and of the contracts."""
    shutil.copytree(
        ROOT / "src" / "robocache",
        tmp_path / "robocache",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(checkout: Path) -> tuple[int, str]:
    """Exit status and output of import-linter run on the copy."""
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_contracts_hold(checkout: Path) -> None:
    status, output = lint_imports(checkout)
    assert status == 0, output
    assert "0 broken" in output


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/planted.py", "import robocache.runs.files", "imports go downwards only"),
        ("ops/planted.py", "import robocache.datasets", "imports go downwards only"),
        ("ops/planted.py", "import robocache.runs.files", "imports go downwards only"),
        ("core/planted.py", "def f():\n    import torch", "core knows numpy only"),
        ("serving/planted.py", "import robocache.datasets", "serving knows no datasets"),
        ("serving/planted.py", "import robocache.learning", "imports go downwards only"),
        ("runs/planted.py", "import mujoco", "runs knows neither torch nor simulators"),
    ],
)
def test_a_planted_violation_is_found(
    checkout: Path, module: str, line: str, contract: str
) -> None:
    (checkout / "robocache" / module).write_text(line + "\n")
    status, output = lint_imports(checkout)
    assert status == 1
    assert f"{contract} BROKEN" in output
    assert "planted" in output


def test_a_room_that_is_not_on_the_map_is_found(checkout: Path) -> None:
    room = checkout / "robocache" / "planted"
    room.mkdir()
    (room / "__init__.py").touch()
    status, output = lint_imports(checkout)
    assert status == 1
    assert "imports go downwards only BROKEN" in output
    assert "robocache.planted" in output
