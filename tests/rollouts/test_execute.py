"""The executor: the same episodes whatever the number of workers, and whoever is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from processes import fork
from robocache.core.errors import ConfigError, CorruptFileError, EnvError, RunError
from robocache.datasets import EpisodeStore, write_shard
from robocache.datasets.shards import SUFFIX
from robocache.rollouts import PolicySource, RolloutPlan, Worker, execute
from robocache.runs import Ledger, open_database
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE
from robocache.sim_to_real import LatencyConfig
from troubled_env import VARIABLE, trouble

EPISODES = 14
TASK = "troubled_env:TroubledEnv"
STEER = PolicySource(name="examples.point_policy:Steer")
LATENCY = {"point": LatencyConfig(0.08, 0.05, 0.1, reorder=True)}


def plan_of(actor: str, episodes: int = EPISODES, task: str = TASK) -> RolloutPlan:
    return RolloutPlan(
        (task,),
        episodes,
        seed=3,
        purpose="collect" if actor == "expert" else "evaluate",
        actor=actor,
        env_version="point 1",
        env_options={"max_steps": 15},
        latency=LATENCY,
        expert_noise=0.3 if actor == "expert" else 0.0,
        steps_after_success=2,
    )


def ledger_of(folder: Path) -> Ledger:
    """The ledger in a database beside the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Ledger(open_database(f"sqlite:///{folder}.db"), folder.name)


def made(
    folder: Path, actor: str = "expert", *, episodes: int = EPISODES, task: str = TASK,
    workers: int = 0, batch: int = 20,
) -> str:  # fmt: skip
    """Make the plan's episodes in `folder`; the fingerprint, after checking what lies there."""
    ledger = ledger_of(folder)
    plan = plan_of(actor, episodes, task)
    policy = None if actor == "expert" else STEER
    rows = execute(plan, folder, ledger, policy=policy, workers=workers, batch=batch)
    assert [row.key for row in rows] == [job.key for job in plan.jobs()]
    assert len(ledger.rows()) == episodes
    assert {path.name for path in folder.iterdir()} == ledger.shards(), "orphans"
    assert ledger.conflicts() == []
    store = EpisodeStore(folder)
    assert list(store.problems()) == []
    assert sum(len(_keys(path)) for path in folder.iterdir()) == episodes, "an episode twice"
    assert store.fingerprint == ledger.fingerprint()
    return ledger.fingerprint()


def _keys(shard: Path) -> list[str]:
    from robocache.datasets.shards import read_index

    return [record["key"] for record in read_index(shard)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fingerprints of undisturbed runs in one process, one episode at a time."""
    folder = tmp_path_factory.mktemp("expected")
    return {actor: made(folder / actor, actor, batch=1) for actor in ("expert", "steer")}


@pytest.mark.parametrize("actor", ["expert", "steer"])
@pytest.mark.parametrize("batch", [3, 7, 50])
def test_the_batch_changes_nothing(
    tmp_path: Path, actor: str, batch: int, expected: dict[str, str]
) -> None:
    assert made(tmp_path / "episodes", actor, batch=batch) == expected[actor]


def test_episodes_differ(expected: dict[str, str]) -> None:
    assert len(set(expected.values())) == 2


def test_a_killed_worker_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, str]
) -> None:
    """Two workers; one of them is killed with an episode half done."""
    marker = tmp_path / "killed"
    monkeypatch.setenv(VARIABLE, trouble(signal.SIGKILL, "self", marker)[VARIABLE])
    assert made(tmp_path / "episodes", workers=2, batch=3) == expected["expert"]
    assert marker.exists()


def test_finished_episodes_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "episodes", episodes=4)
    batches: list[int] = []
    write = Worker.write

    def counted(worker: Worker, jobs: list[object]) -> object:
        batches.append(len(jobs))
        return write(worker, jobs)

    monkeypatch.setattr(Worker, "write", counted)
    made(tmp_path / "episodes", episodes=4)
    assert batches == []
    made(tmp_path / "episodes", episodes=6)
    assert batches == [2]


def drive(folder: Path, point: str, paths: list[str]) -> None:
    """Make the episodes in batches of three; die at `point` when six are done."""
    import sys

    sys.path[:] = paths

    def arm(done: int, total: int, figures: str) -> None:
        if done >= 6:
            os.environ[CRASH_VARIABLE] = point

    ledger = ledger_of(folder)
    execute(plan_of("expert"), folder, ledger, workers=0, batch=3, progress=arm)


@pytest.mark.parametrize(
    "point", ["file-written", "file-renamed", "ledger-inserted", "ledger-committed"]
)
def test_a_killed_driver_changes_nothing(
    tmp_path: Path, point: str, expected: dict[str, str]
) -> None:
    import sys

    folder = tmp_path / "episodes"
    process = fork(drive, folder, point, list(sys.path))
    process.join()
    assert process.exitcode == CRASH_STATUS
    left = {path.name for path in folder.iterdir()}
    assert len(left) == 3, "two batches are done, the third is under way"
    assert made(folder, batch=5) == expected["expert"]
    if point != "file-written":
        assert left < {path.name for path in folder.iterdir()}, "whole shards are adopted"


def lead(folder: Path, paths: list[str], pids: object) -> None:
    """Make episodes with a worker; tell the children' ids, then wait to be killed."""
    import sys
    import threading

    sys.path[:] = paths

    def tell(done: int, total: int, figures: str) -> None:
        children = psutil.Process().children(recursive=True)
        pids.send([child.pid for child in children])  # type: ignore[attr-defined]
        threading.Event().wait()

    ledger = ledger_of(folder)
    execute(plan_of("expert"), folder, ledger, workers=1, batch=3, progress=tell)


def test_workers_end_with_a_killed_driver(tmp_path: Path, expected: dict[str, str]) -> None:
    """Nobody is left behind that would write beside the next driver."""
    import multiprocessing
    import sys

    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = fork(lead, tmp_path / "episodes", list(sys.path), sender)
    workers = []
    for pid in receiver.recv():
        try:
            workers.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    assert workers
    process.kill()
    process.join()
    _, alive = psutil.wait_procs(workers, timeout=20)
    for worker in alive:
        worker.kill()
    assert not alive
    assert made(tmp_path / "episodes", batch=5) == expected["expert"]


def test_interrupted_between_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, str]
) -> None:
    marker = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, trouble(signal.SIGINT, "self", marker)[VARIABLE])
        patch.setattr("troubled_env._episodes", 0)
        ledger = ledger_of(tmp_path / "episodes")
        with pytest.raises(KeyboardInterrupt):
            execute(plan_of("expert"), tmp_path / "episodes", ledger, workers=0, batch=3)
    assert marker.exists()
    assert len(ledger.keys()) == 6, "the batch at hand was finished and committed"
    assert made(tmp_path / "episodes", batch=3) == expected["expert"]


def test_files_of_nobody_are_removed_and_whole_shards_adopted(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    folder = tmp_path / "episodes"
    folder.mkdir()
    worker = Worker(plan_of("expert"), folder, None)
    jobs = plan_of("expert").jobs()
    worker.write(jobs[:2])
    worker.write(jobs[1:4])
    twice = Worker(plan_of("expert"), folder, None).episodes(jobs[:1])
    write_shard(folder / f"again{SUFFIX}", twice)
    (folder / ".x.episodes.parquet.tmp-1-2").write_bytes(b"half")
    ledger = ledger_of(tmp_path / "episodes")
    execute(plan_of("expert"), folder, ledger, workers=0)
    assert ledger.fingerprint() == expected["expert"]
    assert {path.name for path in folder.iterdir()} == ledger.shards()


def test_a_damaged_shard_of_nobody_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "episodes"
    folder.mkdir()
    (shard := folder / f"x{SUFFIX}").write_bytes(b"PAR1 and nothing else")
    ledger = ledger_of(tmp_path / "episodes")
    with pytest.raises(CorruptFileError, match="truncated or damaged"):
        execute(plan_of("expert"), folder, ledger, workers=0)
    assert shard.exists()


def test_workers_act_on_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in this process, where other work may use more; their number can change bits."""
    seen: list[int] = []
    monkeypatch.setattr(
        "examples.point_policy.Steer.act",
        lambda self, observations, seeds: (
            seen.append(torch.get_num_threads()) or _still(observations)
        ),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Worker(plan_of("steer"), tmp_path, STEER).episodes(plan_of("steer").jobs()[:2])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def _still(observations: list[object]) -> list[object]:
    from robocache.core import ActionChunk

    return [ActionChunk(np.zeros((1, 2), np.float32), np.zeros(1)) for _ in observations]


class AlwaysDying:
    def __init__(self, max_steps: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_keep_dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robocache.rollouts.local.MAX_POOL_RESTARTS", 0)
    ledger = ledger_of(tmp_path / "episodes")
    plan = plan_of("expert", task=f"{__name__}:AlwaysDying")
    with pytest.raises(RunError, match=r"died 1 times \(out of memory\?\); .* run the same"):
        execute(plan, tmp_path / "episodes", ledger, workers=1)


class WrongStreams:
    """Gives samples of a sensor that its spec does not have."""

    def __new__(cls, max_steps: int) -> object:
        from examples.point_env import PointEnv

        from robocache.core import Samples, Step

        env = PointEnv(max_steps)
        reset = env.reset

        def wrong(seed: int) -> Step:
            step = reset(seed)
            extra = {"laser": Samples(np.zeros((1, 2), np.float32), np.zeros(1))}
            return Step(0.0, {**step.samples, **extra})

        env.reset = wrong  # type: ignore[method-assign]
        return env


def test_an_error_in_a_worker_arrives_as_it_is(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path / "episodes")
    plan = plan_of("expert", task=f"{__name__}:WrongStreams")
    with pytest.raises(EnvError, match="point gave samples of 'laser'"):
        execute(plan, tmp_path / "episodes", ledger, workers=0)


@pytest.mark.parametrize(("workers", "batch"), [(-1, 3), (0, 0)])
def test_senseless_numbers(tmp_path: Path, workers: int, batch: int) -> None:
    ledger = ledger_of(tmp_path / "episodes")
    with pytest.raises(ConfigError, match="workers must be >= 0 and batch >= 1"):
        execute(plan_of("expert"), tmp_path / "e", ledger, workers=workers, batch=batch)
