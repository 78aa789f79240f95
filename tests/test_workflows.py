"""Workflows of the hosting service call what there is here, and ask for no more than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_targets_of_the_makefile(file: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load(file.read_text())
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        commands = "\n".join(step.get("run", "") for step in job["steps"])
        for name, values in matrix.items():
            commands = commands.replace(f"${{{{ matrix.{name} }}}}", " ".join(values))
        called = {
            word for line in re.findall(r"^make (.+)$", commands, re.M) for word in line.split()
        }
        assert called and called <= targets
        assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_only_read(file: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load(file.read_text())
    assert set(workflow["permissions"].values()) == {"read"}
    assert workflow["concurrency"]["group"]


def test_all_workflows_use_the_same_version_of_an_action() -> None:
    used = {use for file in WORKFLOWS for use in re.findall(r"uses: (\S+)@", file.read_text())}
    pinned = {use for file in WORKFLOWS for use in re.findall(r"uses: (\S+@\S+)", file.read_text())}
    assert len(used) == len(pinned) >= 4
