"""The report: one self-contained HTML page that shows what was measured and what follows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from robocache.core.errors import DataError
from robocache.evaluation.charts import Curve, draw
from robocache.evaluation.gate import Verdict, format_p
from robocache.evaluation.statistics import MeanInterval, Proportion
from robocache.evaluation.timeline import HEIGHT, WIDTH, StreamTimeline
from robocache.runs.files import atomic_write

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LINE_CHARACTERS = 100


@dataclass(frozen=True)
class TaskRow:
    """Success on one task (or over all of them), for the candidate and perhaps a baseline."""

    task: str
    candidate: Proportion
    baseline: Proportion | None = None


@dataclass(frozen=True)
class FilmStrip:
    """Moments of one episode side by side; `png` holds the bytes of a PNG file."""

    title: str
    png: bytes

    def __post_init__(self) -> None:
        if not self.png.startswith(PNG_MAGIC):
            raise DataError(f"film strip {self.title!r} is not a PNG image")

    @property
    def data_uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class OpenLoopRow:
    """Prediction error of one action dimension or horizon, for the candidate and a baseline."""

    name: str
    candidate: MeanInterval
    baseline: MeanInterval | None = None


@dataclass(frozen=True)
class OpenLoopTable:
    """Prediction errors on recorded episodes.

    Attributes:
        measure: what the numbers are, with unit, e.g. "mean absolute error (m)".
        rows: one per action dimension or horizon.
    """

    measure: str
    rows: Sequence[OpenLoopRow]


@dataclass(frozen=True, eq=False)
class ReportData:
    """What the page shows; a part that is empty or None is left out.

    Attributes:
        title: what was judged.
        summary: sentences for a person.
        tasks: success per task; shown sorted by name.
        overall: success over all tasks.
        verdict: of the gate.
        promotion: what was done about it, in words.
        curves: training curves.
        timeline: the clocks of one episode.
        strips: film strips, and `strips_note`: how to read them.
        open_loop: prediction errors on recorded episodes.
        manifest: everything needed to do it again; what is empty in it is left out.
    """

    title: str
    summary: Sequence[str] = ()
    tasks: Sequence[TaskRow] = ()
    overall: Sequence[TaskRow] = ()
    verdict: Verdict | None = None
    promotion: str | None = None
    curves: Sequence[Curve] = ()
    timeline: StreamTimeline | None = None
    strips: Sequence[FilmStrip] = ()
    strips_note: str = ""
    open_loop: OpenLoopTable | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)


def write_report(path: Path, data: ReportData) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    atomic_write(path, render_report(data).encode())


def render_report(data: ReportData) -> str:
    """The page as HTML. It loads nothing from anywhere; the same data gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("robocache.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: f"{100 * share:.1f}",
        hertz=lambda rate: "–" if rate is None else f"{rate:.4g}",
        milliseconds=lambda seconds: "–" if seconds is None else f"{1000 * seconds:.1f}",
        p_value=format_p,
        breakable=_breakable,
    )
    return environment.get_template("report.html.j2").render(
        data=data,
        tasks=sorted(data.tasks, key=lambda row: row.task),
        charts=[draw(curve) for curve in data.curves],
        raster=(WIDTH, HEIGHT),
        manifest=[
            (key, _readable(value))
            for key, value in data.manifest.items()
            if value not in (None, "", [], {})
        ],
    )


def _breakable(name: str) -> Markup:
    """A name, escaped, that may be wrapped after its slashes and underscores."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(name))))


def _readable(value: Any) -> str:
    """A manifest value as text: words as they are, structures as JSON, in one line if it fits."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False, default=str)
    if len(line) <= LINE_CHARACTERS:
        return line
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
