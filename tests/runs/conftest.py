"""Fixtures of the run store's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgres_server import postgres

from robocache.runs.database import DATABASE_VARIABLE

__all__ = ["postgres"]


@pytest.fixture(autouse=True)
def outside_of_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of tests do not hold the changes of the checkout that the tests are in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs on either database; its name."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        monkeypatch.setenv(DATABASE_VARIABLE, server.new_database())
    return request.param
