"""`robocache doctor`: what works here, what does not, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from rich.markup import escape
from sqlalchemy import Engine

from robocache.cli.findings import Finding
from robocache.cli.machine import (
    disk_findings,
    drawing_findings,
    graphics_findings,
    kernel_findings,
    memory_finding,
    thread_findings,
)
from robocache.cli.output import console
from robocache.core.errors import RoboCacheError
from robocache.runs import RunRecord, RunStore, database_path, home, read_manifest
from robocache.runs.database import DATABASE_VARIABLE, reading
from robocache.runs.tables import SCHEMA

SIMULATORS = {"mujoco": "3.3.0", "metaworld": "3.1.1"}
"""What the extra `sim` pins; results are known with these versions only."""
DECODERS = {"h264": "H.264", "hevc": "H.265", "libdav1d": "AV1", "mpeg4": "MPEG-4"}
MARKS = {"ok": "ok     ", "note": "note   ", "problem": "[red]PROBLEM[/red]"}
STOPPED_SHOWN = 5


def doctor() -> list[Finding]:
    """Look at everything, printing each finding as it is made."""
    findings = []
    for finding in examine():
        findings.append(finding)
        console.print(f"{MARKS[finding.level]} {escape(finding.text)}")
        if finding.advice:
            console.print(f"        -> {finding.advice}", markup=False)
    return findings


def examine() -> Iterator[Finding]:
    """Everything worth knowing about the installation."""
    yield Finding(
        "ok",
        "python",
        f"robocache {version('robocache')}, Python {platform.python_version()} on "
        f"{platform.platform()}",
    )
    yield from thread_findings()
    yield from graphics_findings()
    yield from kernel_findings()
    yield memory_finding()
    yield from disk_findings(home())
    yield from simulator_findings()
    yield from drawing_findings()
    yield video_finding()
    yield postgres_finding()
    yield from store_findings()


def simulator_findings() -> Iterator[Finding]:
    """Whether episodes can be simulated, with the versions that results are known for."""
    for module, wanted in SIMULATORS.items():
        if importlib.util.find_spec(module) is None:
            text = f"{module} is not installed: no simulated episodes"
            yield Finding("problem", "simulator", text, "pip install 'robocache[sim]'")
        elif (found := version(module)) != wanted:
            text = f"{module} {found}: results are only known with {wanted}"
            yield Finding("problem", "simulator", text, f"pip install {module}=={wanted}")
        else:
            yield Finding("ok", "simulator", f"{module} {found}")


def video_finding() -> Finding:
    """Which videos of datasets can be read."""
    import av

    missing = [name for codec, name in DECODERS.items() if codec not in av.codecs_available]
    text = f"av {av.__version__} decodes {', '.join(DECODERS.values())}"
    if not missing:
        return Finding("ok", "video", text)
    text = f"av {av.__version__} cannot decode {', '.join(missing)}: such datasets are not read"
    return Finding("problem", "video", text, "pip install --force-reinstall --only-binary av av")


def postgres_finding() -> Finding:
    """The driver for a run database on a server; needed only when the database is one."""
    if importlib.util.find_spec("psycopg") is not None:
        return Finding("ok", "postgres", f"psycopg {version('psycopg')}: PostgreSQL can be used")
    asked = os.environ.get(DATABASE_VARIABLE, "").startswith("postgres")
    return Finding(
        "problem" if asked else "note",
        "postgres",
        "psycopg is not installed: the run database cannot be on a PostgreSQL server",
        "pip install 'robocache[postgres]'",
    )


def store_findings() -> Iterator[Finding]:
    """Whether the run store can be read, and what waits in it to be continued."""
    if DATABASE_VARIABLE not in os.environ and not database_path().exists():
        yield Finding("ok", "store", f"no run store yet; the first run makes one in {home()}")
        return
    try:
        store = RunStore()
        damage = database_damage(store.engine)
        records = [*store.runs(status="interrupted"), *store.runs(status="failed")]
        count = store.count()
    except RoboCacheError as error:
        yield Finding("problem", "store", f"run store: {error}")
        return
    place = store.engine.url.render_as_string()
    if damage:
        yield Finding(
            "problem",
            "store",
            f"the run database {place} is damaged: {damage[0]}",
            "restore it from a backup; run folders are not touched",
        )
    else:
        yield Finding("ok", "store", f"{count:,} runs in {place}, schema {SCHEMA}")
    for record in records[-STOPPED_SHOWN:]:
        yield _stopped(record)
    if len(records) > STOPPED_SHOWN:
        text = f"{len(records) - STOPPED_SHOWN} older runs were interrupted or failed as well"
        yield Finding("note", "store", text, "robocache runs ls --all --status interrupted")


def database_damage(engine: Engine) -> list[str]:
    """What SQLite finds wrong with its file; a server looks after itself."""
    if engine.dialect.name != "sqlite":
        return []
    with reading(engine) as connection:
        said = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
    return [line for line in said if line != "ok"]


def _stopped(record: RunRecord) -> Finding:
    text = f"run {record.id} ({record.verb}) is {record.status}"
    if record.error:
        text += f": {record.error.splitlines()[0]}"
    try:
        program, *arguments = read_manifest(record.folder)["command"]
    except RoboCacheError as error:
        return Finding("note", "store", text, str(error))
    return Finding("note", "store", text, shlex.join([Path(program).name, *arguments]))
