"""What listing runs costs: the whole command `robocache runs ls`, interpreter start included.

    python benchmarks/runs_ls.py --runs 10000 --rounds 7

Its peer is the same command on a store without runs.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from measure import arguments, interleave, publish, ratio
from sqlalchemy import insert

from robocache.runs import RunStore, config_hash, open_database
from robocache.runs.database import writing
from robocache.runs.tables import runs, tags

COMMAND = (str(Path(sys.executable).with_name("robocache")), "runs", "ls")


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--all", action="store_true", help="list every run, not the newest 30")
    args = parser.parse_args()
    command = (*COMMAND, *(["--all"] if args.all else []))
    with tempfile.TemporaryDirectory() as scratch:
        homes = {"empty": Path(scratch) / "empty", "full": Path(scratch) / "full"}
        make_store(homes["empty"], 0)
        make_store(homes["full"], args.runs)
        sides = {name: functools.partial(wall_s, command, home) for name, home in homes.items()}
        seconds = interleave(sides, args.rounds)
    publish(
        args,
        {
            "unit": "seconds of wall clock for the whole command",
            "full_over_empty": ratio(seconds["full"], seconds["empty"]),
        },
        seconds=seconds,
        peers={"full": "empty"},
    )


def make_store(home: Path, count: int) -> None:
    """A run store with `count` runs, written to the database directly; they have no folders."""
    home.mkdir()
    engine = open_database(f"sqlite:///{home / 'robocache.db'}")
    rows = list(made_runs(count))
    with writing(engine) as connection:
        if rows:
            connection.execute(insert(runs), rows)
            marked = [{"run_id": row["id"], "tag": "paper"} for row in rows[::50]]
            connection.execute(insert(tags), marked)
    assert RunStore(engine).count() == count


def made_runs(count: int) -> Iterator[dict[str, Any]]:
    """Rows of trainings and their evaluations, as the verbs leave them."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(1, count + 1):
        verb = ("train", "eval")[number % 2]
        config = {"number": number, verb: {f"setting_{i}": i / 7 for i in range(60)}}
        digest = config_hash(config)
        started = began + timedelta(minutes=number)
        rate = {"successes": 40, "trials": 50, "rate": 0.8, "low": 0.67, "high": 0.89}
        metrics = {
            "train": {"steps": 2500, "checkpoint": digest, "windows": 60_000},
            "eval": {"overall": rate, "tasks": {f"task-{i}": rate for i in range(10)}},
        }
        yield {
            "id": f"{verb}-{digest[:10]}",
            "verb": verb,
            "status": "complete",
            "started": started.isoformat(),
            "ended": (started + timedelta(seconds=50)).isoformat(),
            "config": config,
            "config_hash": digest,
            "inputs": {"parents": [], "seeds": [0], "datasets": {"demos": digest}},
            "folder": f"runs/{verb}-{digest[:10]}",
            "metrics": metrics[verb],
            "number": number,
            "manifest": {f"field_{i}": digest[:16] for i in range(25)},
            "ledger": digest,
            "removed": {},
        }


def wall_s(command: tuple[str, ...], home: Path) -> float:
    """Seconds of one run of the command on this home."""
    environment = {**os.environ, "ROBOCACHE_HOME": str(home)}
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
