from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from robocache.core.errors import (
    CheckpointError,
    ConfigError,
    CorruptFileError,
    RunError,
    StorageError,
    StoreError,
)
from robocache.runs import (
    Registry,
    RunStore,
    check_run,
    check_store,
    checkpoint_folder,
    config_hash,
    read_manifest,
    read_metrics,
    records,
    resources,
    runs_folder,
)

CONFIG = {"trainer": {"lr": 0.1, "steps": 3}, "tasks": ["a", "b"]}


@pytest.fixture
def store() -> RunStore:
    return RunStore()


def policy(content: str):
    return lambda folder: (folder / "policy").write_text(content)


def test_the_same_command_finds_the_same_run(store: RunStore) -> None:
    run = store.begin("train", CONFIG)
    assert run.id == f"train-{config_hash(CONFIG)[:10]}"
    assert run.folder == runs_folder() / run.id
    assert (run.complete, run.resumed) == (False, False)
    run.interrupt()
    assert store.get(run.id).status == "interrupted"

    shuffled = {"tasks": ("a", "b"), "trainer": {"steps": 3, "lr": 0.1}}
    run = store.begin("train", shuffled)
    assert (run.complete, run.resumed) == (False, True)
    run.fail("lost the robot")
    assert (store.get(run.id).status, store.get(run.id).error) == ("failed", "lost the robot")

    run = store.begin("train", CONFIG)
    assert run.resumed
    run.finish({"loss": 0.5, "worst": float("-inf")})
    assert run.complete
    run = store.begin("train", CONFIG)
    assert (run.complete, run.resumed) == (True, False)
    assert run.record.metrics == {"loss": 0.5, "worst": float("-inf")}
    assert run.record.error is None
    with pytest.raises(RunError, match="is complete"):
        run.log_metrics(1, loss=1.0)

    assert store.begin("evaluate", CONFIG).id != run.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {**CONFIG, "trainer": {"lr": 0.2, "steps": 3}}}, r"trainer.lr = 0.1, now 0.2"),
        ({"config": {**CONFIG, "tasks": ["a", "c"]}}, r"tasks\[1\] = 'b', now 'c'"),
        ({"config": {**CONFIG, "tasks": ["a"]}}, r"tasks = \['a', 'b'\], now \['a'\]"),
        ({"config": {**CONFIG, "more": 1}}, r"more = 'nothing', now 1"),
        ({"config": {**CONFIG, "trainer": {"lr": 0.1, "steps": 3.0}}}, r"steps = 3, now 3.0"),
        ({"verb": "collect"}, r"verb = 'train', now 'collect'"),
        ({"datasets": {"d": "ff"}}, r"datasets.d = 'ee', now 'ff'"),
        ({"seeds": [1, 3]}, r"seeds\[1\] = 2, now 3"),
        ({"parents": ["p"]}, r"parents = \[\], now \['p'\]"),
    ],
)
def test_another_configuration_is_refused(store: RunStore, change, message: str) -> None:
    same = {"verb": "train", "config": CONFIG, "datasets": {"d": "ee"}, "seeds": [1, 2]}
    store.begin(**same, name="mine").interrupt()
    with pytest.raises(RunError, match=message):
        store.begin(**{**same, **change}, name="mine")
    assert store.begin(**same, name="mine").resumed


@pytest.mark.parametrize("name", ["", "a/b", "..", "slot:x", "run@3", "-x", "x" * 129])
def test_names_that_cannot_be_folders(store: RunStore, name: str) -> None:
    with pytest.raises(ConfigError, match="run name"):
        store.begin("train", {}, name=name)


def test_a_config_must_be_plain(store: RunStore) -> None:
    with pytest.raises(ConfigError, match=r"net.layers\[0\] is a object"):
        store.begin("train", {"net": {"layers": [object()]}})


def test_one_process_at_a_time(store: RunStore) -> None:
    run = store.begin("train", CONFIG)
    with pytest.raises(StoreError, match=rf"is being executed.*process {os.getpid()} on"):
        RunStore().begin("train", CONFIG)
    run.interrupt()
    again = RunStore().begin("train", CONFIG)
    assert again.resumed
    again.interrupt()


def hold(folder: str, ready) -> None:
    os.environ["ROBOCACHE_HOME"] = folder
    run = RunStore().begin("train", CONFIG)
    child = os.fork()
    if child == 0:  # like a data loader's worker, which outlives its parent for a while
        signal.pause()
    ready.send((os.getpid(), child))
    run.log_metrics(1, loss=1.0)
    signal.pause()


def test_the_lock_ends_with_its_process(store: RunStore, home: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(str(home), theirs))
    process.start()
    pid, child = ours.recv()
    with pytest.raises(StoreError, match=f"process {pid} on"):
        store.begin("train", CONFIG)
    assert [record.status for record in store.runs()] == ["running"]
    process.kill()
    process.join()
    try:
        assert [record.status for record in store.runs()] == ["interrupted"]
        run = store.begin("train", CONFIG)
        assert run.resumed
        run.finish({})
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_with_block_ends_the_run(store: RunStore) -> None:
    with pytest.raises(ZeroDivisionError), store.begin("train", CONFIG) as run:
        raise ZeroDivisionError("by zero")
    assert store.get(run.id).status == "failed"
    assert store.get(run.id).error == "ZeroDivisionError: by zero"
    with pytest.raises(KeyboardInterrupt), store.begin("train", CONFIG):
        raise KeyboardInterrupt
    assert store.get(run.id).status == "interrupted"
    with store.begin("train", CONFIG) as run:
        run.finish({"a": 1})
    assert store.get(run.id).metrics == {"a": 1}
    with store.begin("train", CONFIG) as run:
        assert run.complete
    assert store.get(run.id).status == "complete"


def test_a_removed_folder_is_made_again(store: RunStore) -> None:
    run = store.begin("train", CONFIG)
    run.finish({"a": 1})
    (run.folder / "lock").unlink()
    (run.folder / "manifest.json").unlink()
    run.folder.rmdir()
    run = store.begin("train", CONFIG)
    assert (run.complete, run.resumed) == (False, False)
    assert store.get(run.id).metrics == {}
    run.finish({"a": 2})


def test_listing_and_unknown_names(store: RunStore) -> None:
    store.begin("train", {"n": 1}, name="first").finish({})
    store.begin("train", {"n": 2}, name="second").interrupt()
    store.begin("evaluate", {}, name="third").finish({})
    assert [r.id for r in store.runs()] == ["first", "second", "third"]
    assert [r.id for r in store.runs(verb="train")] == ["first", "second"]
    assert [r.id for r in store.runs(status="complete")] == ["first", "third"]
    assert [r.id for r in store.runs(verb="train", status="complete")] == ["first"]
    with pytest.raises(ConfigError, match="did you mean 'second'"):
        store.get("secnd")


def test_metrics_survive_a_torn_line_and_a_rewind(store: RunStore) -> None:
    run = store.begin("train", CONFIG)
    path = run.folder / "metrics.jsonl"
    for step in range(1, 6):
        run.log_metrics(step, **{"loss/flow": 1 / step, "grad": float("nan")})
    run.interrupt()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 6, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5]
    assert str(read_metrics(path)[0]["grad"]) == "nan"

    run = store.begin("train", CONFIG)
    run.log_metrics(6, **{"loss/flow": 1 / 6, "grad": float("nan")})
    assert path.read_bytes().startswith(whole)
    assert len(path.read_bytes().splitlines()) == 6
    path.write_bytes(path.read_bytes() + b"{")
    assert run.rewind_metrics(3) == 3
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
    run.log_metrics(4, **{"loss/flow": 1 / 4, "grad": float("nan")})
    run.log_metrics(5, **{"loss/flow": 1 / 5, "grad": float("nan")})
    assert path.read_bytes() == whole
    run.finish({})


def test_a_damaged_line_of_metrics_is_named(store: RunStore) -> None:
    run = store.begin("train", CONFIG)
    path = run.folder / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(CorruptFileError, match="line 2 is not JSON"):
        run.rewind_metrics(1)
    assert len(path.read_bytes()) == 29
    run.interrupt()


def test_a_full_disk_leaves_the_lines_before(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.begin("train", CONFIG)
    path = run.folder / "metrics.jsonl"
    run.log_metrics(1, loss=1.0)
    whole, write = path.read_bytes(), os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data[:5]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="disk is full"):
            run.log_metrics(2, loss=1.0)
    assert path.read_bytes() == whole
    run.log_metrics(2, loss=1.0)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    run.finish({})


def test_the_manifest_follows_the_run(store: RunStore) -> None:
    inputs = {"seeds": [7], "datasets": {"demo": "ee"}, "parents": ["collect-1"]}
    run = store.begin("train", CONFIG, threads={"torch": 4}, **inputs)
    manifest = read_manifest(run.folder)
    assert manifest["run"] == run.id
    assert (manifest["status"], manifest["ended"], manifest["earlier"]) == ("running", None, [])
    assert manifest["config"] == CONFIG
    assert {key: manifest[key] for key in inputs} == inputs
    assert manifest["threads"]["torch"] == 4
    run.interrupt()
    first = read_manifest(run.folder)
    assert first["status"] == "interrupted"
    assert first["ended"] > first["started"]
    run = store.begin("train", CONFIG, **inputs)
    run.finish({"loss": 0.25})
    last = read_manifest(run.folder)
    assert (last["status"], last["metrics"]) == ("complete", {"loss": 0.25})
    assert [session["started"] for session in last["earlier"]] == [first["started"]]
    assert last["started"] > first["ended"]


def test_the_ways_to_name_a_checkpoint(store: RunStore, monkeypatch, tmp_path: Path) -> None:
    run = store.begin("train", CONFIG, name="demo")
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        store.find_checkpoint("demo")
    paths = {step: checkpoint_folder(run.folder, step) for step in (1, 2, 30)}
    hashes = {
        step: store.write_checkpoint(run, path, step, policy(str(step)))
        for step, path in paths.items()
    }
    assert store.add_checkpoint(run, paths[2], 2) == hashes[2]
    run.finish({})
    assert store.find_checkpoint("demo") == paths[30]
    assert store.find_checkpoint("demo@2") == paths[2]
    assert store.find_checkpoint(hashes[1][:8]) == paths[1]
    assert store.find_checkpoint(str(paths[1])) == paths[1]
    monkeypatch.chdir(paths[1].parent)
    assert store.find_checkpoint("step-00000002") == paths[2]

    promoted(store, hashes[30], paths[30])
    assert store.find_checkpoint("slot:production") == paths[30]

    for text, error, message in (
        ("dem", ConfigError, "did you mean 'demo'"),
        ("demo@3", CheckpointError, r"no checkpoint at step 3 \(has: 1, 2, 30\)"),
        ("demo@x", CheckpointError, "no checkpoint at step x"),
        ("slot:producton", ConfigError, "did you mean 'production'"),
        ("0123456789abcdef", ConfigError, "unknown run"),
        (str(tmp_path), CheckpointError, "no SHA256 file"),
    ):
        with pytest.raises(error, match=message):
            store.find_checkpoint(text)
    paths[1].rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="which is gone"):
        store.find_checkpoint(hashes[1])


def test_an_ambiguous_hash_is_refused(store: RunStore) -> None:
    with store.engine.begin() as connection:
        for ending in "01":
            sha256 = "abcdef" + "0" * 57 + ending
            connection.exec_driver_sql(
                "INSERT INTO checkpoints (sha256, path, created) VALUES (?, 'x', 'now')", (sha256,)
            )
    with pytest.raises(ConfigError, match="give more digits"):
        store.find_checkpoint("abcdef0")


def promoted(store: RunStore, sha256: str, path: Path) -> None:
    registry = Registry(store.engine)
    rule = registry.declare("production", {"floor": 0.5}, who="me").sha256
    verdict = registry.add_verdict(sha256, "", "accepted", numbers={}, plan={}, rule=rule)
    registry.promote("production", path, verdict, who="me")


def test_runs_are_found_by_pattern_tag_and_number(store: RunStore) -> None:
    for name in ("a.1", "a_1", "aX1", "A.1", "b"):
        store.begin("train", {"n": name}, name=name).finish({})
    assert [r.id for r in store.runs(name="a?1")] == ["a.1", "a_1", "aX1"]
    assert [r.id for r in store.runs(name="a.*")] == ["a.1"]
    assert [r.id for r in store.runs(name="*1", newest=2)] == ["aX1", "A.1"]
    assert [r.id for r in store.runs(newest=2)] == ["A.1", "b"]
    assert [r.number for r in store.runs()] == [1, 2, 3, 4, 5]
    assert store.runs(newest=0) == []
    store.tag("b", add=["good", "robot-3"])
    store.tag("b", add=["good"], remove=["robot-3", "never"])
    store.note("b", "looks fine")
    assert [(r.id, r.tags, r.note) for r in store.runs(tag="good")] == [
        ("b", ("good",), "looks fine")
    ]
    store.note("b", "")
    assert store.get("b").note is None
    with pytest.raises(ConfigError, match="tag 'a b'"):
        store.tag("b", add=["a b"])
    with pytest.raises(ConfigError, match="unknown run"):
        store.note("c", "text")


def test_only_runs_that_say_running_are_looked_at_on_disk(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        store.begin("train", {"n": n}, name=f"done{n}").finish({})
    run = store.begin("train", {}, name="now")
    looked: list[str] = []
    is_locked = records.is_locked
    monkeypatch.setattr(
        records, "is_locked", lambda path: looked.append(path.parent.name) or is_locked(path)
    )
    assert [r.status for r in store.runs()] == ["complete"] * 3 + ["running"]
    assert looked == ["now"]
    run.interrupt()


def test_a_damaged_row_is_named(store: RunStore) -> None:
    store.begin("train", CONFIG, name="demo").finish({})
    with store.engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE runs SET config = '{"a": ' WHERE id = 'demo'""")
    (record,) = store.runs()
    with pytest.raises(StoreError, match="config of run 'demo' in the run database"):
        store.begin("train", CONFIG, name="demo")
    assert record.metrics == {}
    (problem,) = check_store(store.engine)
    assert str(problem).startswith("run demo: its row is damaged: config of run 'demo'")


def test_a_clock_that_is_set_back_gives_no_nonsense(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.begin("train", CONFIG, name="demo")

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) - timedelta(hours=1)

    monkeypatch.setattr(resources, "datetime", Clock)
    run.finish({})
    record = store.get("demo")
    assert record.started <= record.ended
    used = read_manifest(record.folder)["resources"]
    assert used["clock_set_back_s"] == pytest.approx(3600, abs=60)
    assert 0 <= used["wall_s"] < 60
    (problem,) = check_run(store.engine, record)
    assert problem.place == "the clock of the machine"
    assert "was set back by 3600" in problem.problem or "was set back by 3599" in problem.problem
