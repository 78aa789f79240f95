"""Answered requests kept as episodes, one for each client and session, written by a thread.

Streams have the names of the wire: the latest sample of every video and state, and for every action
`NAME.chunk`, the (H, A) plan that was answered. Times are when the request reached the server: what
the robot did with the plan, and when its sensors measured, the server does not know.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import RoboCacheError
from robocache.core.stream import Stream, StreamSpec
from robocache.serving.scan import MEBIBYTE

log = logging.getLogger(__name__)
Write = Callable[[Sequence[Episode]], None]
Session = tuple[bytes, int]
"""A client, and which row of its batches."""


@dataclass(frozen=True)
class Step:
    """One row of an answered request: stream name -> sample."""

    session: Session
    instruction: str
    samples: Mapping[str, NDArray[Any]]
    time_ns: int

    @property
    def nbytes(self) -> int:
        return sum(sample.nbytes for sample in self.samples.values())


@dataclass(eq=False)
class _Open:
    """An episode in the making."""

    steps: list[Step] = field(default_factory=list)
    nbytes: int = 0

    def fits(self, step: Step) -> bool:
        """Whether the step has the same words, streams, shapes and dtypes as those before."""
        last = self.steps[-1]
        return step.instruction == last.instruction and _form(step) == _form(last)


class EpisodeLog:
    """Keeps what is answered; at most `total_bytes` in memory, a step more is dropped and counted.

    An episode ends when its client resets, is asked something else, has said nothing for `idle_s`,
    or has filled `episode_bytes`; and all of them when the log is closed.

    Args:
        write: given one or more finished episodes, in a thread of the log.
        actor: who acts, for their provenance: a checkpoint's hash.
        episode_bytes: an episode is written when it has so many bytes.
        total_bytes: of all episodes in the making and of what waits to be added to them.
        idle_s: seconds.
        clock_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        write: Write,
        *,
        actor: str = "",
        episode_bytes: int = 64 * MEBIBYTE,
        total_bytes: int = 512 * MEBIBYTE,
        idle_s: float = 60.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._write, self._actor, self._clock_ns = write, actor, clock_ns
        self._episode_bytes, self._total_bytes = episode_bytes, total_bytes
        self._idle_ns = int(1e9 * idle_s)
        self._open: OrderedDict[Session, _Open] = OrderedDict()  # the longest idle first
        self._events: queue.SimpleQueue[Step | bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held = 0
        self._written = 0
        self.dropped = 0
        self.failed = 0
        self._began_ns = clock_ns()
        self._thread = threading.Thread(target=self._run, name="robocache-episodes", daemon=True)
        self._thread.start()

    def answered(
        self, client: bytes, observation: Mapping[str, Any], actions: Mapping[str, Any]
    ) -> None:
        """A request was answered; each of its rows is a step of an episode of its own."""
        now = self._clock_ns()
        for row, (instruction, samples) in enumerate(_rows(observation, actions)):
            step = Step((client, row), instruction, samples, now)
            with self._lock:
                full = self._held + step.nbytes > self._total_bytes
                self.dropped += full
                self._held += 0 if full else step.nbytes
            if not full:
                self._events.put(step)

    def began(self, client: bytes) -> None:
        """The client begins a new episode."""
        self._events.put(client)

    def close(self) -> None:
        """Write what is open, and end the thread."""
        self._events.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            if isinstance(event, bytes):
                self._finish([s for s in self._open if s[0] == event])
            else:
                self._add(event)
        self._finish(list(self._open))

    def _add(self, step: Step) -> None:
        if step.session in self._open and not self._open[step.session].fits(step):
            self._finish([step.session])
        known = self._open.setdefault(step.session, _Open())
        known.steps.append(step)
        known.nbytes += step.nbytes
        self._open.move_to_end(step.session)
        idle = [
            s for s, e in self._open.items() if e.steps[-1].time_ns < step.time_ns - self._idle_ns
        ]
        self._finish(idle)
        if known.nbytes >= self._episode_bytes:
            self._finish([step.session])
        with self._lock:
            crowded = self._held > self._total_bytes // 2
        if crowded and self._open:
            self._finish([next(iter(self._open))])

    def _finish(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            ended = self._open.pop(session)
            key = f"served-{self._began_ns}-{self._written:05d}"
            self._written += 1
            try:
                self._write([_episode(key, ended.steps, self._actor)])
            except RoboCacheError as error:
                self.failed += 1
                log.error("an episode of %d steps is lost: %s", len(ended.steps), error)
            with self._lock:
                self._held -= ended.nbytes


def _form(step: Step) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (sample.shape, sample.dtype.name) for name, sample in step.samples.items()}


def _rows(
    observation: Mapping[str, Any], actions: Mapping[str, Any]
) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """Instruction and samples of each row of an observation, nested or flat."""
    arrays: dict[str, NDArray[Any]] = {}
    texts: list[str] = []
    for modality, name, value in _named(observation):
        if isinstance(value, np.ndarray):
            arrays[f"{modality}.{name}" if name in arrays else name] = value[:, -1]
        elif modality == "language" and not texts:
            rows = [value] if isinstance(value, str) else value
            texts = [row if isinstance(row, str) else row[0] for row in rows]
    for name, chunk in actions.items():
        arrays[f"{name.removeprefix('action.')}.chunk"] = np.asarray(chunk)
    count = len(next(iter(arrays.values()), ()))
    return [
        (texts[row] if row < len(texts) else "", {name: a[row] for name, a in arrays.items()})
        for row in range(count)
    ]


def _named(observation: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """(modality, name, value) of an observation, nested or flat."""
    found = []
    for key, value in observation.items():
        if isinstance(value, Mapping):
            found += [(key, name, item) for name, item in value.items()]
        else:
            modality, dot, name = key.partition(".")
            prefixed = dot and modality in ("video", "state")
            found.append((modality, name, value) if prefixed else ("language", key, value))
    return found


def _episode(key: str, steps: Sequence[Step], actor: str) -> Episode:
    start = steps[0].time_ns
    times = np.array([step.time_ns - start for step in steps], np.float64) / 1e9
    for at in range(1, len(times)):
        times[at] = max(times[at], np.nextafter(times[at - 1], np.inf))
    streams = {}
    for name, sample in steps[0].samples.items():
        values = np.stack([step.samples[name] for step in steps])
        streams[name] = Stream(values, times, StreamSpec(sample.shape, sample.dtype.name))
    return Episode(
        key=key,
        streams=streams,
        instruction=steps[0].instruction,
        outcome=Outcome(steps=len(steps)),
        provenance=Provenance(dataset="served", source="robocache serve", actor=actor),
        start_ns=start,
    )
