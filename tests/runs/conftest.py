"""Fixtures of the run store's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def outside_of_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of tests do not hold the changes of the checkout that the tests are in."""
    monkeypatch.chdir(tmp_path)
