"""Differences of plain values, and of what two runs ran on."""

from __future__ import annotations

import copy
from typing import Any

from robocache.runs import collect_manifest
from robocache.runs.drift import Difference, differences, environment_drift, shown

NAN = float("nan")
DIFF = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-old\n+{1}\n"


def test_every_difference_of_plain_values() -> None:
    was = {"b": {"x": [1, 2.0], "y": 1}, "a": NAN, "only": {"deep": 1, "empty": {}}, "n": [1]}
    now = {"b": {"x": [1, 2.5], "y": 1.0}, "a": NAN, "n": [1, 2]}
    assert [(one.place, one.was, one.now) for one in differences(was, now)] == [
        ("b.x[1]", 2.0, 2.5),
        ("b.y", 1, 1.0),
        ("n", [1], [1, 2]),
        ("only.deep", 1, "nothing"),
        ("only.empty", {}, "nothing"),
    ]
    assert list(differences(was, copy.deepcopy(was))) == []


def test_values_on_a_line() -> None:
    assert shown("0123456789abcdef" * 4) == "0123456789ab"
    assert shown(["0123456789abcdef" * 4]) == "['0123456789ab']"
    assert shown(0.1) == "0.1" and shown("") == "''"
    long = "x" * 50 + "middle" + "y" * 50
    assert "middle" not in shown(long) and len(shown(long)) < 70
    assert str(Difference("a.b", 1, None)) == "a.b: was 1, now None"


def manifest() -> dict[str, Any]:
    found = collect_manifest("train", {}, started="2026-01-01T00:00:00+00:00")
    found["git"] = {"commit": "c0", "diff": DIFF.format("a.py", 1), "diff_sha256": "f" * 64}
    found["assets"] = {"metaworld": "1" * 64}
    return copy.deepcopy(found)


def drift(**changes: Any) -> list[tuple[str, Any, Any]]:
    found = environment_drift(manifest(), {**manifest(), **changes})
    return [(one.place, one.was, one.now) for one in found]


def test_the_same_machine() -> None:
    assert drift(started="2027-01-01T00:00:00+00:00", command=["other"], metrics={"loss": 1}) == []


def test_each_thing_is_named() -> None:
    before = manifest()
    numpy = before["packages"]["numpy"]
    packages = {**before["packages"], "numpy": "2.0.0", "aaa": "1.0"}
    del packages["torch"]
    assert drift(packages=packages) == [
        ("packages.numpy", numpy, "2.0.0"),
        ("packages.aaa", "nothing", "1.0"),
        ("packages.torch", before["packages"]["torch"], "nothing"),
    ]
    cpu = {**before["cpu"], "flags": before["cpu"]["flags"] + " amx", "model": "other"}
    assert drift(cpu=cpu) == [
        ("cpu.model", before["cpu"]["model"], "other"),
        ("cpu.flags of one alone", "nothing", "amx"),
    ]
    assert drift(threads={**before["threads"], "torch": 4}) == [("threads.torch", "nothing", 4)]
    assert drift(gpus=["H200"], gpu_driver="580") == [
        ("gpus", before["gpus"], ["H200"]),
        ("gpu_driver", before["gpu_driver"], "580"),
    ]
    for name in ("python", "platform", "host", "robocache"):
        assert drift(**{name: "other"}) == [(name, before[name], "other")]
    assert drift(assets={"metaworld": "2" * 64}) == [("assets.metaworld", "1" * 64, "2" * 64)]
    assert drift(assets={}) == [], "not recorded by manifests of version 1"


def test_code_that_was_not_committed() -> None:
    other = DIFF.format("a.py", 1) + DIFF.format("src/b.py", 2)
    git = {"commit": "c1", "diff": other, "diff_sha256": "e" * 64}
    assert drift(git=git) == [
        ("git.commit", "c0", "c1"),
        ("git.diff in src/b.py", "changes ffffffffffff", "changes eeeeeeeeeeee"),
    ]
    clean = {"commit": "c0", "diff": "", "diff_sha256": None}
    assert drift(git=clean) == [("git.diff in a.py", "changes ffffffffffff", "no changes")]
    assert drift(git=None) == [
        ("git.commit", "c0", "nothing"),
        ("git.diff in a.py", "changes ffffffffffff", "no changes"),
    ]
