"""Fixtures of tests that go through several rooms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from processes import ROOT

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # the examples


@pytest.fixture(autouse=True)
def outside_of_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of tests do not hold the changes of the checkout that the tests are in."""
    monkeypatch.chdir(tmp_path)
