"""Fixtures of the tests of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import robocache

import tiny
from processes import ROOT

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
for folder in (ROOT, DATASETS):  # the examples, and what writes small datasets
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@pytest.fixture(autouse=True)
def outside_of_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of tests do not hold the changes of the checkout that the tests are in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with demonstrations and a trained policy."""
    home = tmp_path_factory.mktemp("road") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        patch.chdir(home.parent)
        for arguments in (tiny.COLLECT, tiny.LONG):
            said = robocache(*arguments)
            assert said.code == 0, said.err
    return home
