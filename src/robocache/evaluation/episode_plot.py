"""One recorded episode as a page: its streams over time, its clocks, its pictures, its problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robocache.core import Episode
from robocache.evaluation.camera_pictures import CameraMoments, camera_moments
from robocache.evaluation.filmstrip import film_frames
from robocache.evaluation.report import FilmStrip, page_environment
from robocache.evaluation.stream_chart import StreamChart, constant, flat, is_low, stream_charts
from robocache.evaluation.stream_figures import Figures, stream_figures
from robocache.evaluation.timeline import HEIGHT, WIDTH, StreamTimeline, stream_timeline
from robocache.runs import atomic_write

MOMENTS = 6
THUMBNAIL = 240
"""Largest side of a picture on the page, in pixels."""
SPAN_S = 1.0
"""How much of the clocks is drawn."""


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
    seen = camera_moments(episode, MOMENTS, THUMBNAIL)
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
        strips=[_strip(camera) for camera in seen.cameras],
        not_drawn=[*not_drawn, *seen.not_drawn.items()],
        timeline=timeline,
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
        ("Steps", str(outcome.steps or "")),
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


def _strip(camera: CameraMoments) -> FilmStrip:
    captions = [f"{time_s:.2f} s" for time_s in camera.times_s]
    pictures = film_frames(camera.pictures)
    return FilmStrip(f"{camera.name}, {camera.size}", list(zip(captions, pictures, strict=True)))


def _few(values: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:8])
    return shown + (f", … ({len(values)} numbers)" if len(values) > 8 else "")
