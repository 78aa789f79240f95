"""What two runs made, compared to the bit in the order in which it came about.

The first difference is the cause of all later ones, so it is the one that is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.cli.datasets import EPISODES
from robocache.cli.open_loop import FIGURES, TRAJECTORIES
from robocache.core.episode import Episode
from robocache.core.stream import Stream
from robocache.datasets import EpisodeStore
from robocache.learning.engine.checkpoint import compare_checkpoints
from robocache.learning.engine.trace import TRACE_NAME, compare_traces, read_trace
from robocache.runs import (
    RunRecord,
    RunStore,
    list_checkpoints,
    plain,
    read_manifest,
    read_metrics,
    upgraded,
)
from robocache.runs.drift import NOTHING, Difference, differences
from robocache.runs.metrics import METRICS_NAME

Found = tuple[Difference | None, int]
"""The first difference, and how many things were compared."""

_SPEED = "samples_per_s"
_LATER_OPEN_LOOP = ("first_step", "dimensions", "trajectories")
_LAST_STREAMS = ("expert_action", "action")  # what is seen at a moment comes before what is done


@dataclass(frozen=True)
class KnownRun:
    """A run of this home, or one whose manifest lies anywhere.

    Attributes:
        name: its id.
        manifest: of the present version.
        folder: where its files are, as far as they are there.
        record: what the store knows of it; None of a run from elsewhere.
    """

    name: str
    manifest: dict[str, Any]
    folder: Path
    record: RunRecord | None = None

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.manifest["config"])


@dataclass(frozen=True)
class Compared:
    """The first difference between the content of two runs, and how much was compared."""

    difference: Difference | None
    counts: Mapping[str, int]

    def __str__(self) -> str:
        counted = [f"{count} {what}" for what, count in self.counts.items() if count]
        return f"{', '.join(counted) or 'nothing'} compared"


def known_run(store: RunStore, text: str) -> KnownRun:
    """The run called `text`, or that of the manifest, or of the run folder, at this path.

    Raises:
        ConfigError: neither.
        CorruptFileError: the file is not a manifest.
    """
    if not store.runs(run_id=text) and Path(text).exists():
        manifest = upgraded(read_manifest(Path(text)))
        folder = Path(text) if Path(text).is_dir() else Path(text).parent
        return KnownRun(str(manifest.get("run") or text), manifest, folder.absolute())
    record = store.get(text)
    return KnownRun(record.id, upgraded(read_manifest(record.folder)), record.folder, record)


def compare_content(was: KnownRun, now: KnownRun) -> Compared:
    """The first difference in what two runs of the same verb made."""
    counts: dict[str, int] = {}
    for what, compare in _CONTENT.get(was.manifest["verb"], {}).items():
        found, counts[what] = compare(was, now)
        if found is not None:
            return Compared(found, counts)
    found, counts["final figures"] = _final_figures(was, now)
    return Compared(found, counts)


def flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each figure."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _steps(was: KnownRun, now: KnownRun) -> Found:
    return compare_traces(*(read_trace(run.folder / TRACE_NAME) for run in (was, now)))


def _figures_on_the_way(was: KnownRun, now: KnownRun) -> Found:
    """Lines of metrics.jsonl, but for the speed; what only one of them logged is left out."""
    ours, theirs = (
        {
            (row["step"], name): value
            for row in read_metrics(run.folder / METRICS_NAME)
            for name, value in row.items()
            if name not in ("step", _SPEED)
        }
        for run in (was, now)
    )
    common = [place for place in ours if place in theirs]
    for step, name in common:
        place = f"step {step}, {name.replace('_', ' ')}"
        for found in differences(ours[step, name], theirs[step, name], place):
            return found, len(common)
    return None, len(common)


def _checkpoints(was: KnownRun, now: KnownRun) -> Found:
    """Checkpoints that both made; an interruption makes one more."""
    ours, theirs = (list_checkpoints(run.folder) for run in (was, now))
    common = [step for step in ours if step in theirs]
    for step in common:
        found = compare_checkpoints(ours[step], theirs[step])
        if found is not None:
            place = f"checkpoint of step {step}, {found.place}"
            return Difference(place, found.was, found.now), len(common)
    return None, len(common)


def _open_loop(was: KnownRun, now: KnownRun) -> Found:
    compared = 0
    for name in (FIGURES, TRAJECTORIES):
        files = [run.folder / name for run in (was, now)]
        if not all(file.is_file() for file in files):
            continue
        old, new = (json.loads(file.read_bytes()) for file in files)
        new = _as_far_as_known(old, new)
        found = next(differences(old, new), None)
        if found is not None:
            return found, compared
        compared += len(list(flat(old)))
    return None, compared


def _final_figures(was: KnownRun, now: KnownRun) -> Found:
    old, new = (dict(run.manifest.get("metrics") or {}) for run in (was, now))
    for figures in (old, new):
        figures.pop("frames_until", None)  # counted from the day the run was made
    if was.manifest["verb"] == "open-loop":
        new = _as_far_as_known(old, new)
    return next(differences(old, new, "final figure"), None), len(list(flat(old)))


def _as_far_as_known(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The new figures without those that runs of an earlier version have not."""
    return {k: v for k, v in new.items() if k in old or k not in _LATER_OPEN_LOOP}


def _episodes(was: KnownRun, now: KnownRun) -> Found:
    """Episodes of the same task and number, in the order of the first run's plan."""
    folders = [run.folder / EPISODES for run in (was, now)]
    if not all(folder.is_dir() for folder in folders):
        return None, 0
    old, new = (EpisodeStore(folder) for folder in folders)
    old.require_whole()
    new.require_whole()
    tasks = list(was.config.get("plan", was.config)["tasks"])
    ours, theirs = _numbered(old), _numbered(new)
    if was.record is not None and any(name.startswith(EPISODES) for name in was.record.removed):
        theirs = {place: key for place, key in theirs.items() if place in ours}

    def turn(place: tuple[int, str]) -> tuple[int, int, str]:
        index, task = place
        return index, tasks.index(task) if task in tasks else len(tasks), task

    for count, place in enumerate(sorted({*ours, *theirs}, key=turn)):
        if place not in ours or place not in theirs:
            key = ours.get(place) or theirs.get(place)
            there = ("an episode" if place in side else NOTHING for side in (ours, theirs))
            return Difference(f"episode {key}", *there), count + 1
        if old.record(ours[place])["sha256"] != new.record(theirs[place])["sha256"]:
            found = compare_episodes(old[ours[place]], new[theirs[place]])
            if found is not None:
                where = f"episode {ours[place]}, {found.place}"
                return Difference(where, found.was, found.now), count + 1
    return None, len(ours)


def _numbered(store: EpisodeStore) -> dict[tuple[int, str], str]:
    """(number, task) -> key of an episode."""
    keys = store.keys()
    made = ((key, store.record(key)["provenance"]) for key in keys)
    return {(int(origin["index"]), str(origin["task"])): key for key, origin in made}


def compare_episodes(was: Episode, now: Episode) -> Difference | None:
    """What differs at the earliest moment: words, a sample of a stream, or else the outcome."""
    if was.instruction != now.instruction:
        return Difference("instruction", was.instruction, now.instruction)
    old, new = ({n: s.spec.to_json() for n, s in one.streams.items()} for one in (was, now))
    for found in differences(old, new, "stream"):
        return found
    samples = [
        (moment_s, _LAST_STREAMS.index(name) if name in _LAST_STREAMS else -1, name, found)
        for name, stream in was.streams.items()
        for moment_s, found in _first_sample(name, stream, now.streams[name])
    ]
    if samples:
        return min(samples, key=lambda sample: sample[:3])[3]
    before, after = (plain(asdict(one.outcome)) for one in (was, now))
    return next(differences(before, after, "outcome"), None)


def _first_sample(name: str, was: Stream, now: Stream) -> Iterator[tuple[float, Difference]]:
    """When the first sample that differs was taken, and how it differs; nothing if none does."""
    both = min(len(was), len(now))
    parts: list[tuple[str, NDArray[Any], NDArray[Any]]] = [
        ("time in s", was.times_s, now.times_s),
        ("value", was.values[:], now.values[:]),
        ("available from, in s", was.usable_s(), now.usable_s()),
    ]
    found = [(_first_row(old[:both], new[:both]), what, old, new) for what, old, new in parts]
    row, what, old, new = min(found, key=lambda part: part[0])
    if row < both:
        at = _first_row(old[row].reshape(-1), new[row].reshape(-1))
        index = ", ".join(str(int(i)) for i in np.unravel_index(at, old[row].shape))
        moment_s = float(was.times_s[row])
        place = f"stream {name}, sample {row} at {moment_s:g} s, {what}{index and f'[{index}]'}"
        values = (_number(side[row].reshape(-1)[at]) for side in (old, new))
        yield moment_s, Difference(place, *values)
    elif len(was) != len(now):
        longer = was if len(was) > len(now) else now
        yield (
            float(longer.times_s[both]),
            Difference(f"stream {name}, number of samples", len(was), len(now)),
        )


def _first_row(was: NDArray[Any], now: NDArray[Any]) -> int:
    """The first row of which the bits differ; their number if none does."""
    if not len(was):
        return 0
    old, new = (
        np.ascontiguousarray(side).reshape(len(side), -1).view(np.uint8) for side in (was, now)
    )
    unequal = (old != new).any(axis=1)
    return int(np.argmax(unequal)) if unequal.any() else len(was)


def _number(value: Any) -> Any:
    """A numpy number as a plain one, with no more digits than tell it from its neighbours."""
    return float(str(value)) if isinstance(value, np.floating) else value.item()


_CONTENT: Mapping[str, Mapping[str, Callable[[KnownRun, KnownRun], Found]]] = {
    "collect": {"episodes": _episodes},
    "eval": {"episodes": _episodes},
    "open-loop": {"figures": _open_loop},
    "train": {
        "steps": _steps,
        "figures on the way": _figures_on_the_way,
        "checkpoints": _checkpoints,
    },
}
