"""Answered requests kept as episodes, one for each client and session, written by a thread.

Streams have the names of the wire: the latest sample of every video and state, and for every action
`NAME.chunk`, the (H, A) plan that was answered, which became available when it was. Times are when
the request reached the server: when sensors measured, and what the robot did with the plan, it does
not know.
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
from robocache.core.stream import Stream, StreamSpec
from robocache.serving.protocol import ModalityConfig
from robocache.serving.scan import MEBIBYTE

log = logging.getLogger(__name__)
Write = Callable[[Sequence[Episode]], None]
Session = tuple[bytes, int]
"""A client, and which row of its batches."""


@dataclass(frozen=True)
class Step:
    """One row of an answered request: stream name -> sample, when it came, how long it took."""

    session: Session
    instruction: str
    samples: Mapping[str, NDArray[Any]]
    time_ns: int
    latency_s: float

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
        modalities: what the policy reads; nothing else is kept.
        actor: who acts, for their provenance: a checkpoint's hash.
        episode_bytes: an episode is written when it has so many bytes.
        total_bytes: of all episodes in the making and of what waits to be added to them.
        idle_s: seconds.
        clock_ns: nanoseconds since 1970.
    """

    def __init__(
        self,
        write: Write,
        modalities: Mapping[str, ModalityConfig],
        *,
        actor: str = "",
        episode_bytes: int = 64 * MEBIBYTE,
        total_bytes: int = 512 * MEBIBYTE,
        idle_s: float = 60.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._write, self._modalities = write, modalities
        self._actor, self._clock_ns = actor, clock_ns
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
        self,
        client: bytes,
        observation: Mapping[str, Any],
        actions: Mapping[str, Any],
        latency_s: float,
    ) -> None:
        """A request was answered; each of its rows is a step of an episode of its own."""
        came_ns = self._clock_ns() - int(1e9 * latency_s)
        try:
            rows = _rows(observation, actions, self._modalities)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.error("an answered request is not kept: its form is not known (%r)", error)
            self.dropped += 1
            return
        for row, (instruction, samples) in enumerate(rows):
            step = Step((client, row), instruction, samples, came_ns, latency_s)
            with self._lock:
                full = self._held + step.nbytes > self._total_bytes
                self.dropped += full
                self._held += 0 if full else step.nbytes
            if not full:
                self._events.put(step)

    def began(self, client: bytes) -> None:
        """The client begins a new episode."""
        self._events.put(client)

    def gauges(self) -> dict[str, float]:
        """Figures for the server's metrics."""
        with self._lock:
            return {
                "episodes_written": self._written - self.failed,
                "episodes_failed": self.failed,
                "episode_steps_dropped": self.dropped,
                "episode_bytes_held": self._held,
            }

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
        while self._longest_idle().time_ns < step.time_ns - self._idle_ns:
            self._finish([self._longest_idle().session])
        if known.nbytes >= self._episode_bytes:
            self._finish([step.session])
        with self._lock:
            crowded = self._held > self._total_bytes // 2
        if crowded and self._open:
            self._finish([self._longest_idle().session])

    def _longest_idle(self) -> Step:
        """The last step of the episode that nothing was added to for longest."""
        return next(iter(self._open.values())).steps[-1]

    def _finish(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            ended = self._open.pop(session)
            key = f"served-{self._began_ns}-{self._written:05d}"
            self._written += 1
            try:
                self._write([_episode(key, ended.steps, self._actor)])
            except Exception as error:  # noqa: BLE001  Serving goes on without this episode.
                self.failed += 1
                log.error("an episode of %d steps is lost: %s", len(ended.steps), error)
            with self._lock:
                self._held -= ended.nbytes


def _form(step: Step) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (sample.shape, sample.dtype.name) for name, sample in step.samples.items()}


def _rows(
    observation: Mapping[str, Any],
    actions: Mapping[str, Any],
    modalities: Mapping[str, ModalityConfig],
) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """Instruction and samples of each row of an observation, nested or flat."""
    arrays: dict[str, NDArray[Any]] = {}
    for modality in ("video", "state"):
        for name in modalities[modality].modality_keys if modality in modalities else ():
            value = _found(observation, modality, name)
            arrays[f"{modality}.{name}" if name in arrays else name] = value[:, -1]
    for name, chunk in actions.items():
        arrays[f"{name.removeprefix('action.')}.chunk"] = np.asarray(chunk)
    texts: Any = [""]
    if "language" in modalities:
        texts = _found(observation, "language", modalities["language"].modality_keys[0])
    texts = [texts] if isinstance(texts, str) else texts
    rows = len(next(iter(arrays.values()), ()))
    return [
        (
            texts[row % len(texts)] if isinstance(texts[0], str) else texts[row][0],
            {name: array[row] for name, array in arrays.items()},
        )
        for row in range(rows)
    ]


def _found(observation: Mapping[str, Any], modality: str, name: str) -> Any:
    """What an observation that a policy has accepted has under this name."""
    nested = observation.get(modality)
    if isinstance(nested, Mapping):
        return nested[name]
    return observation[name if modality == "language" else f"{modality}.{name}"]


def _episode(key: str, steps: Sequence[Step], actor: str) -> Episode:
    start = steps[0].time_ns
    times = np.array([step.time_ns - start for step in steps], np.float64) / 1e9
    for at in range(1, len(times)):
        times[at] = max(times[at], np.nextafter(times[at - 1], np.inf))
    streams = {}
    for name, sample in steps[0].samples.items():
        values = np.stack([step.samples[name] for step in steps])
        spec = StreamSpec(sample.shape, sample.dtype.name)
        answered = times + [step.latency_s for step in steps]
        streams[name] = Stream(values, times, spec, answered if name.endswith(".chunk") else None)
    return Episode(
        key=key,
        streams=streams,
        instruction=steps[0].instruction,
        outcome=Outcome(steps=len(steps)),
        provenance=Provenance(dataset="served", source="robocache serve", actor=actor),
        start_ns=start,
    )
