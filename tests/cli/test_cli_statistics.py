"""`robocache data stats`: figures of a small dataset, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import robocache

from robocache.core import Episode, Statistics, Stream, StreamSpec
from robocache.datasets import write_shard


def episode(number: int, steps: int = 10) -> Episode:
    times = np.arange(steps) / 10
    values = (np.arange(2 * steps).reshape(steps, 2) + 100 * number).astype(np.float32)
    picture = np.zeros((steps, 40, 40, 3), np.uint8)
    return Episode(
        f"e{number}",
        {
            "action": Stream(values + 1, times, StreamSpec((2,), rate_hz=10.0), times + 0.1),
            "state": Stream(values, times, StreamSpec((2,), rate_hz=10.0)),
            "goal": Stream(np.ones((1, 1)), np.zeros(1), StreamSpec((1,), "float64")),
            "camera": Stream(picture, times, StreamSpec((40, 40, 3), "uint8", 10.0)),
        },
    )


@pytest.fixture
def demos(tmp_path: Path) -> str:
    write_shard(tmp_path / "demos/a.episodes.parquet", [episode(n) for n in range(2)])
    return str(tmp_path / "demos")


def test_a_table(demos: str) -> None:
    said = robocache("data", "stats", demos)
    assert said.code == 0, said.err
    lines = {line.split()[0]: line.split()[1:] for line in said.out.splitlines()}
    assert lines["stream"] == ["samples", "min", "1", "%", "mean", "std", "99", "%", "max"]
    assert set(lines) == {
        "demos:",
        "stream",
        *(f"{n}[{k}]" for n in ("action", "state") for k in (0, 1)),
        "goal[0]",
    }
    assert lines["state[1]"][:2] == ["20", "1"] and lines["state[1]"][-1] == "119"
    assert lines["state[1]"][3] == "60"  # the mean
    assert lines["goal[0]"] == ["2", "1", "1", "1", "0", "1", "1"]


def test_json_is_what_a_policy_carries(demos: str, tmp_path: Path) -> None:
    asked = ("--stream", "state", "--relative-to", "state", "--horizon", "3")
    said = robocache("data", "stats", demos, *asked, "--json", "--out", str(tmp_path / "s.json"))
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    assert (result.pop("event"), result.pop("verb")) == ("result", "data stats")
    assert json.loads((tmp_path / "s.json").read_bytes()) == result
    found = Statistics.from_json(result)
    assert list(found.streams) == ["action - state", "action - state by step", "state"]
    steps = found["action - state by step"]
    assert steps.mean.tolist() == [[1, 1], [3, 3], [5, 5]] and steps.std.max() == 0
    assert steps.count == 20 and found["action - state"].count == 20 + 18 + 16
    assert found["action - state"].mean.tolist() == [(20 + 54 + 80) / 54] * 2


def test_steps_are_shown_by_time(demos: str) -> None:
    said = robocache(
        "data", "stats", demos, "--stream", "camera", "--relative-to", "state", "--rate", "10",
        "--horizon", "2",
    )  # fmt: skip
    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert ["action", "-", "state,", "after", "0.1", "s", "3", "3", "3", "0", "3", "3"] in lines
    assert "camera: pictures get no statistics" in said.out


def test_mistakes(demos: str, tmp_path: Path) -> None:
    for arguments, code, words in [
        (("--stream", "stat"), 3, "stream stat: not recorded"),
        (("--relative-to", "state", "--horizon", "0"), 3, "--horizon must be 1 or more"),
        (("--relative-to", "state", "--rate", "-1"), 3, "--rate must be positive"),
        (("--relative-to", "goal"), 3, "cannot be taken relative to goal"),
        (("--relative-to", "state", "--action", "goal"), 3, "give --rate"),
        (("--option", "split=val"), 3, "does not take these options"),
    ]:
        said = robocache("data", "stats", demos, *arguments)
        assert said.code == code and words in said.err, said
    (tmp_path / "empty").mkdir()
    assert robocache("data", "stats", str(tmp_path / "empty")).code == 3
