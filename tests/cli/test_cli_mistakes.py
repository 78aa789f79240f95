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
        (("eval", "long", *PLAN, "workers=-1"), "workers must be >= 0"),
        (("eval", "examples.point_policy:Stear", *PLAN), "did you mean 'Steer'"),
        (("eval", "examples.point_polizy:Steer", *PLAN), "cannot import"),
        (("eval", "long", "--open-loop"), "dataset must be given: add dataset="),
        (("train", "dataset=demoz"), "unknown run 'demoz'; did you mean 'demos'"),
        (("train", "dataset=demos", "policy=flou"), "did you mean 'flow'"),
        (("train", "dataset=demos", "trainer.step=3"), "did you mean 'trainer.steps'"),
        (("train", "dataset=demos", "policy.network.hiden=3"), "'policy.network.hidden'"),
        ((*tiny.TRAIN, "trainer.steps=0"), "steps, batch_size and checkpoint_every must be"),
        ((*tiny.TRAIN, "policy.network.hidden=0"), "hidden must be at least 1"),
        ((*tiny.TRAIN, "policy.action=actoin"), "stream actoin: not recorded .*action"),
        ((*tiny.TRAIN, "policy.inputs=[{stream: point, offsets_s: [0.1]}]"), "times <= 0"),
        (("train", "dataset=demos", "init_from=lung"), "did you mean 'long'"),
        (("collect", "tasks=[]"), "at least one environment"),
        (("compare", "long", "long@1", *PLAN, "gate.alfa=1"), "did you mean 'gate.alpha'"),
        (("promote", "production", "lung"), "did you mean 'long'"),
        (("runs", "show", "lung"), "did you mean 'long'"),
        (("data", "inspect", "demoz"), "did you mean 'demos'"),
    ],
)
def test_mistakes_are_explained(spare: Path, arguments: tuple[str, ...], hint: str) -> None:
    said = robocache(*arguments)
    assert said.code == 3, said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert re.search(hint, said.err), said.err
