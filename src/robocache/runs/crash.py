"""Named places where a test can kill the process.

With `ROBOCACHE_CRASH_AT=<name>` in the environment the process ends at that place as if it had
been killed: no clean-up, no flush, exit status 137. Every place is named here or registered by
the room that has it, so a test can go through all of them.
"""

from __future__ import annotations

import os

from robocache.core.errors import unknown_name

CRASH_VARIABLE = "ROBOCACHE_CRASH_AT"
CRASH_STATUS = 137

CRASH_POINTS: dict[str, str] = {
    "file-written": "a temporary file is complete and synced, not yet renamed",
    "file-renamed": "a file has its final name",
    "directory-written": "a temporary folder is complete and synced, not yet renamed",
    "directory-renamed": "a folder has its final name",
    "database-migrated": "the schema is made or upgraded, not yet committed",
    "ledger-inserted": "episode rows are inserted, not yet committed",
    "ledger-committed": "episode rows are committed, the caller does not know it yet",
    "checkpoint-unrecorded": "a checkpoint is complete on disk, not yet recorded",
    "run-unrecorded": "the folder and lock of a run exist, its row does not",
    "run-recorded": "the row of a run exists, its manifest does not",
    "run-finishing": "the final manifest is written, the row still says running",
    "rule-inserted": "a slot's rule is inserted, not yet committed",
    "promotion-inserted": "a promotion is inserted, not yet committed",
}


def register_crash_point(name: str, when: str) -> None:
    """Name a further place; `when` says what is done and what is not at that moment."""
    CRASH_POINTS[name] = when


def crash_point(name: str) -> None:
    """End the process here if the environment asks for it.

    Raises:
        ConfigError: `name` is not registered.
    """
    if name not in CRASH_POINTS:
        raise unknown_name("crash point", name, CRASH_POINTS)
    if os.environ.get(CRASH_VARIABLE) == name:
        os._exit(CRASH_STATUS)
