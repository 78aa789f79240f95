from __future__ import annotations

import hashlib
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robocache.core.errors import RunError, StoreError
from robocache.runs import Ledger, LedgerRow, make_directory, open_database, sweep


def row(key: str, shard: str = "s.parquet", content: str = "x") -> LedgerRow:
    return LedgerRow(key, shard, hashlib.sha256(content.encode()).hexdigest())


def test_rows_come_back_as_they_were() -> None:
    full = LedgerRow(
        key="drawer/7",
        shard="a/b.parquet",
        sha256="f" * 64,
        success=False,
        steps=120,
        task="drawer-open",
        seed=2**62 + 1,
        index=7,
        attempt=2,
        details={"opposite": 0.5, "list": [1, None]},
    )
    ledger = Ledger(open_database(), "demo")
    assert ledger.commit([row("z"), full]) == []
    assert ledger.rows() == [full, row("z")]
    assert ledger.keys() == {"drawer/7", "z"}
    assert ledger.shards() == {"a/b.parquet", "s.parquet"}


def test_a_taken_key_keeps_its_first_row() -> None:
    ledger = Ledger(open_database(), "demo")
    ledger.commit([row("a", "first")])
    again = [row("a", "second"), row("b", "second")]
    assert ledger.commit(again) == [again[0]]
    assert [(r.key, r.shard) for r in ledger.rows()] == [("a", "first"), ("b", "second")]
    assert ledger.commit(again) == again
    assert ledger.commit([]) == []


def test_one_key_twice_in_one_commit() -> None:
    ledger = Ledger(open_database(), "demo")
    rows = [row("a", "first"), row("a", "second")]
    assert ledger.commit(rows) == [rows[1]]
    assert ledger.shards() == {"first"}


def test_collections_do_not_mix() -> None:
    engine = open_database()
    one, two = Ledger(engine, "one"), Ledger(engine, "two")
    one.commit([row("a", content="x")])
    assert two.commit([row("a", content="y")]) == []
    assert one.fingerprint() != two.fingerprint()


def test_other_content_is_nondeterminism() -> None:
    ledger = Ledger(open_database(), "demo")
    ledger.commit([row("a", "first", "x")])
    other = row("a", "second", "y")
    with pytest.raises(StoreError, match="nondeterminism: episode 'a'") as raised:
        ledger.commit([row("new", "second"), other])
    assert isinstance(raised.value, RunError)
    assert row("a", content="x").sha256 in str(raised.value)
    assert other.sha256 in str(raised.value)
    assert ledger.keys() == {"a", "new"}  # the other row is safe
    assert ledger.rows()[0].shard == "first"
    assert [(c["key"], c["sha256"], c["shard"]) for c in ledger.conflicts()] == [
        ("a", other.sha256, "second")
    ]
    assert Ledger(open_database(), "else").conflicts() == []


def test_more_rows_than_one_query_takes() -> None:
    ledger = Ledger(open_database(), "demo")
    rows = [row(str(n)) for n in range(2500)]
    assert ledger.commit(rows) == []
    assert ledger.commit(rows) == rows


def test_fingerprint_by_hand() -> None:
    ledger = Ledger(open_database(), "demo")
    a, b = row("a", "s1", "x"), row("b", "s2", "y")
    ledger.commit([b])
    ledger.commit([a])
    expected = hashlib.sha256(f"a\0{a.sha256}\nb\0{b.sha256}\n".encode()).hexdigest()
    assert ledger.fingerprint() == expected


def test_sweep_keeps_what_a_row_names(tmp_path: Path) -> None:
    ledger = Ledger(open_database(), "demo")
    folder = tmp_path / "demo"
    for name in ("kept", "orphan", "deep/kept", "deep/orphan", "conflict"):
        make_directory((folder / name).parent)
        (folder / f"{name}.parquet").touch()
    (folder / ".x.tmp-1-2").mkdir()
    (folder / ".x.tmp-1-2" / "in.parquet").touch()
    (folder / "meta.json").touch()
    ledger.commit([row("a", "kept.parquet"), row("b", "deep/kept.parquet")])
    with pytest.raises(StoreError):
        ledger.commit([row("a", "conflict.parquet", "other")])
    sweep(ledger, folder)
    left = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert left == {"kept.parquet", "deep/kept.parquet", "conflict.parquet", "meta.json"}
    assert sweep(ledger, folder) == []


keys = st.text(string.ascii_lowercase[:4], min_size=1, max_size=1)
batches = st.lists(st.lists(st.tuples(keys, st.sampled_from("xy")), max_size=4), max_size=6)


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> list[Ledger]:
    url = f"sqlite:///{tmp_path_factory.mktemp('ledgers')}/some.db"
    engine = open_database(url)
    return [Ledger(engine, str(n)) for n in range(500)]


@settings(max_examples=15, deadline=None)
@given(batches)
def test_the_first_content_of_a_key_wins(
    ledgers: list[Ledger], batches: list[list[tuple[str, str]]]
) -> None:
    ledger = ledgers.pop()
    model: dict[str, str] = {}
    for number, batch in enumerate(batches):
        rows = [row(key, str(number), content) for key, content in batch]
        taken, conflict = [], False
        for given_row, (key, content) in zip(rows, batch, strict=True):
            if key in model:
                taken.append(given_row)
                conflict |= model[key] != content
            else:
                model[key] = content
        if conflict:
            with pytest.raises(StoreError, match="nondeterminism"):
                ledger.commit(rows)
        else:
            assert ledger.commit(rows) == taken
    assert {r.key: r.sha256 for r in ledger.rows()} == {
        key: row(key, content=content).sha256 for key, content in model.items()
    }
