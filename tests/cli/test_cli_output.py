"""Progress and results for people and for machines."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Said, robocache

import processes
import tiny
from robocache.cli import progress as bars
from robocache.cli.main import main
from robocache.cli.output import console, tell, use_json
from robocache.cli.progress import ProgressEvents, progress
from robocache.runs import RunStore
from troubled_env import trouble

PLAN = (tiny.TASKS, "episodes=5", "workers=0", "batch=2")


@pytest.fixture(autouse=True)
def text_again() -> Iterator[None]:
    yield
    use_json(False)


def events(said: Said) -> list[dict[str, Any]]:
    """What was told, line by line; anything that is no JSON is an error."""
    return [json.loads(line) for line in said.out.splitlines()]


def test_the_road_in_json(home: Path) -> None:
    *told, last = events(robocache(*tiny.COLLECT, "batch=4", "--json"))
    assert {event["event"] for event in told} == {"progress"}
    assert (told[-1]["title"], told[-1]["done"], told[-1]["total"]) == ("collect", 40, 40)
    assert (last["event"], last["verb"], last["run"]) == ("result", "collect", "demos")
    assert last["tasks"] == {tiny.TASK: {"episodes": 40, "solved": 40}}
    assert last["folder"] == str(home / "runs" / "demos")
    assert last["fingerprint"] == RunStore().get("demos").metrics["fingerprint"]

    *told, last = events(robocache(*tiny.SHORT, "--json"))
    assert told[-1]["title"] == "train" and told[-1]["done"] == 24
    assert "loss" in told[-1]["figures"]
    (run,) = last["runs"]
    assert run["run"] == "short" and run["steps"] == 24
    assert (Path(run["checkpoint_folder"]) / "policy.json").is_file()

    *_, judged = events(robocache("eval", "short", *PLAN, "--json"))
    assert judged["checkpoint"] == run["checkpoint"]
    overall = judged["tasks"][tiny.TASK]
    assert overall == judged["overall"] and overall["trials"] == 5
    assert 0 <= overall["low"] <= overall["rate"] <= overall["high"] <= 1

    said = robocache("compare", "short", "short@6", *PLAN, "--json")
    *_, compared = events(said)
    verdict = compared["verdict"]
    assert said.code == {"accepted": 0, "rejected": 1, "inconclusive": 2}[verdict["outcome"]]
    assert verdict["pairs"] == 5 and "On the same 5 episodes" in verdict["text"]
    assert compared["candidate"]["run"] == judged["run"]
    assert compared["baseline"]["checkpoint"] != run["checkpoint"]

    *told, measured = events(
        robocache(
            "eval", "short", "--open-loop", "dataset=demos", tiny.TRAINED, "samples=2", "--json"
        )
    )
    assert told[-1]["title"] == "open loop" and told[-1]["done"] == told[-1]["total"]
    assert measured["overall"]["absolute"].keys() == {"policy", "hold", "mean"}
    *_, inspected = events(robocache("data", "inspect", "demos", "--json"))
    assert inspected["episodes"] == 40 and inspected["problems"] == []


def test_errors_are_events(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = robocache("runs", "show", "nonsense", "--json")
    assert said.code == 3 and said.err == ""
    (event,) = events(said)
    assert (event["event"], event["type"], event["code"]) == ("error", "ConfigError", 3)
    assert event["message"].startswith("unknown run 'nonsense'")
    for arguments in (("nonsense",), ("eval",), ("runs", "ls", "--nonsense")):
        said = robocache(*arguments, "--json")
        assert said.code == 64
        assert events(said)[0]["type"] == "UsageError"

    def broken(self: RunStore, **filters: object) -> None:
        raise ZeroDivisionError("a mistake in the program")

    monkeypatch.setattr(RunStore, "runs", broken)
    said = robocache("runs", "ls", "--json")
    assert said.code == 70 and "Traceback" in said.err
    assert events(said)[0]["message"] == "a mistake in the program"


def test_text_is_back_after_json(home: Path) -> None:
    assert events(robocache("runs", "ls", "--json"))[-1]["runs"] == []
    assert robocache("runs", "ls").out.startswith("run ")
    assert robocache("runs", "show", "x").err.startswith("error: ")


def test_ctrl_c_in_json(home: Path, tmp_path: Path) -> None:
    collect = ("collect", "tasks=[troubled_env:TroubledEnv]", "episodes=12", "batch=3",
               "workers=0", "--name=stopped", "--json")  # fmt: skip
    variables = trouble(signal.SIGINT, "self", tmp_path / "marker")
    ended = processes.run(collect, home, variables=variables)
    assert ended.code == 130
    told = [json.loads(line) for line in ended.output.splitlines()]
    assert told[-1]["event"] == "stopped"
    assert told[-1]["command"].startswith("robocache collect 'tasks=[troubled_env:TroubledEnv]'")
    assert {event["event"] for event in told[:-1]} <= {"progress"}


def test_at_most_one_event_a_second_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    use_json(True)
    now_s = 100.0
    told = ProgressEvents("train", "steps", clock=lambda: now_s)
    for done in range(8, 41):  # 1/8 s each, 8 were done in another session
        told.say(done, 40, f"step {done}")
        now_s += 0.125
    told.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["done"] for line in lines] == [8, 16, 24, 32, 40]
    assert lines[0]["per_s"] is None
    assert lines[1]["per_s"] == 8
    assert lines[1]["left_s"] == 3
    assert lines[-1]["figures"] == "step 40" and lines[-1]["left_s"] == 0


def test_values_that_json_has_no_word_for(capsys: pytest.CaptureFixture[str]) -> None:
    use_json(True)
    tell("result", rate=float("nan"), folder=Path("runs") / "a")
    assert json.loads(capsys.readouterr().out) == {
        "event": "result",
        "rate": "nan",
        "folder": os.path.join("runs", "a"),
    }


def test_silence_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", "steps") as say:
        for done in range(5):
            say(done, 4, "loss 1")
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With speed and time left; work within work is a line of its own until it is done."""
    drawn = io.StringIO()
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "_file", drawn)
    monkeypatch.setattr(console, "_width", 120)
    with progress("train", "steps") as say:
        say(500, 1000, "loss 0.5")
        bar = bars._bars[-1]
        (task,) = bar.tasks
        assert (task.completed, task.total, task.speed) == (500, 1000, None)
        with progress("eval", "episodes") as inner:
            inner(1, 2, "")
            assert bars._bars == [bar] and len(bar.tasks) == 2
        assert bar.tasks == [task]
        say(750, 1000, "loss 0.3")
        say(1000, 1000, "loss 0.25")
        bar.refresh()
    assert not bars._bars
    assert "1000/1000" in drawn.getvalue() and "loss 0.25" in drawn.getvalue()
    assert "/s" in drawn.getvalue()


def test_nobody_reads_any_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return os.open(os.devnull, os.O_WRONLY)

    for arguments in (("runs", "ls"), ("runs", "ls", "--json")):
        monkeypatch.setattr(sys, "argv", ["robocache", *arguments])
        monkeypatch.setattr(sys, "stdout", Closed())
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 141
    console._buffer.clear()  # a process would have ended
