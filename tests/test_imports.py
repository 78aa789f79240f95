"""What `import robocache` costs and offers."""

from __future__ import annotations

import subprocess
import sys

import robocache
import robocache.core
import robocache.ops

HEAVY = {"numpy", "torch", "ray", "mujoco", "metaworld", "pyarrow", "sqlalchemy", "PIL"}


def test_import_is_light() -> None:
    code = "import robocache, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "robocache" in loaded
    assert not loaded & HEAVY


def test_listing_runs_is_light() -> None:
    """`runs ls` has half a second, most of which the interpreter needs to load things."""
    code = (
        "import sys, robocache.cli.main, robocache.cli.runs; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sqlalchemy" in loaded
    others = {"hydra", "scipy", "alembic", "psycopg"}
    assert not loaded & (HEAVY - {"sqlalchemy"} | others)


def test_public_names_are_exactly_what_is_importable() -> None:
    placed = [name for names in robocache.core._MODULES.values() for name in names]
    assert sorted(placed) == sorted(robocache.core.__all__)
    assert set(robocache.__all__) - {"__version__", *robocache._OPS} <= set(placed)
    assert set(robocache._OPS) <= set(robocache.ops.__all__)
    for module in (robocache, robocache.core):
        assert all(hasattr(module, name) for name in module.__all__)
        assert dir(module) == sorted(module.__all__)
        assert not hasattr(module, "Nonsense")
