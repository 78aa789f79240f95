"""Training: stopped in any way and started again, it ends with the same bits."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import processes
import tiny
from robocache.core import Episode
from robocache.core.errors import ConfigError, PolicyError
from robocache.datasets import EpisodeStore, WindowSampler, write_shard
from robocache.learning import TrainerConfig, train
from robocache.runs import (
    RunStore,
    latest_checkpoint,
    list_checkpoints,
    read_manifest,
    read_metrics,
    verify_checkpoint,
)
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE

STEPS = (6, 12, 18, 24)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with demonstrations."""
    home = tmp_path_factory.mktemp("demos") / "home"
    ended = processes.run(tiny.COLLECT, home)
    assert ended.code == 0, ended.output
    return home


@pytest.fixture
def home(demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    folder = tmp_path / "home"
    shutil.copytree(demos, folder)
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    return folder


def trained(home: Path, arguments: tuple[str, ...] = tiny.SHORT) -> dict[str, Any]:
    """Train to the end; all that must not depend on how often it was stopped."""
    ended = processes.run(arguments, home)
    assert ended.code == 0, ended.output
    folder = home / "runs" / "short"
    assert not list(home.rglob("*.tmp-*"))
    lines = [
        {name: value for name, value in line.items() if name not in ("samples_per_s", "time")}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
    found = list_checkpoints(folder)
    hashes = {step: verify_checkpoint(found[step]) for step in STEPS}
    training = {
        name: (found[24] / "training" / name).read_bytes()
        for name in ("weights.safetensors", "optimizer.safetensors", "state.json")
    }
    return {
        "checkpoints": hashes,
        "training": training,
        "metrics": lines,
        "trace": (folder / "trace.bin").read_bytes(),
        "manifest": read_manifest(folder)["metrics"],
    }


@pytest.fixture(scope="module")
def undisturbed(demos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(demos, folder)
    return trained(folder)


def at_step(number: int, action: Callable[[], None]) -> None:
    """Let training do `action` while it works on this step."""
    from robocache.learning import imitation

    schedule = imitation.cosine_with_warmup

    def wounded(step: int, **settings: Any) -> float:
        if step == number:
            action()
        return schedule(step, **settings)

    imitation.cosine_with_warmup = wounded


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def arm(point: str) -> None:
    os.environ[CRASH_VARIABLE] = point


def test_undisturbed(undisturbed: dict[str, Any]) -> None:
    assert list(undisturbed["checkpoints"]) == list(STEPS)
    assert len(set(undisturbed["checkpoints"].values())) == 4
    assert [line["step"] for line in undisturbed["metrics"]] == list(range(1, 25))
    assert len(undisturbed["trace"]) == 24 * 16
    assert undisturbed["manifest"]["checkpoint"] == undisturbed["checkpoints"][24]
    losses = [line["loss"] for line in undisturbed["metrics"]]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_killed_between_checkpoints(home: Path, undisturbed: dict[str, Any]) -> None:
    wound = functools.partial(at_step, 14, functools.partial(send, signal.SIGKILL))
    assert processes.run(tiny.SHORT, home, before=wound).code == -signal.SIGKILL
    assert list(list_checkpoints(home / "runs" / "short")) == [6, 12]
    assert trained(home) == undisturbed


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("file-written", [6]),
        ("directory-written", [6]),
        ("directory-renamed", [6, 12]),
        ("checkpoint-unrecorded", [6, 12]),
    ],
)
def test_killed_while_a_checkpoint_is_written(
    home: Path, point: str, kept: list[int], undisturbed: dict[str, Any]
) -> None:
    wound = functools.partial(at_step, 8, functools.partial(arm, point))
    assert processes.run(tiny.SHORT, home, before=wound).code == CRASH_STATUS
    assert list(list_checkpoints(home / "runs" / "short")) == kept
    assert trained(home) == undisturbed


def test_killed_at_the_end(home: Path, undisturbed: dict[str, Any]) -> None:
    ended = processes.run(tiny.SHORT, home, variables={CRASH_VARIABLE: "run-finishing"})
    assert ended.code == CRASH_STATUS
    assert trained(home) == undisturbed


def test_interrupted(home: Path, undisturbed: dict[str, Any]) -> None:
    """The step is finished and saved; the way to go on is said, and works, again and again."""
    stops = [(signal.SIGINT, 8, [6, 9]), (signal.SIGTERM, 14, [6, 9, 12, 15])]
    for number, step, kept in stops:
        wound = functools.partial(at_step, step, functools.partial(send, number))
        ended = processes.run(tiny.SHORT, home, before=wound)
        assert ended.code == 130
        assert "stopped; everything finished is saved" in ended.output
        assert "robocache train dataset=demos 'policy.inputs=[{stream: point" in ended.output
        assert list(list_checkpoints(home / "runs" / "short")) == kept
        assert RunStore().get("short").status == "interrupted"
    assert trained(home) == undisturbed
    assert RunStore().get("short").status == "complete"


def test_complete(home: Path) -> None:
    """Again does nothing; other settings under the same name are refused."""
    trained(home)
    before = {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*") if p.is_file()}
    ended = processes.run(tiny.SHORT, home)
    assert ended.code == 0
    assert "run short is complete; nothing to do" in ended.output
    after = {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*") if p.is_file()}
    assert before == after
    ended = processes.run([*tiny.SHORT, "trainer.batch_size=32"], home)
    assert ended.code == 3
    assert "was made with trainer.batch_size = 64, now 32" in ended.output


def test_a_damaged_checkpoint_is_not_trained_on(home: Path) -> None:
    """Not even where only the training state is damaged, and in a bit that any reader accepts."""
    wound = functools.partial(at_step, 14, functools.partial(send, signal.SIGKILL))
    processes.run(tiny.SHORT, home, before=wound)
    last = latest_checkpoint(home / "runs" / "short")
    assert last is not None
    file = last / "training" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    ended = processes.run(tiny.SHORT, home)
    assert ended.code == 3
    assert "training/weights.safetensors is altered" in ended.output


def test_several_seeds_in_one_command(home: Path, undisturbed: dict[str, Any]) -> None:
    ended = processes.run([*tiny.SHORT, "seeds=[0,1]"], home)
    assert ended.code == 0, ended.output
    store = RunStore()
    hashes = [store.get(f"short-seed{seed}").metrics["checkpoint"] for seed in (0, 1)]
    assert hashes[0] == undisturbed["checkpoints"][24]
    assert hashes[1] != hashes[0]
    ended = processes.run([*tiny.SHORT, "seeds=[]"], home)
    assert ended.code == 3 and "at least one training seed" in ended.output


def test_started_from_a_checkpoint(home: Path, undisturbed: dict[str, Any]) -> None:
    trained(home)
    own = [text for text in tiny.SHORT[:-1] if not text.startswith("policy.")]
    more = [*own, "init_from=short", "--name=more"]
    refused = processes.run([*more, "policy.rate_hz=20"], home)
    assert refused.code == 3
    assert "policy.rate_hz=20: init_from keeps the policy of its checkpoint" in refused.output
    ended = processes.run(more, home)
    assert ended.code == 0, ended.output
    record = RunStore().get("more")
    assert record.inputs["parents"] == [undisturbed["checkpoints"][24]]
    losses = [line["loss"] for line in read_metrics(record.folder / "metrics.jsonl")]
    fresh = [line["loss"] for line in undisturbed["metrics"]]
    assert np.mean(losses[:4]) < 0.7 * np.mean(fresh[:4])
    (home / "runs" / "short" / "checkpoints" / "step-00000024" / "policy.json").write_text("{}")
    ended = processes.run([*more[:-1], "--name=evenmore"], home)
    assert ended.code == 3 and "policy.json is altered" in ended.output


def test_nan_in_the_data(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EpisodeStore(home / "runs" / "demos" / "episodes")
    episodes = [store[n] for n in range(3)]
    stream = episodes[1].streams["expert_action"]
    values = np.array(stream.values)
    values[4, 1] = np.nan
    streams = {**episodes[1].streams, "expert_action": dataclasses.replace(stream, values=values)}
    episodes[1] = dataclasses.replace(episodes[1], streams=streams)
    with monkeypatch.context() as patch:
        patch.setattr(Episode, "check", lambda episode: None)
        write_shard(tmp_path / "spoilt" / "a.episodes.parquet", episodes)
    ended = processes.run([*tiny.SHORT, f"dataset={tmp_path / 'spoilt'}"], home)
    assert ended.code == 3
    place = f"error: episode {episodes[1].key}, stream expert_action: sample 4 is NaN or infinite"
    assert place in ended.output
    assert RunStore().get("short").status == "failed"


def test_episodes_left_out(home: Path) -> None:
    keys = EpisodeStore(home / "runs" / "demos" / "episodes").keys()
    ended = processes.run([*tiny.SHORT, f"hold_out=['{keys[0]}','{keys[3]}']"], home)
    assert ended.code == 0, ended.output
    assert "38 of 40 episodes of demos" in ended.output
    ended = processes.run([*tiny.SHORT, f"hold_out=['{keys[0]}x']", "--name=other"], home)
    assert ended.code == 3 and f"did you mean '{keys[0]}'" in ended.output


def small_training(
    home: Path, wound: Callable[[int], float], **settings: Any
) -> tuple[Path, Callable[[], Path]]:
    """A run in this process whose loss at step n is multiplied by `wound(n)`."""
    from robocache.cli.configuration import load
    from robocache.cli.train import prepare
    from robocache.cli.train_config import TrainConfig
    from robocache.cli.training_data import TrainingData

    overrides = [text for text in tiny.SHORT[1:] if not text.startswith("--")]
    config, _ = load("train", TrainConfig, overrides)
    dataset = EpisodeStore(home / "runs" / "demos" / "episodes")
    policy, table = prepare(
        config, TrainingData({"demos": dataset}, {"demos": dataset.keys()[:5]}), 0, None
    )
    store = RunStore()
    run = store.begin("train", {"wounded": True})
    loss, calls = policy.summed_loss, [0]

    def wounded(batch: Any, draws: Any) -> torch.Tensor:
        calls[0] += 1
        return loss(batch, draws) * wound(calls[0])

    policy.summed_loss = wounded  # type: ignore[method-assign]
    trainer = dataclasses.replace(config.trainer, **settings)

    def go(**others: Any) -> Path:
        with run:
            return train(
                policy, WindowSampler(table, 64, 0), trainer, run=run, store=store, seed=0, **others
            )

    return run.folder, go  # type: ignore[return-value]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_checkpoint_holds_what_is_not_finite(home: Path, value: float) -> None:
    folder, go = small_training(
        home,
        lambda step: value if step == 5 else 1.0,
        steps=24,
        checkpoint_every=2,
        log_every=1000,
    )
    with pytest.raises(PolicyError, match="step 6: the loss is nan"):
        go()
    assert list(list_checkpoints(folder)) == [2, 4]


def test_the_evaluation_is_asked_when_it_is_due(home: Path) -> None:
    folder, go = small_training(
        home, lambda step: 1.0, steps=9, checkpoint_every=5, evaluate_every=4, log_every=2
    )
    asked = []

    def evaluate(path: Path, step: int) -> dict[str, float]:
        asked.append((path.name, step))
        return {"success": step / 10, "checked": float(len(verify_checkpoint(path)) == 64)}

    final = go(evaluate=evaluate)
    assert asked == [("step-00000004", 4), ("step-00000008", 8)]
    assert final.name == "step-00000009"
    lines = read_metrics(folder / "metrics.jsonl")
    assert [(line["step"], line["success"]) for line in lines if "success" in line] == [
        (4, 0.4),
        (8, 0.8),
    ]


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"batch_size": 0}, {"checkpoint_every": 0}, {"device": "cuda"}]
)
def test_senseless_settings(settings: dict[str, Any]) -> None:
    if settings.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError):
        TrainerConfig(**settings)
