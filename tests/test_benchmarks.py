"""The scripts in `benchmarks/` run, and write results that can be compared."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from processes import ROOT
from robocache.cli.bench_results import read_result
from robocache.cli.revisions import script_names

REACH = ["--tasks", "metaworld/reach"]
TINY = {
    "align": ["--widths", "8"],
    "augment": ["--count", "2", "--side", "16"],
    "dataset_memory": ["--epochs", "7", "--only", "calvin"],
    "dataset_open": ["--episodes", "40", "--shards", "4"],
    "lerobot_open": ["--episodes", "20"],
    "env_steps": ["--steps", "20", "--episodes", "1"],
    "evaluation": [*REACH, "--episodes", "2", "--max-steps", "10", "--batch", "2"],
    "evidence": [*REACH, "--demonstrations=1", "--steps=5", "--layouts=1", "--max-steps=10"],
    "groot_features": ["--batch-size", "2", "--views", "1"],
    "groot_inference": ["--batches", "1", "--views", "1"],
    "loader": [*REACH, "--episodes", "1", "--steps", "1", "--threads", "1"],
    "resample": ["--cases", "0", "7"],
    "report": [*REACH, "--steps=5", "--layouts=1", "--max-steps=10", "--workers=0"],
    "runs_ls": ["--runs", "20"],
    "serving": ["--clients", "2", "--requests", "2", "--size", "16", "--hidden", "16"],
}


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that all scripts share."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("measure")


def published(measure: ModuleType, out: Path, **figures: Any) -> dict[str, Any]:
    measure.publish(
        argparse.Namespace(rounds=2, out=out, episodes=3),
        figures,
        seconds={"ours": [1.0, 3.0], "theirs": [2.0, 2.0]},
        peers={"ours": "theirs"},
    )
    data: dict[str, Any] = json.loads(out.read_text())
    return data


def test_a_published_result_can_be_read(measure: ModuleType, tmp_path: Path) -> None:
    data = published(measure, tmp_path / "new" / "result.json", measures="something")
    result = read_result(tmp_path / "new" / "result.json")
    assert result.times() == {"ours": [1.0, 3.0], "theirs": [2.0, 2.0]}
    assert result.ratios() == {"ours / theirs": [0.5, 1.5]}
    assert result.settings == {"episodes": 3}
    assert data["medians_s"] == {"ours": 2.0, "theirs": 2.0}
    assert data["measures"] == "something" and data["rounds"] == 2
    assert {"numpy", "torch"} <= result.software.keys() and "setuptools" not in result.software
    assert result.hardware["cpu"]["count"] == os.cpu_count()


def test_sides_take_turns_and_the_first_round_does_not_count(measure: ModuleType) -> None:
    calls: list[str] = []

    def side(name: str) -> Callable[[], float]:
        def run() -> float:
            calls.append(name)
            return float(len(calls))

        return run

    seconds = measure.interleave({"a": side("a"), "b": side("b")}, 2)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert seconds == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_ratio_and_rates_are_medians(measure: ModuleType) -> None:
    assert measure.ratio([1.0, 9.0, 3.0], [1.0, 3.0, 2.0]) == {"median": 1.5, "range": [1.0, 3.0]}
    assert measure.rates({"side": [2.0, 1.0, 4.0]}, 10) == {"side": 5.0}


def test_every_script_is_tried_here() -> None:
    assert set(script_names(ROOT)) == set(TINY)


def test_the_tables_of_the_docs_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    tables = importlib.import_module("ops_table").tables(ROOT / "benchmarks" / "results")
    page = (ROOT / "docs" / "ops.md").read_text()
    assert len(tables) == 3
    assert [table for table in tables if table not in page] == []


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_script_names_its_options(name: str) -> None:
    """Read, not run: importing torch for each would take seconds."""
    text = (ROOT / "benchmarks" / f"{name}.py").read_text()
    options = [option.partition("=")[0] for option in TINY[name] if option.startswith("--")]
    assert all(f'"{option}"' in text for option in options)


def test_everything_that_makes_evidence_is_timed(measure: ModuleType) -> None:
    """A function that was renamed would be missed."""
    evidence = importlib.import_module("evidence")
    names = [(owner, name) for owner, group in evidence.EVIDENCE for name in group]
    assert all(callable(getattr(owner, name)) for owner, name in [*names, evidence.PRODUCT])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["groot_features", "groot_inference"])
def test_groot_is_measured_on_cuda(name: str, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", "--rounds", "1", "--device=cuda"]
    done = subprocess.run(
        [*command, *TINY[name]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["settings"]["device"] == "cuda"
    if name == "groot_inference":
        assert all(one["peak_bytes"] > 0 for one in result["training"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TINY))
def test_a_script_runs_and_its_result_can_be_read(name: str, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", "--rounds", "1", "--out", out]
    done = subprocess.run(
        [*command, *TINY[name]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = read_result(out)
    assert result.benchmark == name
    assert all(len(values) == 1 for values in result.times().values())
    assert result.times().keys() >= {*result.peers, *result.peers.values()}
    assert json.loads(done.stdout) == json.loads(out.read_text())
