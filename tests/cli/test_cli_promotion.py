"""Slots from the command line: a rule first, then episodes, then a verdict that is computed."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from command import robocache

import processes
import tiny
from robocache.runs import Ledger, Registry, RunStore
from troubled_env import trouble

RULE = (tiny.TASKS, "episodes=40", "floor=0.02")
STEER = "examples.point_policy:Steer"
EXACT = ("--slot=arm", "workers=0")
POOR = "short@12"
"""Solves 3 of the 40 layouts, and `long` all of them."""


@pytest.fixture(scope="module")
def declared(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the rule of slot `arm`, under which `long` and a poor policy were judged."""
    home = tmp_path_factory.mktemp("declared") / "home"
    shutil.copytree(road, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        patch.chdir(home.parent)
        for arguments in (
            tiny.SHORT,
            ("slots", "declare", "arm", *RULE),
            ("eval", "long", *EXACT),
            ("eval", POOR, *EXACT),
        ):
            said = robocache(*arguments)
            assert said.code == 0, said.err
    return home


@pytest.fixture
def home(declared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    shutil.copytree(declared, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def holder(slot: str = "arm") -> str | None:
    """Which run made what holds the slot."""
    store = RunStore()
    held = Registry(store.engine).holder(slot)
    maker = None if held is None else store.maker(held.checkpoint)
    return None if maker is None else maker.id


def test_first_the_floor_then_the_holder(home: Path) -> None:
    first = robocache("promote", "arm", POOR)
    assert first.code == 0, first.err
    assert "The slot is empty. On 40 episodes the candidate succeeded in" in first.out
    assert "above the floor of 2 %: accepted." in first.out
    assert "promoted: arm version 1 is checkpoint" in first.out and holder() == "short"
    again = robocache("promote", "arm", POOR)
    assert again.code == 3 and "holds slot 'arm' already" in again.err

    assert robocache("compare", "long", *EXACT).code == 0
    second = robocache("promote", "arm", "long")
    assert second.code == 0, second.err
    assert "The candidate is better at the 0.05 level: accepted." in second.out
    assert "comparisons of this pair" not in second.out, "looking twice is one attempt"
    assert holder() == "long"
    assert robocache("eval", "slot:arm", tiny.TASKS, "episodes=2", "workers=0").code == 0

    shown = robocache("slots", "show", "arm").out
    assert re.search(
        r"rule 1 of arm, by .*: 40 layouts of each of 1 tasks, seed 1, alpha 0.05", shown
    )
    assert "arm version 1" in shown and "arm version 2" in shown and "on verdict 2" in shown
    assert robocache("rollback", "arm").code == 0 and holder() == "short"
    assert "rolled back: arm version 3" in robocache("slots", "show").out
    nothing = robocache("rollback", "arm")
    assert nothing.code == 3 and "nothing to roll back to" in nothing.err


def test_the_poorer_policy_is_refused_with_the_numbers(home: Path) -> None:
    assert robocache("promote", "arm", "long").code == 0
    assert robocache("compare", POOR, *EXACT).code == 1
    refused = robocache("promote", "arm", POOR)
    assert refused.code == 3 and refused.out == ""
    numbers = (
        r"does not come to slot 'arm': On the same 40 episodes the candidate succeeded in \d+ "
        r"\(.*\) and the baseline in \d+ \(.*They disagreed on \d+.*p < 0.0001\).*worse.*rejected"
    )
    assert re.search(numbers, refused.err), refused.err
    assert holder() == "long"


def test_below_the_floor(home: Path) -> None:
    assert robocache("slots", "declare", "arm", *RULE[:2], "floor=0.9").code == 0
    assert robocache("compare", POOR, *EXACT).code == 1
    refused = robocache("promote", "arm", POOR)
    assert refused.code == 3 and "below the floor of 90 %: rejected." in refused.err
    assert holder() is None


def test_every_rule_wants_its_own_episodes(home: Path) -> None:
    """Also those of the holder, also where the layouts are the same."""
    assert robocache("promote", "arm", POOR).code == 0
    said = robocache("slots", "declare", "arm", *RULE[:2], "floor=0.3")
    assert said.code == 0 and "rule 2 of arm" in said.out
    assert "layouts of seed 1 were looked at before, by 2 evaluations" in said.out
    again = robocache("slots", "declare", "arm", *RULE[:2], "floor=0.3")
    assert "rule 2 of arm" in again.out and "looked at" not in again.out
    refused = robocache("promote", "arm", "long")
    assert refused.code == 3 and "not judged under rule 2 of slot 'arm': run " in refused.err
    asked = re.findall(r"robocache (eval \w+ --slot arm)", refused.err)[0]
    assert robocache(*asked.split(), "workers=0").code == 0
    held = robocache("promote", "arm", "long")
    assert held.code == 3 and "not judged under rule 2" in held.err
    assert robocache("eval", "slot:arm", *EXACT).code == 0
    moved = robocache("promote", "arm", "long")
    assert moved.code == 0, moved.err
    assert robocache("compare", "long", *EXACT).code == 3


def test_attempts_and_rivals_are_shown(home: Path) -> None:
    """Who tries often enough is accepted by chance; the move says how often it was tried."""
    early = ("long@1", *EXACT)
    assert robocache("promote", "arm", POOR).code == 0
    assert robocache("compare", *early).code in (1, 2)
    assert robocache("compare", "long", *EXACT).code == 0
    assert robocache("slots", "declare", "arm", *RULE, "seed=2").code == 0
    again = robocache("compare", "long", *EXACT)
    assert again.code == 0 and "Comparison 2 of this pair." in again.out
    moved = robocache("promote", "arm", "long")
    assert moved.code == 0
    assert (
        "(2 comparisons of this pair; 1 other candidate was tried against the same holder)"
        in moved.out
    )


def test_the_rule_sets_the_plan(home: Path) -> None:
    """Workers and batches change nothing; a run under another name is found again."""
    runs = len(RunStore().runs())
    named = robocache("eval", "long@1", *EXACT, "batch=7", "--name=early")
    assert named.code == 0, named.err
    for extra in (("batch=3", "workers=1"), ()):
        again = robocache("eval", "long@1", "--slot=arm", *extra)
        assert (again.code, again.out) == (0, named.out)
    assert len(RunStore().runs()) == runs + 1
    record = RunStore().get("early")
    assert record.config["rule"] == Registry(RunStore().engine).rule("arm").sha256
    assert record.config["plan"]["episodes"] == 40


def test_another_version_of_the_simulator(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes are refused rather than made otherwise; what is in the ledger still counts."""
    from examples.point_env import PointEnv

    made = PointEnv.__init__

    def newer(self: PointEnv, max_steps: int = 40) -> None:
        made(self, max_steps)
        self.spec = dataclasses.replace(self.spec, version="point 2")

    monkeypatch.setattr(PointEnv, "__init__", newer)
    before = len(RunStore().runs())
    refused = robocache("eval", "long@1", *EXACT)
    assert refused.code == 3
    assert "asks for env_version = 'point 1', here it is 'point 2': install" in refused.err
    assert len(RunStore().runs()) == before
    assert robocache("eval", "long", *EXACT).code == 0, "it was run with the right one"
    assert robocache("promote", "arm", "long").code == 0


def test_a_stopped_evaluation_is_no_evidence_until_it_is_continued(
    home: Path, tmp_path: Path
) -> None:
    rule = ("tasks=[troubled_env:TroubledEnv]", "episodes=12", "floor=0.02")
    assert robocache("slots", "declare", "leg", *rule).code == 0
    command = ("eval", "long", "--slot=leg", "workers=0", "batch=3")
    marker = tmp_path / "marker"
    ended = processes.run(command, home, variables=trouble(signal.SIGINT, "self", marker))
    assert ended.code == 130 and marker.exists()
    refused = robocache("promote", "leg", "long")
    assert refused.code == 3 and "is interrupted: run robocache eval" in refused.err
    assert robocache("eval", "long", "--slot=leg", "workers=0", "batch=5").code == 0
    (record,) = [r for r in RunStore().runs(verb="eval") if "troubled" in str(r.config)]
    rows = Ledger(RunStore().engine, record.id).rows()
    assert len(rows) == 12 and len({row.shard for row in rows}) > 2
    assert robocache("promote", "leg", "long").code == 0


def test_code_is_judged_but_never_promoted(home: Path) -> None:
    assert robocache("eval", STEER, *EXACT).code == 0
    for refused in (robocache("promote", "arm", STEER), robocache("compare", STEER, *EXACT)):
        assert refused.code == 3
        assert f"{STEER} is code, not a checkpoint" in refused.err
    record = RunStore().runs(verb="eval")[-1]
    manifest = json.loads((record.folder / "manifest.json").read_text())
    assert manifest["sources"] == {"policy": STEER}


def test_slots_of_a_store_without_rules(home: Path) -> None:
    """Such as an earlier version left: the holder is shown, and a rule is asked for."""
    from sqlalchemy import delete

    from robocache.runs.tables import rules

    assert robocache("promote", "arm", "long").code == 0
    with RunStore().engine.begin() as connection:
        connection.execute(delete(rules))
    shown = robocache("slots", "show")
    assert shown.code == 0 and "no rule" in shown.out and "arm version 1" in shown.out
    refused = robocache("promote", "arm", POOR)
    assert refused.code == 3 and "slot 'arm' has no rule yet; declare one first" in refused.err


def test_no_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path / "new"))
    said = robocache("slots", "show")
    assert said.code == 0 and "no slots; declare one" in said.out
