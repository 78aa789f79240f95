"""The examples keep the promises that are asked of everyone's environments."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from robocache.core import Policy
from robocache.core.errors import ConfigError
from robocache.envs import make_env
from robocache.policies import make_policy
from robocache.testing import check_env

ROOT = Path(__file__).resolve().parents[2]
ENV, POLICY = "examples.point_env:PointEnv", "examples.point_policy:Steer"


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are found as a user finds them who stands in the checkout."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p and Path(p).resolve() != ROOT])


def test_the_environment_passes_its_check() -> None:
    check_env(lambda: make_env(ENV))
    check_env(lambda: make_env(ENV, max_steps=7), episodes=4, steps=7)


def test_the_policy_is_one() -> None:
    policy, identity = make_policy(POLICY)
    assert isinstance(policy, Policy)
    assert len(identity) == 64
    assert identity == make_policy(POLICY)[1]


def test_the_current_directory_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local file is found, but never stands in front of what is installed."""
    (tmp_path / "json.py").write_text("raise AssertionError('shadowed the standard library')")
    (tmp_path / "mine_to_find.py").write_text("from examples.point_env import PointEnv as Mine")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "json")
    assert make_env("mine_to_find:Mine").spec.name == "point"
    with pytest.raises(ConfigError, match="unknown environment in json 'Env'"):
        make_env("json:Env")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (ENV, {"max_stepz": 5}, "does not take these options: .*max_stepz"),
        ("examples.point_env:PointEnvy", {}, "did you mean 'PointEnv'"),
        ("examples.no_such:PointEnv", {}, "cannot import 'examples.no_such'"),
        ("examples.point_env:np", {}, "is a module, not callable"),
        ("metaworld/drawer-opem", {}, "did you mean 'metaworld/drawer-open'"),
        (":PointEnv", {}, "unknown environment ':PointEnv'"),
        ("..examples:PointEnv", {}, "unknown environment"),
    ],
)
def test_mistakes_in_names_and_options(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(name, **options)


def test_the_expert_and_the_policy_agree() -> None:
    env = make_env(ENV)
    env.reset(3)
    action = env.expert_action()
    assert action.shape == (2,) and np.abs(action).max() <= 1
