"""What `import robocache` costs and offers."""

from __future__ import annotations

import subprocess
import sys

import robocache
import robocache.core

HEAVY = {"torch", "ray", "mujoco", "metaworld", "pyarrow", "sqlalchemy", "matplotlib"}


def test_import_is_light() -> None:
    code = "import robocache, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "robocache" in loaded and "numpy" in loaded
    assert not loaded & HEAVY


def test_public_names_are_exactly_what_is_importable() -> None:
    for module in (robocache, robocache.core):
        submodules = {
            name.split(".")[len(module.__name__.split("."))]
            for name in sys.modules
            if name.startswith(module.__name__ + ".")
        }
        public = {name for name in vars(module) if not name.startswith("_")} - submodules
        listed = set(module.__all__)
        assert listed - {"__version__"} == public
        assert all(hasattr(module, name) for name in listed)
        assert sorted(listed) == sorted(module.__all__)
