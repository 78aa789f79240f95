"""A PostgreSQL server of our own for the tests, on a Unix socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

USER = "robocache"
GUARDED = "guarded"
_ACCESS = f"local {GUARDED} all scram-sha-256\nlocal all all trust\n"
_FAST = "-c fsync=off -c full_page_writes=off -c autovacuum=off"
_ACCOUNTS = ("postgres", "nobody")


class Server:
    """A running server; every test gets a database of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        self._account = None if os.getuid() else _account()
        self._numbers = count()
        if self._account is not None:
            os.chown(folder, *self._account)
        data = str(folder / "data")
        self._run("initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        (folder / "data" / "pg_hba.conf").write_text(_ACCESS)
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' {_FAST}"
        log = str(self.folder / "log")
        self._run(
            "pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", options
        )

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.folder / "data"))

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Let the administrator execute a statement."""
        self._run("psql", "-q", "-X", "-h", str(self.folder), "-U", USER, "-c", statement, database)

    def _run(self, program: str, *arguments: str) -> None:
        account = {}
        if self._account is not None:
            user, group = self._account
            account = {"user": user, "group": group, "extra_groups": []}
        # Into a file: the server inherits it, and a pipe would not end before the server does.
        with (self.folder / "output").open("a+") as output:
            command = [str(self._programs / program), *arguments]
            done = subprocess.run(
                command, stdout=output, stderr=output, cwd=self.folder, check=False, **account
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read()}"


def _account() -> tuple[int, int] | None:
    """User and group of an account that is not root, under which a server starts."""
    for name in _ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    return None


def _programs() -> Path | None:
    """The folder with initdb, pg_ctl and psql."""
    candidates = []
    on_path = shutil.which("initdb")
    if on_path is not None:
        candidates.append(Path(on_path).parent)
    config = shutil.which("pg_config")
    if config is not None:
        command = [config, "--bindir"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        candidates.append(Path(text.strip()))
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    needed = ("initdb", "pg_ctl", "psql")
    return next((f for f in candidates if all((f / name).is_file() for name in needed)), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server for all tests of the session."""
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'robocache[postgres]'")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl): apt install postgresql")
    if os.getuid() == 0 and _account() is None:
        pytest.skip(
            f"a PostgreSQL server does not run as root; no account {' or '.join(_ACCOUNTS)}"
        )
    # The path of a socket may have about a hundred letters, and another account must reach it.
    folder = Path(tempfile.mkdtemp(prefix="robocache-"))
    try:
        server = Server(programs, folder)
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)
