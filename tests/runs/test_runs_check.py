from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from robocache.core.errors import CorruptFileError, IntegrityError
from robocache.runs import (
    Inconsistency,
    Ledger,
    LedgerRow,
    Registry,
    RunStore,
    check_run,
    check_store,
    checkpoint_folder,
    require_sound,
    runs_folder,
)
from robocache.runs.database import writing
from robocache.runs.removal import remove_checkpoint
from robocache.runs.tables import episodes, runs

CONFIG = {"trainer": {"lr": 0.1, "steps": 2}, "tasks": ["a", "b"]}
RULE = {"plan": {"episodes": 4}, "floor": 0.5}


def write_shard(path: Path, rows: list[LedgerRow]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows]))


def read_rows(shard: Path) -> list[LedgerRow]:
    """Stands for the reader of real shards."""
    try:
        return [LedgerRow(**row) for row in json.loads(shard.read_bytes())]
    except ValueError as error:
        raise CorruptFileError(str(error), file=shard) from error


def collect(store: RunStore) -> None:
    run = store.begin("collect", {"plan": {"seed": 1}}, name="demos")
    ledger = Ledger(store.engine, run.id)
    for shard in ("s1", "s2"):
        rows = [
            LedgerRow(
                key=f"drawer/{shard}-{n}",
                shard=f"{shard}.parquet",
                sha256=hashlib.sha256(f"{shard}{n}".encode()).hexdigest(),
                success=n == 0,
                steps=10 + n,
                task="drawer",
                seed=7,
                index=n,
                details={"opposite": 0.5},
            )
            for n in range(2)
        ]
        write_shard(run.folder / "episodes" / f"{shard}.parquet", rows)
        ledger.commit(rows)
    run.finish({"fingerprint": ledger.fingerprint(), "rate": 0.5})


def write_policy(folder: Path) -> None:
    (folder / "policy.safetensors").write_bytes(bytes(range(200)))
    (folder / "policy.json").write_text('{"size": 1}')
    (folder / "training").mkdir()
    (folder / "training" / "sampler.json").write_text('{"rng": [1, 2]}')


def train(store: RunStore) -> str:
    run = store.begin("train", CONFIG, name="policy", seeds=[3], datasets={"demos": "ff"})
    run.log_metrics(1, loss=0.5)
    sha256 = store.write_checkpoint(run, checkpoint_folder(run.folder, 2), 2, write_policy)
    run.finish({"loss": 0.25, "worst": float("nan")})
    return sha256


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a collection, a training run and a slot that its checkpoint holds."""
    folder = tmp_path_factory.mktemp("made") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        fill(RunStore())
    return folder


@pytest.fixture
def store(made: Path, home: Path) -> RunStore:
    shutil.copytree(made, home)
    return RunStore()


def fill(store: RunStore) -> None:
    collect(store)
    sha256 = train(store)
    registry = Registry(store.engine)
    rule = registry.declare("prod", RULE, who="me")
    evidence = {"candidate": {"run": "demos", "ledger": store.get("demos").ledger}}
    verdict = registry.add_verdict(
        sha256,
        "",
        "accepted",
        numbers={"rate": 0.9},
        plan=RULE,
        evidence=evidence,
        rule=rule.sha256,
    )
    registry.promote("prod", checkpoint_folder(runs_folder() / "policy", 2), verdict, who="me")


def found(store: RunStore) -> list[Inconsistency]:
    return list(check_store(store.engine, read_rows))


def said(store: RunStore) -> list[str]:
    return [str(problem) for problem in found(store)]


def flip(path: Path, byte: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def execute(store: RunStore, statement: Any) -> None:
    with writing(store.engine) as connection:
        connection.execute(statement)


def test_nothing_is_wrong_with_what_was_left_alone(store: RunStore) -> None:
    assert said(store) == []
    assert list(check_store(store.engine)) == []
    for record in store.runs():
        require_sound(store.engine, record, read_rows)
    (runs_folder() / "policy" / "report.html").write_text("a page")
    (runs_folder() / "policy" / "note.txt").write_text("mine")
    assert said(store) == []


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("success", True, "success was False, is True"),
        ("steps", 12, "steps was 11, is 12"),
        ("seed", 8, "seed was 7, is 8"),
        ("sha256", "0" * 64, "sha256 was '"),
        ("details", {"opposite": 0.75}, "details.opposite was 0.5, is 0.75"),
    ],
)
def test_a_changed_ledger_row_is_named(
    store: RunStore, column: str, value: Any, problem: str
) -> None:
    execute(store, update(episodes).where(episodes.c.key == "drawer/s2-1").values({column: value}))
    (text,) = said(store)
    assert text.startswith(f"run demos: ledger row of episode drawer/s2-1 is altered: {problem}")
    (unnamed,) = check_store(store.engine)
    assert str(unnamed) == "run demos: its ledger rows are not those it ended with"
    with pytest.raises(IntegrityError, match=r"drawer/s2-1 is altered.*runs check demos"):
        require_sound(store.engine, store.get("demos"), read_rows)


def test_a_ledger_row_that_is_gone_added_or_elsewhere_is_named(store: RunStore) -> None:
    execute(store, episodes.delete().where(episodes.c.key == "drawer/s1-0"))
    Ledger(store.engine, "demos").commit([LedgerRow("extra", "s1.parquet", "0" * 64)])
    execute(store, update(episodes).where(episodes.c.key == "drawer/s2-0").values(shard="s9"))
    assert said(store) == [
        "run demos: ledger row of episode drawer/s2-0 names shard s9, which is not there",
        "run demos: ledger row of episode drawer/s1-0 is gone",
        "run demos: ledger row of episode extra names an episode that no shard holds",
    ]


def test_all_ledger_rows_gone(store: RunStore) -> None:
    execute(store, episodes.delete())
    assert len(found(store)) == 4
    assert [p.place for p in check_store(store.engine)] == ["its ledger rows"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("demos/episodes/s1.parquet", "run demos: episodes/s1.parquet"),
        ("policy/metrics.jsonl", "run policy: metrics.jsonl"),
        (
            "policy/checkpoints/step-00000002/policy.safetensors",
            "run policy: checkpoints/step-00000002/policy.safetensors",
        ),
        (
            "policy/checkpoints/step-00000002/policy.json",
            "run policy: checkpoints/step-00000002/policy.json",
        ),
        (
            "policy/checkpoints/step-00000002/training/sampler.json",
            "run policy: checkpoints/step-00000002/training/sampler.json",
        ),
        (
            "policy/checkpoints/step-00000002/SHA256",
            "run policy: checkpoints/step-00000002/SHA256",
        ),
    ],
)
def test_one_altered_byte_or_a_file_that_is_gone_is_named_once(
    store: RunStore, name: str, place: str
) -> None:
    flip(runs_folder() / name, byte=10)
    (text,) = said(store)
    assert text.startswith(f"{place} is altered (sha256 ")
    run = name.partition("/")[0]
    with pytest.raises(IntegrityError, match="is altered"):
        require_sound(store.engine, store.get(run), read_rows)
    (runs_folder() / name).unlink()
    assert f"{place} is missing" in said(store)
    (other,) = {"demos", "policy"} - {run}
    require_sound(store.engine, store.get(other), read_rows)


def test_files_that_were_added_are_named(store: RunStore) -> None:
    folder = runs_folder() / "policy" / "checkpoints"
    shutil.copy(runs_folder() / "demos/episodes/s1.parquet", runs_folder() / "demos/episodes/s3")
    shutil.copytree(folder / "step-00000002", folder / "step-00000009")
    (folder / "step-00000002" / "more").touch()
    assert said(store) == [
        "run demos: episodes/s3 was added after the run had ended",
        "run policy: checkpoints/step-00000009/SHA256 was added after the run had ended",
        "run policy: checkpoints/step-00000002/more was added after it was made",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["config"]["trainer"].update(lr=0.2), "config.trainer.lr was 0.1, is 0.2"),
        (lambda m: m["config"]["tasks"].pop(), "config.tasks was ['a', 'b'], is ['a']"),
        (lambda m: m["metrics"].update(loss=0.2), "metrics.loss was 0.25, is 0.2"),
        (lambda m: m["seeds"].append(4), "seeds was [3], is [3, 4]"),
        (lambda m: m["datasets"].update(demos="00"), "datasets.demos was 'ff', is '00'"),
        (lambda m: m.update(status="failed"), "status was 'complete', is 'failed'"),
        (lambda m: m.update(verb="eval"), "verb was 'train', is 'eval'"),
        (lambda m: m["packages"].update(numpy="1"), "packages"),
        (lambda m: m["artifacts"].clear(), "artifacts"),
        (lambda m: m["artifacts"]["metrics.jsonl"].update(sha256="0" * 64), "artifacts"),
        (lambda m: m.pop("git"), "git"),
        (lambda m: m.update(more=1), "more"),
    ],
)
def test_an_edited_manifest_field_is_named(
    store: RunStore, change: Callable[[Any], None], problem: str
) -> None:
    edit(runs_folder() / "policy" / "manifest.json", change)
    assert said(store) == [f"run policy: manifest.json is altered: {problem}"]


@pytest.mark.parametrize("content", [None, b"{", b'{"schema_version": 9}'])
def test_a_manifest_that_cannot_be_read_is_named(store: RunStore, content: bytes | None) -> None:
    path = runs_folder() / "policy" / "manifest.json"
    path.unlink() if content is None else path.write_bytes(content)
    (text,) = said(store)
    assert text.startswith("run policy: manifest.json cannot be read: ")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"config": {**CONFIG, "trainer": {"lr": 0.2, "steps": 2}}},
            "config.trainer.lr, is 0.2, was 0.1",
        ),
        ({"metrics": {"loss": 0.5, "worst": "nan"}}, "metrics.loss, is 0.5, was 0.25"),
        ({"inputs": {"parents": [], "seeds": [3, 4], "datasets": {"demos": "ff"}}}, "seeds, is"),
        ({"status": "failed"}, "status, is 'failed', was 'complete'"),
        ({"status": "interrupted"}, "status, is 'interrupted', was 'complete'"),
        ({"verb": "eval"}, "verb, is 'eval', was 'train'"),
        ({"config_hash": "0" * 64}, "config_hash, is '000"),
    ],
)
def test_an_edited_row_is_named(store: RunStore, values: dict[str, Any], problem: str) -> None:
    execute(store, update(runs).where(runs.c.id == "policy").values(values))
    (text,) = said(store)
    assert text.startswith(f"run policy: row of the run, {problem}")


def test_a_row_without_its_digests_is_named(store: RunStore) -> None:
    execute(store, update(runs).where(runs.c.id == "policy").values(manifest=None))
    assert said(store) == ["run policy: row of the run has lost the digests of its manifest"]


def test_a_row_without_a_folder_and_a_folder_without_a_row(store: RunStore) -> None:
    (runs_folder() / "policy").rename(runs_folder() / "else")
    texts = said(store)
    assert texts[:2] == ["run policy: folder policy is gone", "folder runs/else belongs to no run"]
    with pytest.raises(IntegrityError, match="folder policy is gone"):
        require_sound(store.engine, store.get("policy"))


def test_a_removal_that_was_killed_is_named(store: RunStore) -> None:
    execute(store, update(runs).where(runs.c.id == "policy").values(status="removing"))
    (runs_folder() / "~gone").mkdir()
    assert said(store) == [
        "run policy: its removal was begun and not ended: run robocache runs gc",
        "folder runs/~gone is left of a removed run: run robocache runs gc",
    ]
    assert [record.id for record in store.runs(status="removing")] == ["policy"]


def test_a_run_that_is_being_executed_is_no_inconsistency(store: RunStore) -> None:
    run = store.begin("train", {}, name="now")
    checkpoint_folder(run.folder, 1).mkdir(parents=True)
    assert said(store) == []
    run.interrupt()


def test_checkpoints_of_unfinished_runs_are_checked(store: RunStore) -> None:
    run = store.begin("train", {}, name="half")
    path = checkpoint_folder(run.folder, 1)
    sha256 = store.write_checkpoint(run, path, 1, lambda f: (f / "policy").write_text("1"))
    run.interrupt()
    assert said(store) == []
    flip(path / "policy")
    (text,) = said(store)
    assert text.startswith("run half: checkpoints/step-00000001/policy is altered")
    shutil.rmtree(path)
    assert said(store) == [f"run half: checkpoints/step-00000001 ({sha256[:12]}) is gone"]


def test_checkpoints_elsewhere_are_checked(store: RunStore, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    registry = Registry(store.engine)
    rule = registry.declare("other", RULE, who="me").sha256
    run = store.begin("train", {"n": 1}, name="gone")
    sha256 = store.write_checkpoint(run, path, 1, lambda f: (f / "policy").write_text("1"))
    run.finish({})
    verdict = registry.add_verdict(sha256, "", "accepted", numbers={}, plan={}, rule=rule)
    registry.promote("other", path, verdict, who="me")
    assert said(store) == []
    flip(path / "policy")
    (text,) = said(store)
    assert text.startswith(
        f"checkpoint {sha256[:12]} is not what it was: checkpoint {path}: policy"
    )


def test_removed_checkpoints_are_no_inconsistency(store: RunStore) -> None:
    run = store.begin("train", {"n": 2}, name="long")
    for n in (1, 2, 3):
        path = checkpoint_folder(run.folder, n)
        store.write_checkpoint(run, path, n, lambda f, n=n: (f / "policy").write_text(str(n)))
    run.finish({})
    for n in (1, 2):
        remove_checkpoint(store.engine, store.get("long"), checkpoint_folder(run.folder, n))
    assert said(store) == []
    require_sound(store.engine, store.get("long"))
    shutil.rmtree(checkpoint_folder(run.folder, 3))
    assert said(store) == ["run long: checkpoints/step-00000003/SHA256 is missing"]


def test_a_clock_that_went_backwards_is_said_but_refuses_nothing(store: RunStore) -> None:
    run = store.begin("train", {"n": 3}, name="twice")
    run.interrupt()
    before = store.get("twice")
    later = datetime.fromisoformat(before.started) + timedelta(days=1)
    execute(
        store,
        update(runs).where(runs.c.id == "twice").values(started=later.isoformat(), ended=None),
    )
    run = store.begin("train", {"n": 3}, name="twice")
    run.finish({})
    record = store.get("twice")
    assert record.ended < record.started
    (text,) = said(store)
    assert text.startswith("run twice: the clock of the machine went backwards: started ")
    require_sound(store.engine, record)
    execute(store, update(runs).where(runs.c.id == "twice").values(started="yesterday"))
    assert "gave no time: started 'yesterday'" in said(store)[0]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE verdicts SET outcome = 'rejected'", "is not borne by verdict 1: rejected"),
        ("UPDATE verdicts SET candidate = '{zeros}'", "is not borne by verdict 1: accepted, 0000"),
        ("UPDATE verdicts SET baseline = '{zeros}'", "is not borne by verdict 1: accepted"),
        ("UPDATE verdicts SET rule = '{zeros}'", "rests on a rule that slot prod never had"),
        ("UPDATE promotions SET verdict_id = NULL", "rests on no verdict"),
        ("UPDATE promotions SET version = 2", "is gone"),
        ("UPDATE promotions SET kind = 'rollback'", "which did not hold it before"),
        ("UPDATE promotions SET previous = checkpoint", "but nothing held the slot"),
        ("UPDATE rules SET who = 'you'", "slot prod, rule 1, is altered"),
        ("UPDATE rules SET rule = '{{\"floor\": 0.1}}'", "slot prod, rule 1, is altered"),
        ("UPDATE rules SET version = 2", "slot prod, rule 1, is gone"),
        (
            "UPDATE runs SET ledger = '{zeros}' WHERE id = 'demos'",
            "rests on episodes that run demos no longer has",
        ),
    ],
)
def test_a_doctored_slot_is_named(store: RunStore, statement: str, problem: str) -> None:
    with writing(store.engine) as connection:
        connection.exec_driver_sql(statement.format(zeros="0" * 64))
    assert any(problem in text and "slot prod" in text for text in said(store)), said(store)


def test_old_runs_are_checked_against_their_shards(store: RunStore) -> None:
    """Runs from before there were digests: what can be compared is compared."""

    def as_before(manifest: dict[str, Any]) -> None:
        for name in ("artifacts", "resources", "sources", "assets"):
            del manifest[name]
        manifest["schema_version"] = 1

    edit(runs_folder() / "demos" / "manifest.json", as_before)
    nothing = {"manifest": None, "ledger": None}
    execute(store, update(runs).where(runs.c.id == "demos").values(nothing))
    assert texts_of_demos(store) == []
    execute(store, update(episodes).where(episodes.c.key == "drawer/s1-0").values(success=False))
    assert texts_of_demos(store) == [
        "run demos: ledger row of episode drawer/s1-0 is altered: success was True, is False"
    ]
    edit(runs_folder() / "demos" / "manifest.json", lambda m: m["config"]["plan"].update(seed=2))
    assert texts_of_demos(store)[0] == "run demos: row of the run, config.plan.seed, is 1, was 2"


def texts_of_demos(store: RunStore) -> list[str]:
    return [str(found) for found in check_run(store.engine, store.get("demos"), read_rows)]


def test_a_store_in_another_database(database: str, home: Path) -> None:
    store = RunStore()
    fill(store)
    assert (home / "robocache.db").exists() == (database == "sqlite")
    assert said(store) == []
    execute(store, update(episodes).where(episodes.c.key == "drawer/s1-1").values(success=None))
    execute(store, update(runs).where(runs.c.id == "policy").values(metrics={"loss": 0.5}))
    with writing(store.engine) as connection:
        connection.exec_driver_sql("UPDATE verdicts SET outcome = 'rejected'")
    texts = said(store)
    assert texts[0].endswith("drawer/s1-1 is altered: success was False, is None")
    assert texts[1].endswith("metrics.loss, is 0.5, was 0.25")
    assert "slot prod, version 1, is not borne by verdict 1: rejected" in texts[2]
