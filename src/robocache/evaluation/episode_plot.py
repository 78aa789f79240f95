"""One recorded episode as a page: its streams over time, its clocks, its pictures, its problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robocache.core import Episode, Stream
from robocache.core.errors import DataError
from robocache.evaluation.filmstrip import film_frames
from robocache.evaluation.report import FilmStrip, page_environment
from robocache.evaluation.stream_chart import StreamChart, constant, flat, is_low, stream_charts
from robocache.evaluation.timeline import HEIGHT, WIDTH, StreamTimeline, stream_timeline
from robocache.runs import atomic_write

MOMENTS = 6
THUMBNAIL = 240
"""Largest side of a picture on the page, in pixels."""
SPAN_S = 1.0
"""How much of the clocks is drawn."""


@dataclass(frozen=True)
class Figures:
    """A stream in numbers; None where they are not defined.

    Attributes:
        name, shape, dtype, unit: as declared.
        samples: number of samples.
        rate_hz: one over the mean time between samples.
        jitter_s: standard deviation of the time between samples.
        low, mean, high: of the finite values; None for frames.
    """

    name: str
    shape: str
    dtype: str
    unit: str
    samples: int
    rate_hz: float | None
    jitter_s: float | None
    low: float | None = None
    mean: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class EpisodePage:
    """What the page shows.

    Attributes:
        episode, dataset: what it is.
        facts: (label, words).
        problems: what is wrong with the episode, in words.
        figures: every stream in numbers.
        charts: streams over time.
        still: names of the streams that never change, and their value in words.
        strips: pictures at a few moments.
        not_drawn: (stream, why).
        timeline: the clocks; None for an episode without samples.
    """

    episode: str
    dataset: str
    facts: Sequence[tuple[str, str]]
    problems: Sequence[str]
    figures: Sequence[Figures]
    charts: Sequence[StreamChart]
    still: Sequence[tuple[str, str]]
    strips: Sequence[FilmStrip]
    not_drawn: Sequence[tuple[str, str]] = field(default_factory=tuple)
    timeline: StreamTimeline | None = None


def episode_page(episode: Episode, dataset: str, problems: Iterable[str] = ()) -> EpisodePage:
    """Everything there is to see of an episode; streams that cannot be drawn are named."""
    charts: list[StreamChart] = []
    strips: list[FilmStrip] = []
    still, not_drawn = [], []
    starts = [float(s.times_s[0]) for s in episode.streams.values() if len(s)]
    ends = [float(s.times_s[-1]) for s in episode.streams.values() if len(s)]
    span = (min(starts), max(ends)) if starts else (0.0, 0.0)
    for name, stream in sorted(episode.streams.items()):
        if not len(stream):
            not_drawn.append((name, "no samples"))
        elif is_low(stream):
            if constant(stream) and len(stream) > 1:
                still.append((name, _few(flat(stream)[0])))
            else:
                charts += stream_charts(name, stream, span)
        else:
            try:
                strip = _strip(name, stream)
            except DataError as error:
                not_drawn.append((name, str(error)))
                continue
            same = next((s for s in strips if _frames(s) == _frames(strip)), None)
            if same is None:
                strips.append(strip)
            else:
                not_drawn.append((name, f"the same pictures as {same.title}"))
    timeline = None
    if starts:
        length = min(SPAN_S, span[1] - span[0]) or SPAN_S
        timeline = stream_timeline(episode, span_s=length)
    figures = [stream_figures(name, stream) for name, stream in sorted(episode.streams.items())]
    return EpisodePage(
        episode=episode.key,
        dataset=dataset,
        facts=_facts(episode, span),
        problems=tuple(problems),
        figures=figures,
        charts=charts,
        still=still,
        strips=strips,
        not_drawn=not_drawn,
        timeline=timeline,
    )


def stream_figures(name: str, stream: Stream) -> Figures:
    """A stream in numbers; frames are not decoded."""
    gaps_s = np.diff(stream.times_s)
    known = flat(stream) if is_low(stream) else np.empty(0)
    known = known[np.isfinite(known)]
    return Figures(
        name=name,
        shape="×".join(str(n) for n in stream.spec.shape) or "number",
        dtype=stream.spec.dtype,
        unit=stream.spec.unit,
        samples=len(stream),
        rate_hz=1 / float(gaps_s.mean()) if len(gaps_s) else None,
        jitter_s=round(float(gaps_s.std()), 9) if len(gaps_s) else None,
        low=float(known.min()) if len(known) else None,
        mean=float(known.mean()) if len(known) else None,
        high=float(known.max()) if len(known) else None,
    )


def write_page(path: Path, page: EpisodePage) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    atomic_write(path, render_page(page).encode())


def render_page(page: EpisodePage) -> str:
    """The page as HTML. It loads nothing from anywhere; the same data gives the same bytes."""
    template = page_environment().get_template("episode.html.j2")
    return template.render(page=page, raster=(WIDTH, HEIGHT))


def _facts(episode: Episode, span: tuple[float, float]) -> list[tuple[str, str]]:
    outcome, source = episode.outcome, episode.provenance
    success = {True: "yes", False: "no", None: "not judged"}[outcome.success]
    ended = [name for name in ("terminated", "truncated") if getattr(outcome, name)]
    facts = [
        ("Instruction", episode.instruction or "none"),
        ("Duration", f"{span[1] - span[0]:.2f} s"),
        ("Steps", str(outcome.steps)),
        ("Success", success),
        ("Sum of rewards", "" if outcome.reward is None else f"{outcome.reward:g}"),
        ("Ended by", " and ".join(ended)),
        ("Task", source.task),
        ("Actor", source.actor),
        ("Simulator", source.simulator),
        ("Source", Path(source.source).name if "/" in source.source else source.source),
    ]
    facts += [(name, f"{value:g}") for name, value in outcome.details.items()]
    return [(label, words) for label, words in facts if words]


def _strip(name: str, stream: Stream) -> FilmStrip:
    """Pictures of a stream at `MOMENTS` moments from start to end."""
    rows = np.unique(np.linspace(0, len(stream) - 1, MOMENTS).round().astype(int))
    frames = [np.asarray(stream.values[int(row)]) for row in rows]
    pictures = film_frames(_pictures(frames))
    captions = [f"{stream.times_s[row]:.2f} s" for row in rows]
    return FilmStrip(f"{name}, {_size(stream)}", list(zip(captions, pictures, strict=True)))


def _frames(strip: FilmStrip) -> list[bytes]:
    return [png for _, png in strip.frames]


def _pictures(frames: list[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """Colour as it is; one channel in grey, from the 1 % to the 99 % quantile of all frames."""
    shape = frames[0].shape
    if len(shape) == 3 and shape[2] == 1:
        frames, shape = [frame[..., 0] for frame in frames], shape[:2]
    if len(shape) == 2 and min(shape) > 1:
        every = np.stack(frames).astype(np.float64)
        known = every[np.isfinite(every)]
        low, high = np.quantile(known, [0.01, 0.99]) if len(known) else (0.0, 1.0)
        scaled = np.clip((np.nan_to_num(every) - low) / ((high - low) or 1.0), 0, 1)
        frames = list(np.repeat((255 * scaled).astype(np.uint8)[..., None], 3, axis=-1))
    elif not (len(shape) == 3 and shape[2] == 3 and frames[0].dtype == np.uint8):
        raise DataError(
            f"samples {shape} {frames[0].dtype} are no pictures of one or three colours"
        )
    return [_small(frame) for frame in frames]


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(frame)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)


def _size(stream: Stream) -> str:
    return "×".join(str(n) for n in stream.spec.shape) + f" {stream.spec.dtype}"


def _few(values: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:8])
    return shown + (f", … ({len(values)} numbers)" if len(values) > 8 else "")
