"""What the doctor finds, on machines that are made up."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest
import torch
from command import robocache

from robocache.cli import doctor, machine
from robocache.cli.findings import Finding
from robocache.runs import RunStore, database_path, home

try_drawing = machine.drawing_failure


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying to draw takes seconds."""
    monkeypatch.setattr(machine, "drawing_failure", lambda name: f"no {name} here")
    monkeypatch.delenv("MUJOCO_GL", raising=False)


def threads(count: int, cores: int, quota: float | None, **variables: str) -> list[Finding]:
    return list(machine.judge_threads(count, cores, quota, variables, "2.13"))


def test_threads() -> None:
    assert [found.level for found in threads(4, 4, None)] == ["ok", "ok"]
    many, _ = threads(8, 4, None)
    assert many.level == "problem" and many.advice == "export OMP_NUM_THREADS=4"
    granted, _ = threads(4, 4, 1.5)
    assert granted.level == "problem" and granted.advice == "export OMP_NUM_THREADS=1"
    assert "a quota grants 1.5" in granted.text
    few, spinning = threads(1, 4, None, OMP_WAIT_POLICY="active")
    assert few.level == "note" and "unset OMP_NUM_THREADS" in few.advice
    assert spinning.level == "note" and spinning.advice == "unset OMP_WAIT_POLICY"


def test_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found.level for found in machine.kernel_findings()] == ["ok"]
    monkeypatch.setattr(machine, "has_numba", lambda: False)
    monkeypatch.setattr(machine, "has_triton", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    slow, slower = machine.kernel_findings()
    assert slow.level == "note" and slow.advice == "pip install 'robocache[kernels]'"
    assert slower.level == "note" and "triton is not installed" in slower.text


def test_quotas_of_control_groups(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    inner = root / "pod" / "box"
    inner.mkdir(parents=True)
    membership.write_text("1:cpu:/elsewhere\n0::/pod/box\n")
    assert machine.cpu_quota(root, membership) is None
    (inner / "cpu.max").write_text("max 100000\n")
    assert machine.cpu_quota(root, membership) is None
    (root / "pod" / "cpu.max").write_text("150000 100000\n")
    (inner / "memory.max").write_text("1073741824\n")
    (root / "memory.max").write_text("max\n")
    assert machine.cpu_quota(root, membership) == 1.5
    assert machine.memory_limit(root, membership) == 1024**3
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("50000")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert machine.cpu_quota(root, membership) == 0.5
    assert machine.cpu_quota(tmp_path / "none", tmp_path / "none") is None


def test_file_systems(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert machine.file_system(tmp_path / "home", mounts) == "nfs4"
    assert machine.file_system(Path("/"), mounts) == "ext4"
    assert machine.file_system(tmp_path, tmp_path / "none") == "unknown file system"


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, kept = machine.disk_findings(tmp_path / "not" / "yet")
    assert free.text.endswith(f"free at {tmp_path}")
    assert kept.level in ("ok", "note")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    monkeypatch.setattr(machine, "LOW_DISK_BYTES", 2**80)
    monkeypatch.setattr(machine, "file_system", lambda folder: "nfs")
    free, kept = machine.disk_findings(tmp_path)
    assert free.level == "problem" and "ROBOCACHE_HOME" in free.advice
    assert kept.level == "note" and "postgresql://" in kept.advice
    file = tmp_path / "file"
    file.write_text("")
    assert "Not a directory" in str(machine.storing_failure(file))


def test_a_disk_without_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "storing_failure", lambda folder: "no write-ahead log")
    _, kept = machine.disk_findings(tmp_path)
    assert kept.level == "problem" and "cannot hold a run store: no write-ahead" in kept.text


def test_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    (none,) = machine.drawing_findings()
    assert none.level == "note" and none.advice.startswith("apt-get install libegl1")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    (broken,) = machine.drawing_findings()
    assert broken.level == "problem" and broken.advice == "apt-get install libosmesa6"
    monkeypatch.setattr(machine, "drawing_failure", lambda name: None)
    (works,) = machine.drawing_findings()
    assert works.level == "ok"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("pass", None),
        ("import os; os.abort()", "killed by signal 6"),
        ("raise SystemExit('no display')", "no display"),
    ],
)
def test_drawing_is_tried_elsewhere(program: str, said: str | None) -> None:
    """A crash of a driver hurts a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "DRAW", program)
        failure = try_drawing("egl")
    assert failure is None if said is None else said in str(failure)


def cards(monkeypatch: pytest.MonkeyPatch, *, built: str | None, usable: bool) -> list[Finding]:
    found = {"gpus": ["NVIDIA H200"], "gpu_driver": "535.1"}
    monkeypatch.setattr(machine, "graphics_cards", lambda: found)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    return list(machine.graphics_findings())


def test_graphics_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    (without,) = cards(monkeypatch, built=None, usable=False)
    assert without.level == "problem" and "built without CUDA" in without.text
    assert without.advice.startswith("pip install --force-reinstall torch")
    (old,) = cards(monkeypatch, built="13.0", usable=False)
    assert old.level == "problem" and "driver for CUDA 13.0" in old.advice
    monkeypatch.setattr(machine, "graphics_cards", lambda: {"gpus": [], "gpu_driver": None})
    (none,) = machine.graphics_findings()
    assert none.level == "note"


def test_missing_and_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    findings = list(doctor.simulator_findings())
    assert {found.advice for found in findings} == {"pip install 'robocache[sim]'"}
    assert doctor.postgres_finding().level == "note"
    monkeypatch.setenv("ROBOCACHE_DATABASE", "postgresql://me@server/runs")
    assert doctor.postgres_finding().level == "problem"
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: sys)
    monkeypatch.setattr(doctor, "version", lambda name: "1.0")
    assert {found.advice for found in doctor.simulator_findings()} == {
        "pip install mujoco==3.3.0",
        "pip install metaworld==3.1.1",
    }


def test_video(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.video_finding().level == "ok"
    monkeypatch.setattr("av.codecs_available", {"h264", "mpeg4", "hevc"})
    without = doctor.video_finding()
    assert without.level == "problem" and "cannot decode AV1" in without.text


def test_the_run_store(monkeypatch: pytest.MonkeyPatch) -> None:
    (none,) = doctor.store_findings()
    assert "no run store yet" in none.text and not home().exists(), "looking makes nothing"
    with RunStore().begin("collect", {"n": 1}, name="stopped") as run:
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/robocache", "collect", "tasks=[a b]"])
    with RunStore().begin("collect", {"n": 1}, name="stopped") as run:
        assert run.resumed
    sound, stopped = doctor.store_findings()
    assert sound.text.startswith("1 runs in") and "schema" in sound.text
    assert stopped.level == "note" and "run stopped (collect) is interrupted" in stopped.text
    assert stopped.advice == "robocache collect 'tasks=[a b]'"


def test_a_damaged_run_store() -> None:
    engine = RunStore().engine
    with sqlite3.connect(database_path()) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("CREATE TABLE filler (value TEXT)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 900,)] * 200)
    connection.close()
    assert doctor.database_damage(engine) == []
    content = bytearray(database_path().read_bytes())
    content[-40960:-8192] = b"\xff" * (40960 - 8192)
    database_path().write_bytes(content)
    (damaged, *_) = doctor.store_findings()
    assert damaged.level == "problem" and "damaged" in damaged.text


def test_problems_are_an_exit_code(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = [Finding("ok", "disk", "much [red] space"), Finding("note", "gpu", "none", "buy one")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(sound))
    said = robocache("doctor")
    assert said.code == 0
    assert said.out == "ok      much [red] space\nnote    none\n        -> buy one\n"
    problem = Finding("problem", "threads", "too many", "export OMP_NUM_THREADS=2")
    monkeypatch.setattr(doctor, "examine", lambda: iter([*sound, problem]))
    assert robocache("doctor").code == 4
    said = robocache("doctor", "--json")
    assert said.code == 4
    event = json.loads(said.out)
    assert event["problems"] == 1
    assert event["findings"][-1] == {**problem._asdict()}


def test_the_whole_doctor(home: Path) -> None:
    said = robocache("doctor", "--json")
    assert said.code in (0, 4)
    topics = {finding["topic"] for finding in json.loads(said.out)["findings"]}
    assert topics >= {"python", "threads", "gpu", "memory", "disk", "simulator", "gl", "video",
                      "postgres", "store"}  # fmt: skip
