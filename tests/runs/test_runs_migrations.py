"""A store of the first schema, as it is found on disk, is opened by this version."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from robocache.core.errors import StoreError
from robocache.runs import (
    Registry,
    RunStore,
    check_store,
    commit_checkpoint,
    database_path,
    open_database,
    read_manifest,
    runs_folder,
    tables,
    verify_checkpoint,
)
from robocache.runs.database import DATABASE_VARIABLE, reading

MANIFEST = json.loads(Path(__file__).with_name("manifest_v1.json").read_text())
STARTED = {
    "policy": "2026-01-02T01:00:00.000000+00:00",
    "a-last": "2026-01-02T02:59:59.000000+00:00",
    "b-same": "2026-01-02T02:00:00.000000+00:00",
    "a-same": "2026-01-02T02:00:00.000000+00:00",
    "z-first": "2026-01-01T00:00:00.000000+00:00",
}


def migrate(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        step = command.upgrade if revision == "0001" else command.downgrade
        step(config, "0001")


def add(engine: Engine, table: str, **values: Any) -> None:
    encoded = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }
    names = ", ".join(encoded)
    places = ", ".join(f":{name}" for name in encoded)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), encoded)


def url() -> str:
    given = os.environ.get(DATABASE_VARIABLE, f"sqlite:///{database_path()}")
    return given.replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture
def checkpoint(database: str, home: Path) -> Path:
    """A store as the first version left it; the checkpoint that holds its slot."""
    home.mkdir()
    engine = create_engine(url())
    migrate(engine, "0001")
    for run_id, started in STARTED.items():
        folder = runs_folder() / run_id
        folder.mkdir(parents=True)
        manifest = {**MANIFEST, "run": run_id}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        add(
            engine,
            "runs",
            id=run_id,
            verb="train",
            name=run_id,
            status="complete",
            started=started,
            ended=MANIFEST["ended"],
            config=MANIFEST["config"],
            config_hash=MANIFEST["config_hash"],
            inputs={name: MANIFEST[name] for name in ("parents", "seeds", "datasets")},
            folder=f"runs/{run_id}",
            metrics=MANIFEST["metrics"],
        )
    path = runs_folder() / "policy" / "checkpoints" / "step-00000002"
    sha256 = commit_checkpoint(lambda f: (f / "policy").write_text("2"), path)
    stored = path.relative_to(home).as_posix()
    add(engine, "checkpoints", sha256=sha256, run_id="policy", step=2, path=stored, created="then")
    add(
        engine,
        "verdicts",
        candidate=sha256,
        baseline="0" * 64,
        outcome="accepted",
        numbers={"delta": 0.5},
        plan={"episodes": 50},
        created="then",
    )
    add(
        engine,
        "promotions",
        slot="production",
        version=1,
        checkpoint=sha256,
        baseline="0" * 64,
        verdict_id=1,
        kind="promote",
        who="me",
        created="then",
    )
    engine.dispose()
    return path


def test_old_runs_stay_readable(checkpoint: Path) -> None:
    store = RunStore()
    known = store.runs()
    assert [record.id for record in known] == ["z-first", "policy", "a-same", "b-same", "a-last"]
    assert [record.number for record in known] == [1, 2, 3, 4, 5]
    record = store.get("policy")
    assert (record.config, record.metrics) == (MANIFEST["config"], {"loss": 0.25})
    assert (record.manifest, record.ledger, record.removed) == (None, None, {})
    assert (record.note, record.tags) == (None, ())
    with reading(store.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    assert version == tables.SCHEMA


def test_old_runs_are_found_again_and_new_ones_come_after_them(checkpoint: Path) -> None:
    store = RunStore()
    inputs = {name: MANIFEST[name] for name in ("parents", "seeds", "datasets")}
    assert store.begin("train", MANIFEST["config"], name="policy", **inputs).complete
    store.tag("policy", add=["old"])
    assert [record.id for record in store.runs(tag="old")] == ["policy"]
    new = store.begin("train", {}, name="new")
    assert new.record.number == 6
    new.finish({})


def test_an_old_run_whose_folder_was_emptied_is_made_again(checkpoint: Path) -> None:
    shutil.rmtree(runs_folder() / "a-last")
    store = RunStore()
    inputs = {name: MANIFEST[name] for name in ("parents", "seeds", "datasets")}
    run = store.begin("train", MANIFEST["config"], name="a-last", **inputs)
    assert (run.complete, run.resumed, run.record.number) == (False, False, 5)
    run.finish({})
    assert read_manifest(run.folder)["schema_version"] == 2
    assert store.get("a-last").manifest is not None


def test_an_old_slot_keeps_its_holder(checkpoint: Path) -> None:
    store = RunStore()
    registry = Registry(store.engine)
    holder = registry.holder("production")
    assert holder is not None
    assert (holder.checkpoint, holder.path) == (verify_checkpoint(checkpoint), checkpoint)
    (verdict,) = registry.verdicts(holder.checkpoint, "0" * 64)
    assert (verdict.rule, verdict.evidence, verdict.numbers) == (None, {}, {"delta": 0.5})
    added = registry.add_verdict(holder.checkpoint, "", "accepted", numbers={}, plan={})
    assert added.id == 2
    assert store.find_checkpoint("slot:production") == checkpoint


def test_an_old_store_is_consistent_and_alterations_in_it_are_named(checkpoint: Path) -> None:
    engine = open_database()
    assert [str(problem) for problem in check_store(engine)] == []
    (checkpoint / "policy").write_text("3")
    manifest = runs_folder() / "a-last" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.25", "0.75"))
    texts = [str(problem) for problem in check_store(engine)]
    assert [text.partition(" (")[0] for text in texts] == [
        "run policy: checkpoints/step-00000002/policy is altered",
        "run a-last: row of the run, metrics.loss, is 0.25, was 0.75",
    ]


def test_the_step_can_be_taken_back(checkpoint: Path) -> None:
    open_database().dispose()
    engine = create_engine(url())
    migrate(engine, "back")
    with engine.begin() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM runs").scalar()
    engine.dispose()
    assert count == 5
    assert [record.number for record in RunStore().runs()] == [1, 2, 3, 4, 5]


def test_a_manifest_of_a_newer_version_stops_only_its_run(checkpoint: Path) -> None:
    path = runs_folder() / "a-last" / "manifest.json"
    path.write_text(json.dumps({**MANIFEST, "schema_version": 3}))
    store = RunStore()
    with pytest.raises(StoreError, match=r"schema_version 3, this version reads up to 2.*upgrade"):
        read_manifest(path)
    (problem,) = check_store(store.engine)
    assert (problem.run, problem.place) == ("a-last", "manifest.json")
    assert "upgrade robocache" in problem.problem
