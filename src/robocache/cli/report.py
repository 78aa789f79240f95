"""The report page of a comparison, put together from what the runs left."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from robocache.cli.datasets import EPISODES
from robocache.cli.evaluate import Judged
from robocache.datasets import EpisodeStore
from robocache.envs.metaworld.pictures import draw_moments
from robocache.evaluation.charts import Curve
from robocache.evaluation.filmstrip import film_strip
from robocache.evaluation.gate import Verdict
from robocache.evaluation.report import FilmStrip, ReportData, TaskRow, write_report
from robocache.evaluation.timeline import stream_timeline
from robocache.runs import LedgerRow, Run, read_manifest, read_metrics

FIGURES = {
    "loss": ("training loss", ""),
    "learning_rate": ("learning rate", ""),
    "gradient_norm": ("gradient norm before clipping", ""),
    "samples_per_s": ("training speed", "samples/s"),
}
"""What training logs -> its title and unit."""

MOMENTS = 6
STRIPS_NOTE = (
    "One layout per task, where possible one on which the two differ, played again from the "
    "recorded actions. False colours; a ring marks the goal in tasks that have one."
)


def write_comparison(
    path: Path,
    *,
    title: str,
    verdict: Verdict,
    candidate: Judged,
    baseline: Judged,
    training: Run,
    promotion: str | None,
    strips: int = 4,
) -> None:
    """Write the page: verdict, success table, film strips, clocks of one episode, curves."""
    ours, theirs = candidate.result(), baseline.result()
    store = EpisodeStore(candidate.run.folder / EPISODES)
    manifest = read_manifest(training.folder)
    write_report(
        path,
        ReportData(
            title=title,
            summary=comparison_in_words(candidate, baseline),
            tasks=[TaskRow(t, rate, theirs.tasks.get(t)) for t, rate in ours.tasks.items()],
            overall=[TaskRow("overall", ours.overall, theirs.overall)],
            verdict=verdict,
            promotion=promotion,
            curves=training_curves(training),
            timeline=stream_timeline(store[0]),
            strips=[
                draw_strip(judged, name, task, index)
                for task, index in instructive(candidate.rows, baseline.rows, strips)
                for name, judged in (("candidate", candidate), ("baseline", baseline))
            ],
            strips_note=STRIPS_NOTE,
            manifest={**manifest, "command": shlex.join(manifest["command"])},
        ),
    )


def comparison_in_words(candidate: Judged, baseline: Judged) -> list[str]:
    """What was compared, and on what."""
    plan = candidate.plan
    wording = ""
    if plan.env_options.get("phrases") == "held_out":
        wording = ", and asked in phrases that no demonstration used"
    delivery = "late and with losses, as configured" if plan.latency else "at once"
    return [
        f"Candidate: checkpoint {candidate.sha256[:12]}. Baseline: {baseline.sha256[:12]}.",
        f"Both acted on the same {plan.episodes} layouts of each task, drawn with seed {plan.seed} "
        f"apart from those of any demonstration{wording}. Sensor samples arrive {delivery}. "
        f"Simulator: {plan.env_version}.",
    ]


def training_curves(run: Run) -> list[Curve]:
    """A curve for every figure that training logged."""
    lines = read_metrics(run.folder / "metrics.jsonl")
    return [
        Curve(
            title,
            [line["step"] for line in lines if name in line],
            [line[name] for line in lines if name in line],
            unit,
        )
        for name, (title, unit) in FIGURES.items()
        if any(name in line for line in lines)
    ]


def instructive(
    candidate: Sequence[LedgerRow], baseline: Sequence[LedgerRow], count: int
) -> list[tuple[str, int]]:
    """Task and index of episodes to be drawn: of different tasks, first where the two differ."""
    other = {(row.task, row.index): row.success for row in baseline}
    drawable = [row for row in candidate if row.task.startswith("metaworld/")]
    drawable.sort(key=lambda row: (row.success == other[row.task, row.index], row.index))
    chosen: dict[str, int] = {}
    for row in drawable:
        chosen.setdefault(row.task, row.index)
    return list(chosen.items())[:count]


def draw_strip(judged: Judged, name: str, task: str, index: int) -> FilmStrip:
    """A judged episode as pictures in a row."""
    job = next(j for j in judged.plan.jobs() if (j.task, j.index) == (task, index))
    episode = EpisodeStore(judged.run.folder / EPISODES)[job.key]
    pictures, times = draw_moments(episode, job.seed, judged.plan.env_options, MOMENTS)
    outcome = "solved" if episode.outcome.success else "not solved"
    title = f"{task.partition('/')[2]}, “{episode.instruction}”: {name}, {outcome}"
    return FilmStrip(title, film_strip(pictures, times))
