"""`/metrics` over HTTP on the loopback interface, for a Prometheus on the same machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from robocache.core.errors import ServingError


def page(path: str, text: Callable[[], str]) -> tuple[int, bytes]:
    """HTTP status and body of a path."""
    return (200, text().encode()) if path == "/metrics" else (404, b"see /metrics\n")


@contextmanager
def metrics_page(port: int, text: Callable[[], str]) -> Iterator[int]:
    """Serve `text()` under http://127.0.0.1:port/metrics from a thread; gives the port.

    Raises:
        ServingError: the port cannot be used.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            status, body = page(self.path, text)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    try:
        server = HTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ServingError(f"metrics cannot be served on port {port} ({error})") from error
    thread = threading.Thread(target=server.serve_forever, name="robocache-metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
