"""make_env: built-in names, names from elsewhere, and helpful refusals."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from robocache.core import plugins
from robocache.core.errors import ConfigError
from robocache.envs import make_env

MODULE = """
class Toy:
    def __init__(self, size=1):
        self.spec, self.instruction, self.size = "spec", "do", size
    def reset(self, seed): ...
    def step(self, action): ...
    def close(self): ...

class Half:
    def reset(self, seed): ...
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "toy_registry_env.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "toy_registry_env"


def test_by_module_and_by_entry_point(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_env(f"{toy}:Toy", size=3).size == 3  # type: ignore[attr-defined]
    point = EntryPoint("toy", f"{toy}:Toy", "robocache.envs")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    assert make_env("toy").size == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("metaworld/drawer-opne", {}, "did you mean 'metaworld/drawer-open'"),
        ("metaworld/reach", {"max_step": 3}, "did you mean 'max_steps'"),
        ("toy_registry_env:Toi", {}, "did you mean 'Toy'"),
        ("toy_registry_env:Half", {}, "Half without spec, instruction, step, close"),
        ("no_such_module_here:Env", {}, "cannot import"),
    ],
)
def test_refusals(toy: str, name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(name, **options)
