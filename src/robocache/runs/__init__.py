"""Runs, their evidence and what came of them: manifest, store, ledger, checkpoints, registry."""

from robocache.runs.check import Inconsistency, check_run, check_store, require_sound
from robocache.runs.checkpoints import (
    checkpoint_folder,
    commit_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    verify_checkpoint,
)
from robocache.runs.crash import CRASH_POINTS, crash_point, register_crash_point
from robocache.runs.database import open_database
from robocache.runs.evidence import Promotion, Rule, Verdict
from robocache.runs.files import (
    atomic_directory,
    atomic_write,
    make_directory,
    remove_directory,
    sha256_directory,
    sha256_file,
    sweep_temporaries,
)
from robocache.runs.home import database_path, datasets_folder, home, runs_folder
from robocache.runs.interrupt import StopRequest
from robocache.runs.ledger import Ledger, LedgerRow, rows_digest, sweep
from robocache.runs.lineage import Node, ancestry, descent
from robocache.runs.lock import FileLock
from robocache.runs.manifest import collect_manifest, read_manifest, upgraded, write_manifest
from robocache.runs.metrics import read_metrics
from robocache.runs.plain import config_hash, first_difference, plain, utc_now
from robocache.runs.records import RunRecord
from robocache.runs.registry import Registry
from robocache.runs.run import Run
from robocache.runs.store import RunStore

__all__ = [
    "CRASH_POINTS",
    "FileLock",
    "Inconsistency",
    "Ledger",
    "LedgerRow",
    "Node",
    "Promotion",
    "Registry",
    "Rule",
    "Run",
    "RunRecord",
    "RunStore",
    "StopRequest",
    "Verdict",
    "ancestry",
    "atomic_directory",
    "atomic_write",
    "check_run",
    "check_store",
    "checkpoint_folder",
    "collect_manifest",
    "commit_checkpoint",
    "config_hash",
    "crash_point",
    "database_path",
    "datasets_folder",
    "descent",
    "first_difference",
    "home",
    "latest_checkpoint",
    "list_checkpoints",
    "make_directory",
    "open_database",
    "plain",
    "read_manifest",
    "read_metrics",
    "register_crash_point",
    "remove_directory",
    "require_sound",
    "rows_digest",
    "runs_folder",
    "sha256_directory",
    "sha256_file",
    "sweep",
    "sweep_temporaries",
    "upgraded",
    "utc_now",
    "verify_checkpoint",
    "write_manifest",
]
