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
from robocache.evaluation.checkpoints import CheckpointFate
from robocache.evaluation.gate import Verdict, format_p
from robocache.evaluation.horizon import HorizonErrors
from robocache.evaluation.pairs import TaskPairs
from robocache.evaluation.statistics import Proportion
from robocache.evaluation.timeline import HEIGHT, WIDTH, StreamTimeline
from robocache.evaluation.trajectory_chart import TrajectoryPage
from robocache.runs import Node, atomic_write

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LINE_CHARACTERS = 100
FIRST = ("command", "directory", "verb", "config", "seeds", "datasets", "parents", "git")
"""What of a manifest comes first."""


@dataclass(frozen=True)
class TaskRow:
    """Success on one task (or over all of them), for the candidate and perhaps a baseline."""

    task: str
    candidate: Proportion
    baseline: Proportion | None = None


@dataclass(frozen=True)
class FilmStrip:
    """Moments of one episode.

    Attributes:
        title: which episode, who acted, what came of it.
        frames: (caption, bytes of a PNG file).
    """

    title: str
    frames: Sequence[tuple[str, bytes]]

    def __post_init__(self) -> None:
        for caption, png in self.frames:
            if not png.startswith(PNG_MAGIC):
                raise DataError(
                    f"frame {caption!r} of film strip {self.title!r} is not a PNG image"
                )


@dataclass(frozen=True, eq=False)
class ReportData:
    """What the page shows; a part that is empty or None is left out.

    Attributes:
        title: what was judged.
        kind: what the page is of, e.g. "comparison".
        arms: headings of the two columns of success rates.
        policies: names of the two policies; "" where there is none.
        summary: sentences for a person.
        facts: (label, words) about the run.
        verdict: of the gate.
        headline: the verdict in one plain sentence.
        reasons: (in two words, sentence): why the verdict can be believed, and how far.
        promotion: what was done about it, in words.
        overall: success over all tasks.
        tasks: success per task; shown sorted by name.
        opposite: how often the opposite of what was asked happened on the way.
        pairs: outcomes of every episode under both policies.
        strips: film strips, and `strips_note`: how to read them, or why there are none.
        horizon: prediction errors on recorded episodes.
        trajectories: the same along whole trajectories.
        timeline: the clocks of one episode.
        curves: training curves, of the run `trained`.
        checkpoints: checkpoints of a run, and what became of them.
        lineage: (heading, tree) of what was made from what.
        identities: (what, hash) of everything that was judged.
        manifests: (run, manifest): everything needed to do it again.
    """

    title: str
    kind: str = "report"
    arms: tuple[str, str] = ("Candidate", "Baseline")
    policies: tuple[str, str] = ("", "")
    summary: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    verdict: Verdict | None = None
    headline: str = ""
    reasons: Sequence[tuple[str, str]] = ()
    promotion: str | None = None
    overall: Sequence[TaskRow] = ()
    tasks: Sequence[TaskRow] = ()
    opposite: Sequence[TaskRow] = ()
    pairs: Sequence[TaskPairs] = ()
    strips: Sequence[FilmStrip] = ()
    strips_note: str = ""
    horizon: HorizonErrors | None = None
    trajectories: TrajectoryPage | None = None
    timeline: StreamTimeline | None = None
    curves: Sequence[Curve] = ()
    trained: str = ""
    checkpoints: Sequence[CheckpointFate] = ()
    lineage: Sequence[tuple[str, Node]] = ()
    identities: Sequence[tuple[str, str]] = ()
    manifests: Sequence[tuple[str, Mapping[str, Any]]] = field(default_factory=tuple)


def write_report(path: Path, data: ReportData) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    atomic_write(path, render_report(data).encode())


def render_report(data: ReportData) -> str:
    """The page as HTML. It loads nothing from anywhere; the same data gives the same bytes."""
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            tasks=sorted(data.tasks, key=lambda row: row.task),
            charts=[draw(curve) for curve in data.curves],
            raster=(WIDTH, HEIGHT),
            manifests=[(name, _entries(manifest)) for name, manifest in data.manifests],
        )
    )


def page_environment() -> Environment:
    """The templates, with the filters that they use."""
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
        data_uri=lambda png: "data:image/png;base64," + base64.b64encode(png).decode(),
    )
    return environment


def _entries(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Field and text; the fields people ask for first, nothing that is empty."""
    first = [name for name in FIRST if name in manifest]
    names = [*first, *(name for name in manifest if name not in first)]
    return [(n, _readable(manifest[n])) for n in names if manifest[n] not in (None, "", [], {})]


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
