"""Runs, their evidence and what came of them: manifest, store, ledger, checkpoints, registry."""

from robocache.runs.checkpoints import (
    checkpoint_folder,
    commit_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    prune,
    verify_checkpoint,
)
from robocache.runs.crash import CRASH_POINTS, crash_point, register_crash_point
from robocache.runs.database import open_database
from robocache.runs.evidence import Promotion, Verdict
from robocache.runs.files import (
    atomic_directory,
    atomic_write,
    make_directory,
    sha256_directory,
    sha256_file,
    sweep_temporaries,
)
from robocache.runs.home import database_path, datasets_folder, home, runs_folder
from robocache.runs.interrupt import StopRequest
from robocache.runs.ledger import Ledger, LedgerRow, sweep
from robocache.runs.manifest import collect_manifest, read_manifest, write_manifest
from robocache.runs.metrics import read_metrics
from robocache.runs.plain import config_hash, first_difference, plain, utc_now
from robocache.runs.records import RunRecord
from robocache.runs.registry import Registry
from robocache.runs.run import Run
from robocache.runs.store import RunStore

__all__ = [
    "CRASH_POINTS",
    "Ledger",
    "LedgerRow",
    "Promotion",
    "Registry",
    "Run",
    "RunRecord",
    "RunStore",
    "StopRequest",
    "Verdict",
    "atomic_directory",
    "atomic_write",
    "checkpoint_folder",
    "collect_manifest",
    "commit_checkpoint",
    "config_hash",
    "crash_point",
    "database_path",
    "datasets_folder",
    "first_difference",
    "home",
    "latest_checkpoint",
    "list_checkpoints",
    "make_directory",
    "open_database",
    "plain",
    "prune",
    "read_manifest",
    "read_metrics",
    "register_crash_point",
    "runs_folder",
    "sha256_directory",
    "sha256_file",
    "sweep",
    "sweep_temporaries",
    "utc_now",
    "verify_checkpoint",
    "write_manifest",
]
