"""`bench compare`: results of two sessions, and two revisions run in turns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robocache.cli.bench import compare
from robocache.core.errors import ConfigError, CorruptFileError

STEADY = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01]

SCRIPT = """
import argparse, json, os, pathlib, robocache

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int)
parser.add_argument("--out", type=pathlib.Path)
parser.add_argument("--work", type=float, default=1.0)
args = parser.parse_args()
{action}
with pathlib.Path(os.environ["TURNS"]).open("a") as turns:
    print(robocache.NAME, args.rounds, file=turns)
round_s = args.work * robocache.SECONDS
pathlib.Path(args.out).write_text(json.dumps({{
    "benchmark": "steps",
    "settings": {{"work": args.work}},
    "seconds": {{"with": [round_s] * args.rounds, "without": [0.5] * args.rounds}},
    "peers": {{"with": "without"}},
    "code": {{"commit": None}},
    "machine": {{
        "cpu": {{"count": 2}}, "memory_bytes": 1, "threads": {{}}, "load_average": [0.1, 0.1, 0.1]
    }},
    "python": "3",
    "versions": {{}},
}}))
if __name__ == "__main__":
    pass
"""


def result(**changes: Any) -> dict[str, Any]:
    """A result as the scripts write it; `with` takes twice as long as its peer."""
    return {
        "benchmark": "steps",
        "settings": {"steps": 10},
        "seconds": {"with": [2 * s for s in STEADY], "without": STEADY},
        "peers": {"with": "without"},
        "code": {"commit": "a" * 40, "changes_sha256": None},
        "machine": {
            "cpu": {"model": "fast", "flags": "avx fma", "count": 2, "usable": 2},
            "memory_bytes": 2**34,
            "load_average": [0.5, 0.5, 0.5],
            "threads": {},
        },
        "python": "3.11.7",
        "versions": {"numpy": "2.4.6"},
        **changes,
    }


def slower(factor: float) -> dict[str, list[float]]:
    return {"with": [2 * factor * s for s in STEADY], "without": STEADY}


def on_another_machine(data: dict[str, Any]) -> dict[str, Any]:
    """The same rounds on a processor of half the speed."""
    cpu = {**data["machine"]["cpu"], "flags": "avx"}
    seconds = {side: [2 * s for s in values] for side, values in data["seconds"].items()}
    return {**data, "machine": {**data["machine"], "cpu": cpu}, "seconds": seconds}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, Any], str]:
    """Writes a result, and gives its path."""

    def write(name: str, data: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return str(path)

    return write


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {figure["name"]: figure["verdict"] for figure in found["figures"]}


Written = Callable[[str, Any], str]


def test_two_results_of_the_same_machine(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    old = written("old.json", result())
    new = written("new.json", result(seconds=slower(1.2), versions={"numpy": "2.5.0"}))
    found = compare(old, new, [], 7)
    assert verdicts(found) == {
        "steps: with": "slower",
        "steps: without": "noise",
        "steps: with / without": "slower",
    }
    assert found["slower"] == ["steps: with", "steps: with / without"] and not found["faster"]
    assert not found["interleaved"]
    said = capsys.readouterr().out
    assert "sessions of their own, which nothing can interleave" in said
    assert "numpy 2.4.6 -> 2.5.0" in said
    assert "1.200 [" in said
    json.dumps(found)
    assert compare(new, old, [], 7)["faster"] == found["slower"]


def test_of_different_machines_only_ratios_are_compared(written: Written) -> None:
    old = written("old.json", result())
    same = written("same.json", on_another_machine(result()))
    worse = written("worse.json", on_another_machine(result(seconds=slower(1.2))))
    assert verdicts(compare(old, same, [], 7)) == {"steps: with / without": "noise"}
    found = compare(old, worse, [], 7)
    assert verdicts(found) == {"steps: with / without": "slower"}
    assert any("processor flags fma" in note for note in found["notes"])


def test_of_different_machines_without_a_peer_is_refused(written: Written) -> None:
    old = written("old.json", result(peers={}))
    new = written("new.json", on_another_machine(result(peers={})))
    with pytest.raises(ConfigError, match=r"nothing can be compared.*processor flags fma"):
        compare(old, new, [], 7)


def test_of_a_busy_machine_only_ratios_are_compared(written: Written) -> None:
    old = written("old.json", result())
    busy = {**result()["machine"], "load_average": [5.0, 1.0, 1.0]}
    found = compare(old, written("busy.json", result(machine=busy)), [], 7)
    assert verdicts(found) == {"steps: with / without": "noise"}
    assert any("busy when steps (new) was measured: load 5.0" in note for note in found["notes"])


def test_folders_of_results(written: Written, tmp_path: Path) -> None:
    for which in ("old", "new"):
        written(f"{which}/steps.json", result())
        written(f"{which}/loader.json", result(benchmark="loader"))
    written("new/extra.json", result(benchmark="extra"))
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    found = compare(old, new, [], 7)
    assert {name.split(":")[0] for name in verdicts(found)} == {"loader", "steps"}
    assert "extra is in one of them only." in found["notes"]
    assert set(verdicts(compare(old, new, ["loader"], 7))) < set(verdicts(found))
    with pytest.raises(ConfigError, match="did you mean 'loader'"):
        compare(old, new, ["loadr"], 7)
    written("new/again.json", result())
    with pytest.raises(ConfigError, match="two results of steps"):
        compare(old, new, [], 7)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("{", CorruptFileError, "not JSON"),
        ("[]", CorruptFileError, "not a result"),
        ({"machine": {}}, CorruptFileError, "it has no 'benchmark'.*measure again"),
        (result(seconds={"with": ["fast"]}), CorruptFileError, "not a result"),
        (result(settings={"steps": 11}), ConfigError, "steps = 10, then with 11"),
        (result(benchmark="loader"), ConfigError, "no benchmark is in both"),
        (result(seconds={"with": [1.0] * 2, "without": [1.0] * 2}), ConfigError, "too few"),
    ],
)
def test_what_is_no_comparable_result(
    written: Written, data: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare(written("old.json", result()), written("new.json", data), [], 7)


def test_a_result_and_a_revision_are_refused(written: Written) -> None:
    with pytest.raises(ConfigError, match="give two of a kind"):
        compare(written("old.json", result()), "HEAD", [], 7)
    with pytest.raises(ConfigError, match="cannot read the result"):
        compare("absent.json", "missing.json", [], 7)


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ("git", "-C", str(folder), *names, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, name: str, seconds: float, action: str = "") -> None:
    """A revision whose package is so slow, and whose benchmark does `action` first."""
    package = folder / "src" / "robocache" / "__init__.py"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.write_text(f"NAME = {name!r}\nSECONDS = {seconds}\n")
    (folder / "benchmarks").mkdir(exist_ok=True)
    (folder / "benchmarks" / "steps.py").write_text(SCRIPT.format(action=action))
    (folder / "benchmarks" / "measure.py").write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", name)
    git(folder, "tag", name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository shaped like this project, of which one is in the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("TURNS", str(tmp_path / "turns"))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(folder)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "first", 1.0)
    return folder


def nothing_is_left(project: Path) -> bool:
    worktrees = git(project, "worktree", "list").splitlines()
    return len(worktrees) == 1 and not list((project.parent / "temporary").iterdir())


def test_revisions_are_run_in_turns_by_the_script_of_the_new_one(
    project: Path, tmp_path: Path
) -> None:
    commit(project, "second", 1.1)
    found = compare("first", "second", ["steps --work 2"], 6)
    assert verdicts(found) == {
        "steps: with": "slower",
        "steps: without": "noise",
        "steps: with / without": "slower",
    }
    figure = found["figures"][0]
    assert figure["old"] == [2.0] * 6 and figure["new"] == [2.2] * 6
    assert found["interleaved"]
    turns = [line.split()[0] for line in (tmp_path / "turns").read_text().splitlines()]
    assert turns[:2] == ["second", "first"]  # warm up
    assert turns[2:] == ["first", "second", "second", "first"] * 3
    assert nothing_is_left(project)


def test_a_checkout_is_measured_where_it_is(project: Path) -> None:
    commit(project, "second", 1.0)
    (project / "src" / "robocache" / "__init__.py").write_text("NAME = 'mine'\nSECONDS = 0.5\n")
    found = compare("second", ".", [], 6)
    assert found["faster"] == ["steps: with", "steps: with / without"]
    assert nothing_is_left(project)


def test_a_script_that_the_old_package_cannot_run_is_explained(project: Path) -> None:
    commit(project, "second", 1.0, "robocache.NEWER = robocache.NAME == 'second' or 1 / 0")
    with pytest.raises(ConfigError, match=r"steps does not run with the package of OLD: ZeroDiv"):
        compare("first", "second", [], 6)
    assert nothing_is_left(project)


def test_ctrl_c_removes_worktrees(project: Path) -> None:
    commit(project, "second", 1.0, f"os.kill({os.getpid()}, {int(signal.SIGINT)})")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            compare("first", "second", [], 6)
    finally:
        signal.signal(signal.SIGINT, before)
    assert nothing_is_left(project)


def test_wrong_revisions_names_and_rounds(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="nor a revision in"):
        compare("first", "fisrt", [], 6)
    with pytest.raises(ConfigError, match=r"unknown benchmark 'step'; did you mean 'steps'.*steps"):
        compare("first", "first", ["step"], 6)
    with pytest.raises(ConfigError, match="rounds must be at least 6"):
        compare("first", "first", [], 5)
    assert nothing_is_left(project)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="change to one"):
        compare("first", "first", [], 6)
