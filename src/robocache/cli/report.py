"""The report page of a comparison, put together from what the runs left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robocache.cli.datasets import EPISODES
from robocache.cli.evaluate import Judged
from robocache.datasets import EpisodeStore
from robocache.envs.metaworld.pictures import PICTURE_OPTIONS, draw_moments
from robocache.evaluation.charts import Curve
from robocache.evaluation.filmstrip import film_strip
from robocache.evaluation.gate import Verdict
from robocache.evaluation.report import FilmStrip, ReportData, TaskRow, write_report
from robocache.evaluation.timeline import stream_timeline
from robocache.rollouts import PolicySource, Worker
from robocache.runs import LedgerRow, Run, read_manifest, read_metrics

UNITS = {"loss": "", "learning_rate": "", "gradient_norm": "", "samples_per_s": "1/s"}


def write_comparison(
    path: Path,
    *,
    title: str,
    verdict: Verdict,
    candidate: Judged,
    baseline: Judged,
    sources: tuple[PolicySource, PolicySource],
    training: Run,
    promotion: str | None,
    strips: int = 4,
) -> None:
    """Write the page: verdict, success table, curves, clocks of one episode, film strips."""
    ours, theirs = candidate.result(), baseline.result()
    store = EpisodeStore(candidate.run.folder / EPISODES)
    chosen = instructive(candidate.rows, baseline.rows, strips)
    write_report(
        path,
        ReportData(
            title=title,
            summary=[verdict.explain()],
            tasks=[TaskRow(t, rate, theirs.tasks.get(t)) for t, rate in ours.tasks.items()],
            overall=[TaskRow("overall", ours.overall, theirs.overall)],
            verdict=verdict,
            promotion=promotion,
            curves=training_curves(training),
            timeline=stream_timeline(store[0]),
            strips=[
                draw_strip(judged, source, row)
                for row in chosen
                for judged, source in zip((candidate, baseline), sources, strict=True)
            ],
            manifest=read_manifest(training.folder),
        ),
    )


def training_curves(run: Run) -> list[Curve]:
    """A curve for every figure that training logged."""
    lines = read_metrics(run.folder / "metrics.jsonl")
    return [
        Curve(
            name.replace("_", " "),
            [line["step"] for line in lines if name in line],
            [line[name] for line in lines if name in line],
            unit,
        )
        for name, unit in UNITS.items()
        if any(name in line for line in lines)
    ]


def instructive(
    candidate: Sequence[LedgerRow], baseline: Sequence[LedgerRow], count: int
) -> list[LedgerRow]:
    """Rows of the candidate to be drawn: of different tasks, first those where the two differ."""
    other = {(row.task, row.index): row.success for row in baseline}
    drawable = [row for row in candidate if row.task.startswith("metaworld/")]
    drawable.sort(key=lambda row: (row.success == other[row.task, row.index], row.index))
    chosen: dict[str, LedgerRow] = {}
    for row in drawable:
        chosen.setdefault(row.task, row)
    return list(chosen.values())[:count]


def draw_strip(judged: Judged, source: PolicySource, row: LedgerRow) -> FilmStrip:
    """An episode made again with a camera, as pictures in a row."""
    plan = replace(judged.plan, env_options={**judged.plan.env_options, **PICTURE_OPTIONS})
    job = next(j for j in plan.jobs() if (j.task, j.index) == (row.task, row.index))
    episode = Worker(plan, Path(), source).episodes([job])[0]
    pictures, times = draw_moments(episode, 6)
    outcome = "solved" if episode.outcome.success else "not solved"
    title = f"{row.task.partition('/')[2]}: “{episode.instruction}”, {outcome}"
    return FilmStrip(f"{title} ({judged.sha256[:8]})", film_strip(pictures, times))
