"""The demo on the point environment: once, again, and with other tasks in the same home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Said, robocache

import tiny
from robocache.cli import demo
from robocache.runs import Registry, RunStore

OTHER = "troubled_env:TroubledEnv"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's own steps, in this process and with a policy for the point environment."""

    def add(name: str, *settings: str) -> None:
        verb: Callable[..., Any] = getattr(demo, name)
        at = 2 if name == "evaluate_closed_loop" else 0

        def smaller(*given: Any, **options: Any) -> Any:
            overrides = [*given[at], *settings]
            return verb(*given[:at], overrides, *given[at + 1 :], **options)

        monkeypatch.setattr(demo, name, smaller)

    add("collect", "expert_noise=0.3", "workers=0")
    add("train_all", *tiny.POLICY, "trainer.warmup_steps=20")
    add("evaluate_closed_loop", "workers=0")


def played(tasks: str, layouts: int = 20) -> Said:
    return robocache(
        "demo", "--tasks", tasks, "--episodes=20", "--steps=150", f"--layouts={layouts}"
    )


def moves(slot: str) -> list[str]:
    """Runs and steps that held a slot, oldest first."""
    return [move.path.name for move in Registry(RunStore().engine).history(slot)]


@pytest.mark.usefixtures("small")
def test_the_demo_again_and_with_other_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "FLOOR", 0.01)
    first = played(tiny.TASK)
    assert first.code == 0, first.err
    slot = "demo-examples.point-env-PointEnv"
    assert f"$ robocache slots declare {slot} tasks=[{tiny.TASK}] episodes=20" in first.out
    assert first.out.index("slots declare") < first.out.index("robocache collect")
    assert moves(slot) == ["step-00000015", "step-00000150"]
    assert "verdict   accepted" in first.out
    assert f"slot      promoted: {slot} version 2" in first.out
    (page,) = tmp_path.rglob("report*.html")
    assert page.stat().st_size > 10_000

    monkeypatch.setattr(demo, "write_comparison", lambda *page, **content: None)
    runs = RunStore().runs()
    again = played(tiny.TASK)
    assert again.code == 0, again.err
    assert f"slot      it holds {slot} already: promoted: {slot} version 2" in again.out
    assert RunStore().runs() == runs and len(moves(slot)) == 2

    more = played(tiny.TASK, layouts=25)
    assert more.code == 0 and "rule 2 of" in more.out, more.err
    assert f"it holds {slot} already" in more.out

    other = played(OTHER)
    assert other.code == 0, other.err
    assert moves("demo-troubled-env-TroubledEnv") == ["step-00000015", "step-00000150"]
    assert len(moves(slot)) == 2


@pytest.mark.usefixtures("small")
def test_nobody_is_promoted_below_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FLOOR", 0.83)
    said = played(tiny.TASK)
    assert said.code == 0, said.err
    assert "not promoted: checkpoint" in said.out and "the floor of 83 %" in said.out


def test_too_few_layouts_are_told_before_any_work() -> None:
    said = played(tiny.TASK, layouts=2)
    assert said.code == 3 and "floor 50 % is out of reach with 2 episodes" in said.err
    assert RunStore().runs() == []


def test_names_of_slots() -> None:
    assert demo.slot_name(["mt10"]) == "demo-mt10"
    assert demo.slot_name(["metaworld/reach", "metaworld/drawer-open"]) == (
        "demo-metaworld-reach-metaworld-drawer-open"
    )
    assert len(demo.slot_name(["metaworld/reach"] * 20)) == 64
