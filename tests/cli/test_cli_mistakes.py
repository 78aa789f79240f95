"""Wrong names, keys and values: one line that says what to do, and an exit code."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from command import robocache

import tiny

PLAN = (tiny.TASKS, "episodes=2", "workers=0")


@pytest.fixture(scope="module")
def spared(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it that several tests may clutter."""
    folder = tmp_path_factory.mktemp("spare") / "home"
    shutil.copytree(road, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        said = robocache("slots", "declare", "arm", *PLAN, "episodes=9", "floor=0.1")
        assert said.code == 0, said.err
    return folder


@pytest.fixture
def spare(spared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBOCACHE_HOME", str(spared))
    return spared


def test_usage(spare: Path) -> None:
    for arguments in (["nonsense"], ["eval"], ["eval", "long", "--nonsense"], ["compare", "long"]):
        said = robocache(*arguments)
        assert said.code == 64, arguments
    assert robocache("--help").code == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("eval", "lung", *PLAN), "unknown run 'lung'; did you mean 'long'"),
        (("eval", "long@7", *PLAN), "has: 1, 400"),
        (("eval", "slot:prod", *PLAN), "unknown slot 'prod'"),
        (("eval", "long", "tasks=[metaworld/drawer-opem]"), "did you mean 'metaworld/drawer-open'"),
        (("eval", "long", *PLAN, "episode=3"), "did you mean 'episodes'"),
        (("eval", "long", *PLAN, "+env.max_stepz=3"), "does not take these options"),
        (("eval", "long", *PLAN, "env.phrases=train"), "does not take these options: .*phrases"),
        (("eval", "long", *PLAN, "sensors=reel"), "did you mean 'real'"),
        (("eval", "long", *PLAN, "sensors=real"), "clock_jitter_s is known to Meta-World alone"),
        (("eval", "long", *PLAN, "episodes=two"), "episodes"),
        (("eval", "long", *PLAN, "device=gpu"), "device=gpu: "),
        (("eval", "examples.point_policy:Steer", *PLAN, "device=cpu:0"), "leave device out"),
        (("eval", "long", "--open-loop", "dataset=demos", "device=gpu"), "device=gpu: "),
        (("serve", "long", "--device=gpu"), "device=gpu: "),
        (("serve", "examples.point_policy:Steer", "--device=cpu:0"), "leave device out"),
        (("eval", "long", *PLAN, "workers=-1"), "workers must be >= 0"),
        (("eval", "examples.point_policy:Stear", *PLAN), "did you mean 'Steer'"),
        (("eval", "examples.point_polizy:Steer", *PLAN), "cannot import"),
        (("eval", "long", "--open-loop"), "dataset must be given: add dataset="),
        (("train", "dataset=demoz"), "unknown run 'demoz'; did you mean 'demos'"),
        (("train", "dataset=demos", "policy=flou"), "did you mean 'flow'"),
        (("train", "dataset=demos", "trainer.step=3"), "did you mean 'trainer.steps'"),
        (("train", "dataset=demos", "policy.network.hiden=3"), "'policy.network.hidden'"),
        ((*tiny.TRAIN, "trainer.steps=0"), "steps must be at least 1, got 0"),
        ((*tiny.TRAIN, "policy.network.hidden=0"), "hidden must be at least 1"),
        ((*tiny.TRAIN, "policy.action=actoin"), "stream actoin: not recorded .*action"),
        ((*tiny.TRAIN, "policy.inputs=[{stream: point, offsets_s: [0.1]}]"), "times <= 0"),
        (("train", "dataset=demos", "init_from=lung"), "did you mean 'long'"),
        (("collect", "tasks=[]"), "at least one environment"),
        (("collect", "tasks=mt10"), "tasks must be list, got 'mt10'"),
        (("train", "dataset=demos", "seeds=0"), "seeds must be list, got 0"),
        (("compare", "long", "long@1", *PLAN, "gate.alfa=1"), "did you mean 'gate.alpha'"),
        (("promote", "production", "long"), "unknown slot 'production'.*declare one first"),
        (("promote", "arm", "lung"), "did you mean 'long'"),
        (("promote", "arn", "long"), "unknown slot 'arn'; did you mean 'arm'"),
        (("promote", "arm", "examples.point_policy:Steer"), "is code, not a checkpoint"),
        (("compare", "examples.point_policy:Steer", "--slot=arm"), "is code, not a checkpoint"),
        (("compare", "long", "--slot=arn"), "did you mean 'arm'"),
        (("eval", "long", "--slot=arn"), "did you mean 'arm'"),
        (("eval", "long", "--slot=arm", "episodes=3"), "episodes=3: the rule of slot 'arm' sets"),
        (("compare", "long", "--slot=arm", "seed=3"), "seed=3: the rule of slot 'arm' sets"),
        (("slots", "show", "arn"), "did you mean 'arm'"),
        (("slots", "declare", "arm", *PLAN), "floor must be given: add floor="),
        (("slots", "declare", "arm", *PLAN, "floor=1"), "floor must lie strictly between 0 and 1"),
        (("slots", "declare", "arm", *PLAN, "floor=0.9"), "out of reach with 2 episodes.*34.2 %"),
        (("slots", "declare", "arm", *PLAN, "floor=0.1"), "2 episodes cannot show a difference"),
        (("slots", "declare", "a/b", *PLAN, "episodes=9", "floor=0.1"), "slot 'a/b' must be"),
        (("eval", "examples.point_policy:Steer", "--open-loop", "dataset=demos"), "is code"),
        (("runs", "show", "lung"), "did you mean 'long'"),
        (("data", "inspect", "demoz"), "did you mean 'demos'"),
    ],
)
def test_mistakes_are_explained(spare: Path, arguments: tuple[str, ...], hint: str) -> None:
    said = robocache(*arguments)
    assert said.code == 3, said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert re.search(hint, said.err), said.err
