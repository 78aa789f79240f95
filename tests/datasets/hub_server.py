"""A Hugging Face hub on the loopback interface, with one dataset repository."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "robots/pick"
PAGE = 5
"""Entries of a page of the tree."""


class Hub:
    """What the server knows; tests change it while it runs.

    Attributes:
        folder: files of the repository.
        commit: what every branch points to.
        served: paths of the files that were sent, in order.
        asked: all paths that were asked for.
        damaged: file -> what is sent in its place.
        gated: the repository asks for conditions to be accepted.
        closed: every answer is 503.
        listed: further entries of the tree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.commit = folder, "a" * 40
        self.served: list[str] = []
        self.asked: list[str] = []
        self.damaged: dict[str, bytes] = {}
        self.gated = self.closed = False
        self.listed: list[dict] = []
        self.endpoint = ""

    def tree(self, inside: str) -> list[dict]:
        """Entries as the hub tells them: Parquet and videos lie in LFS."""
        entries = list(self.listed)
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if not name.startswith(f"{inside}/" if inside else ""):
                continue
            if path.is_dir():
                entries.append({"type": "directory", "path": name, "oid": "0" * 40})
            else:
                entries.append(self.entry(name))
        return entries

    def entry(self, name: str) -> dict:
        data = (self.folder / name).read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry = {"type": "file", "path": name, "size": len(data), "oid": git}
        if name.endswith((".parquet", ".mp4")):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
        return entry


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_POST(self) -> None:
        """Information on single paths."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = parse_qs(form).get("paths", [])
        there = [path for path in asked if (self.hub.folder / path).is_file()]
        self.send(json.dumps([self.hub.entry(p) for p in there]).encode())

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        hub, parts = self.hub, urlsplit(self.path)
        path = unquote(parts.path)
        hub.asked.append(path)
        if hub.closed:
            return self.refuse(503, "")
        if hub.gated:
            return self.refuse(403, "GatedRepo")
        start, api = f"/datasets/{REPOSITORY}/resolve/", f"/api/datasets/{REPOSITORY}"
        revision = path.removeprefix(api).split("/")[2:3]
        if path.startswith(start):
            return self.file(path.removeprefix(start).partition("/")[2], body)
        if path == api or path.startswith(f"{api}/revision/"):
            if revision and revision[0] not in ("main", "v1.0", hub.commit):
                return self.refuse(404, "RevisionNotFound")
            return self.send(json.dumps({"id": REPOSITORY, "sha": hub.commit}).encode())
        if path.startswith(f"{api}/tree/"):
            inside = path.removeprefix(f"{api}/tree/{revision[0]}").strip("/")
            if inside and not (hub.folder / inside).is_dir():
                return self.refuse(404, "EntryNotFound")
            return self.page(hub.tree(inside), int(parse_qs(parts.query).get("cursor", ["0"])[0]))
        return self.refuse(404, "RepoNotFound")

    def page(self, entries: list[dict], first: int) -> None:
        more = {}
        if first + PAGE < len(entries):
            base = urlsplit(self.path).path
            link = f"{self.hub.endpoint}{base}?recursive=True&cursor={first + PAGE}"
            more = {"Link": f'<{link}>; rel="next"'}
        self.send(json.dumps(entries[first : first + PAGE]).encode(), more)

    def file(self, name: str, body: bool) -> None:
        if not (self.hub.folder / name).is_file():
            return self.refuse(404, "EntryNotFound")
        data = (self.hub.folder / name).read_bytes()
        data = self.hub.damaged.get(name, data)
        if body:
            self.hub.served.append(name)
        entry = self.hub.entry(name)
        tag = entry.get("lfs", entry)["oid"]
        self.send(data, {"ETag": f'"{tag}"', "X-Repo-Commit": self.hub.commit}, body)

    def send(self, data: bytes, more: dict | None = None, body: bool = True) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A hub with the files of a folder, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    hub = server.hub = Hub(folder)  # type: ignore[attr-defined]
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
