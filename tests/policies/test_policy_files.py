"""Policies on disk, and policies from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import small_flow
from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies import load_policy, load_to_act, make_policy, save_policy
from robocache.policies.trainable import as_module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policy = small_flow.policy()
    path = tmp_path / "checkpoint"
    path.mkdir()
    save_policy(path, policy, policy.state_dict())
    return path


def test_saved_and_loaded_to_the_bit(folder: Path) -> None:
    policy, again = small_flow.policy(), load_policy(folder)
    assert again.to_json() == policy.to_json()
    assert again.specs == policy.specs and again.inputs == policy.inputs
    mine, theirs = policy.state_dict(), again.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(mine[name].equal(theirs[name]) for name in mine)
    seen = [small_flow.observation(number) for number in range(20)]
    for one, two in zip(policy.act(seen, range(20)), again.act(seen, range(20)), strict=True):
        assert one.actions.tobytes() == two.actions.tobytes()
        assert one.times_s.tobytes() == two.times_s.tobytes()


def test_loaded_to_act_it_acts_the_same(folder: Path) -> None:
    policy, acting = load_policy(folder), load_to_act(folder, "cpu:0")
    assert not any(weight.requires_grad for weight in as_module(acting).parameters())
    seen = [small_flow.observation(number) for number in range(3)]
    for one, two in zip(policy.act(seen, range(3)), acting.act(seen, range(3)), strict=True):
        assert one.actions.tobytes() == two.actions.tobytes()


def test_devices_that_are_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="device=gpu: "):
        load_to_act(folder, "gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cuda:1 was asked for, but torch sees no CUDA"):
        load_to_act(folder, "cuda:1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="device=cuda:1: torch sees 1 CUDA devices"):
        load_to_act(folder, "cuda:1")


def test_saving_twice_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    loaded = load_policy(folder)
    save_policy(other, loaded, loaded.state_dict())
    for name in ("policy.json", "policy.safetensors"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        description = json.loads((folder / "policy.json").read_text())
        change(description)
        (folder / "policy.json").write_text(json.dumps(description))

    return edit


def truncated(name: str, kept: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:kept]) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "policy.json").unlink(), r"No such file .*policy\.json"),
        (lambda f: (f / "policy.safetensors").unlink(), r"No such file .*policy\.safetensors"),
        (truncated("policy.json", 100), "is damaged"),
        (truncated("policy.json", 0), "is damaged"),
        (truncated("policy.safetensors", 0), "is damaged"),
        (truncated("policy.safetensors", 5), "is damaged"),
        (truncated("policy.safetensors", 3000), "is damaged"),
        (lambda f: (f / "policy.json").write_bytes(b"\xff\xfe\x00"), "is damaged"),
        (edited(lambda d: d.pop("config")), "policy.json is damaged: KeyError"),
        (edited(lambda d: d.update(inputs=3)), "policy.json is damaged: TypeError"),
        (edited(lambda d: d["config"].update(hidden=0)), "policy.json is damaged: ValueError"),
        (edited(lambda d: d["config"].update(depth=9)), "policy.json is damaged: TypeError"),
        (edited(lambda d: d["config"].update(hidden=16)), "do not fit policy.json"),
        (edited(lambda d: d["config"].update(blocks=3)), "do not fit policy.json"),
    ],
)
def test_damaged(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_policy(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", ["[]", '"text"', "{}", '{"kind": "floww"}'])
def test_what_is_no_policy_file(folder: Path, content: str) -> None:
    (folder / "policy.json").write_text(content)
    with pytest.raises(ConfigError, match=r"unknown kind of policy .*known: flow"):
        load_policy(folder)


SOURCE = """
from examples.point_policy import Steer
class Mine(Steer): ...
class Lacking:
    inputs = ()
NUMBER = 3
def make():
    return Mine()
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "outside_policy.py").write_text(SOURCE)
    monkeypatch.delitem(sys.modules, "outside_policy", raising=False)
    return tmp_path / "outside_policy.py"


def test_from_outside_by_module_and_name(outside: Path) -> None:
    policy, identity = make_policy("outside_policy:Mine")
    assert policy.execute_steps == 1
    assert make_policy("outside_policy:make")[1] == identity, "a factory is named by what it makes"
    assert make_policy("examples.point_policy:Steer")[1] != identity
    import hashlib

    assert identity == hashlib.sha256(outside.read_bytes()).hexdigest()


def test_from_outside_by_entry_point(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "outside_policy:Mine", "robocache.policies")
    monkeypatch.setattr("robocache.core.plugins.entry_points", lambda group: [point])
    assert make_policy("mine")[0].execute_steps == 1
    with pytest.raises(ConfigError, match="unknown policy 'mein'; did you mean 'mine'"):
        make_policy("mein")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("outside_policy:Lacking", "is not a policy"),
        ("outside_policy:NUMBER", "is not a policy"),
        ("outside_policy:Mime", "did you mean 'Mine'"),
        ("no_such_module_here:X", "cannot import"),
    ],
)
def test_what_is_no_policy(outside: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_policy(name)


def test_statistics_travel_to_the_bit(folder: Path) -> None:
    one, two = small_flow.policy().statistics, load_policy(folder).statistics
    assert one.fingerprint == two.fingerprint
    for name in one.streams:
        np.testing.assert_array_equal(one[name].std, two[name].std)
