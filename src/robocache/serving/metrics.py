"""What the server counts and measures, as text that Prometheus reads."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import numpy as np

RECENT = 2048
"""Quantiles are over so many of the latest requests."""
PHASES = ("queue", "compute", "total")


class Metrics:
    """Counters, latencies and batch sizes; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._batches: Counter[int] = Counter()
        self._recent: dict[str, deque[float]] = {name: deque(maxlen=RECENT) for name in PHASES}
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def request(self, endpoint: str) -> None:
        """A request came in."""
        with self._lock:
            self._requests[endpoint] += 1

    def error(self, kind: str) -> None:
        """Something was refused or failed, by kind of error."""
        with self._lock:
            self._errors[kind] += 1

    def batch(self, size: int) -> None:
        """The policy was asked for so many requests at once."""
        with self._lock:
            self._batches[size] += 1

    def latency(self, phase: str, seconds: float) -> None:
        """A request spent so long waiting ("queue"), in the policy ("compute"), or in all."""
        with self._lock:
            self._recent[phase].append(seconds)
            self._sums[phase] += seconds  # type: ignore[assignment]
            self._counts[phase] += 1

    def quantiles_s(self, phase: str) -> tuple[float, float]:
        """Median and 99 % quantile of the latest latencies in seconds, NaN where there are none."""
        with self._lock:
            recent = np.array(self._recent[phase] or [np.nan])
        p50, p99 = np.quantile(recent, [0.5, 0.99])
        return float(p50), float(p99)

    def totals(self) -> dict[str, dict[str, int]]:
        """Requests by endpoint and errors by kind."""
        with self._lock:
            return {"requests": dict(self._requests), "errors": dict(self._errors)}

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of it in the text format of Prometheus.

        Args:
            gauges: name -> what is true right now, e.g. the depth of the queue.
        """
        with self._lock:
            requests, errors = sorted(self._requests.items()), sorted(self._errors.items())
            batches = sorted(self._batches.items())
            sums, counts = dict(self._sums), dict(self._counts)
        lines = [
            *_family("requests_total", "counter", (("endpoint", k, v) for k, v in requests)),
            *_family("errors_total", "counter", (("kind", k, v) for k, v in errors)),
            *_family("batches_total", "counter", (("size", str(k), v) for k, v in batches)),
        ]
        for phase in PHASES:
            name = f"robocache_{phase}_seconds"
            lines.append(f"# TYPE {name} summary")
            for quantile, value in zip(("0.5", "0.99"), self.quantiles_s(phase), strict=True):
                lines.append(f'{name}{{quantile="{quantile}"}} {value:.6g}')
            lines.append(f"{name}_sum {sums.get(phase, 0.0):.6g}")
            lines.append(f"{name}_count {counts.get(phase, 0)}")
        for name, value in gauges.items():
            lines += [f"# TYPE robocache_{name} gauge", f"robocache_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, rows: Iterable[tuple[str, str, float]]) -> list[str]:
    lines = [f"# TYPE robocache_{name} {kind}"]
    return lines + [f'robocache_{name}{{{label}="{key}"}} {value:g}' for label, key, value in rows]
