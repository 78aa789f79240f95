from __future__ import annotations

import hashlib
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from robocache.core.errors import ConfigError, CorruptFileError, RunError, StoreError
from robocache.runs import collect_manifest, plain, read_manifest, upgraded, write_manifest
from robocache.runs.plain import config_hash, first_difference


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_what_it_says_about_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    manifest = collect_manifest(
        "train",
        {"lr": 0.1},
        started="now",
        seeds=[1],
        threads={"torch": 2},
        command=["robocache", "train"],
        directory=tmp_path,
    )
    assert manifest["schema_version"] == 2
    assert manifest["config_hash"] == hashlib.sha256(b'{"lr":0.1}').hexdigest()
    assert manifest["command"] == ["robocache", "train"]
    assert manifest["threads"]["OMP_NUM_THREADS"] == "3"
    assert manifest["threads"]["torch"] == 2
    assert manifest["robocache"] == version("robocache")
    assert manifest["packages"]["numpy"] == np.__version__
    assert manifest["cpu"]["count"] == os.cpu_count()
    assert manifest["memory_bytes"] > 2**28
    assert manifest["git"] is None
    json.dumps(manifest, allow_nan=False)


def test_git_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert collect_manifest("x", {}, started="", directory=tmp_path)["git"] is None
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first", "--no-gpg-sign")
    state = collect_manifest("x", {}, started="", directory=tmp_path)["git"]
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert state == {
        "commit": commit,
        "diff": "",
        "diff_sha256": None,
        "diff_cut": False,
        "untracked": [],
    }
    (tmp_path / "file").write_text("two\n")
    (tmp_path / "new file").write_text("x")
    state = collect_manifest("x", {}, started="", directory=tmp_path)["git"]
    assert "-one\n+two" in state["diff"]
    assert state["diff_sha256"] == hashlib.sha256(state["diff"].encode()).hexdigest()
    assert state["untracked"] == ["new file"]


def test_graphics_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1'\necho 'NVIDIA A, B, 570.1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    manifest = collect_manifest("x", {}, started="", directory=tmp_path)
    assert (manifest["gpus"], manifest["gpu_driver"]) == (["NVIDIA H200", "NVIDIA A, B"], "570.1")
    program.write_text("#!/bin/sh\nexit 9\n")
    manifest = collect_manifest("x", {}, started="", directory=tmp_path)
    assert (manifest["gpus"], manifest["gpu_driver"]) == ([], None)


def test_it_is_read_back_and_checked(tmp_path: Path) -> None:
    manifest = collect_manifest("train", {"x": float("inf")}, started="now", directory=tmp_path)
    path = write_manifest(tmp_path, manifest)
    assert read_manifest(path) == read_manifest(tmp_path) == manifest
    assert manifest["config"] == {"x": "inf"}
    with pytest.raises(RunError, match="no manifest"):
        read_manifest(tmp_path / "nothing")
    for content, error, message in (
        (b'{"schema_version": 3}', StoreError, "upgrade robocache"),
        (b'{"schema_version": "1"}', CorruptFileError, "schema_version is '1'"),
        (b'{"schema_version": 0}', CorruptFileError, "schema_version is 0"),
        (b"[]", CorruptFileError, "schema_version is None"),
        (b'{"schema', CorruptFileError, "not a manifest"),
        (b"\xff\xfe\xfd", CorruptFileError, "not a manifest"),
    ):
        path.write_bytes(content)
        with pytest.raises(error, match=message):
            read_manifest(path)


def test_a_manifest_of_version_1_stays_readable() -> None:
    old = read_manifest(Path(__file__).with_name("manifest_v1.json"))
    assert old["schema_version"] == 1
    new = upgraded(old)
    assert new["schema_version"] == 2
    assert new.keys() - old.keys() == {"sources", "assets", "artifacts", "resources"}
    assert (new["sources"], new["assets"], new["artifacts"]) == ({}, {}, {})
    assert new["resources"] is None
    kept = old.keys() - {"schema_version", "earlier"}
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    (session,) = new["earlier"]
    assert (session["schema_version"], session["status"]) == (2, "interrupted")
    assert session["artifacts"] == {}
    assert upgraded(new) == new
    present = collect_manifest("train", {}, started="now")
    left_out = {"run", "status", "metrics", "error", "earlier", "artifacts", "resources"}
    assert new.keys() - left_out == present.keys()  # nothing of today's is missing in it


def test_plain_values() -> None:
    assert plain({"a": (1, Path("x/y")), "b": np.float32(0.5), "c": np.bool_(True)}) == {
        "a": [1, "x/y"],
        "b": 0.5,
        "c": True,
    }
    assert plain([float("nan"), float("-inf"), np.float64("inf")]) == ["nan", "-inf", "inf"]
    with pytest.raises(ConfigError, match=r"a.b\[1\] is a ndarray"):
        plain({"a": {"b": [0, np.zeros(2)]}})
    with pytest.raises(ConfigError, match="key 1 of a must be text"):
        plain({"a": {1: 2}})


def test_hash_and_difference() -> None:
    assert config_hash({"b": 1, "a": [1.0]}) == hashlib.sha256(b'{"a":[1.0],"b":1}').hexdigest()
    assert first_difference({"a": 1}, {"a": 1}) is None
    assert first_difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == ("b", 2, 3)
    assert first_difference({"a": {"c": [1, 2]}}, {"a": {"c": [1, 4]}}) == ("a.c[1]", 2, 4)
    assert first_difference({"a": "nothing"}, {}) == ("a", "nothing", "nothing")
    assert first_difference({"a": True}, {"a": 1}) == ("a", True, 1)
