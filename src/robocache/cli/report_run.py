"""The page of one run: a collection, a training, an evaluation, or one on recordings."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robocache.cli.datasets import EPISODES, require_sound
from robocache.cli.progress import progress
from robocache.cli.report_open_loop import open_loop_page
from robocache.datasets import EpisodeStore
from robocache.evaluation.charts import Curve
from robocache.evaluation.checkpoints import checkpoint_name, fates
from robocache.evaluation.closed_loop import summarise
from robocache.evaluation.films import Film, film_strips, instructive
from robocache.evaluation.report import ReportData, TaskRow
from robocache.evaluation.statistics import Proportion
from robocache.evaluation.timeline import StreamTimeline, stream_timeline
from robocache.policies.groot_n16.settings import EmbodimentSettings
from robocache.rollouts import RolloutPlan
from robocache.runs import (
    Ledger,
    LedgerRow,
    RunRecord,
    RunStore,
    ancestry,
    descent,
    list_checkpoints,
    read_manifest,
    read_metrics,
)
from robocache.runs.checkpoints import read_listing

FIGURES = {
    "loss": ("training loss", ""),
    "success": ("success on the way", ""),
    "learning_rate": ("learning rate", ""),
    "gradient_norm": ("gradient norm before clipping", ""),
    "samples_per_s": ("training speed", "samples/s"),
}
"""What training logs -> its title and unit."""

EPISODES_DRAWN = 3
STRIPS_NOTE = "One episode per task, first of tasks in which one was not solved."


def run_page(store: RunStore, record: RunRecord) -> ReportData:
    """All that is known of a run, whatever its verb.

    Raises:
        IntegrityError: it is complete, and not as it was recorded.
    """
    if record.status == "complete":
        require_sound(store, record)
    of_verb: dict[str, Callable[[RunStore, RunRecord], ReportData]] = {
        "collect": _collection,
        "train": _training,
        "eval": _evaluation,
        "open-loop": open_loop_page,
    }
    data = of_verb[record.verb](store, record) if record.verb in of_verb else ReportData(record.id)
    return replace(
        data,
        kind=f"{record.verb} report",
        summary=[*_status(record), *data.summary],
        lineage=[
            (f"{record.id} was made from", ancestry(store.engine, "run", record.id)),
            (f"From {record.id} was made", descent(store.engine, "run", record.id)),
        ],
        manifests=[(record.id, manifest_of(record))],
    )


def _status(record: RunRecord) -> list[str]:
    """What must be known of a run that is not complete, and what people wrote about it."""
    said = []
    if record.status != "complete":
        why = f": {record.error}" if record.error else ""
        said.append(
            f"This run is not complete ({record.status}{why}); the page shows what is there."
        )
    if record.note:
        said.append(f"Note: {record.note}")
    if record.tags:
        said.append(f"Tags: {', '.join(record.tags)}.")
    return said


def _collection(store: RunStore, record: RunRecord) -> ReportData:
    ledger = Ledger(store.engine, record.id)
    rows, plan = ledger.rows(), plan_of(record)
    solved = [row for row in rows if row.success is not None]
    tasks = {row.task for row in rows}
    facts = [
        ("Episodes", f"{len(rows)}" + (f" of {plan.episodes * len(plan.tasks)}" if plan else "")),
        ("Tasks", str(len(tasks))),
        ("Actions", f"{sum(row.steps for row in rows):,}"),
        ("Fingerprint", ledger.fingerprint()[:12]),
    ]
    if plan is not None:
        facts += [("Seed", str(plan.seed)), ("Simulator", plan.env_version)]
        facts.append(("Noise on the expert's actions", f"{plan.expert_noise:g}"))
        facts.append(("Late or lossy streams", ", ".join(sorted(plan.latency)) or "none"))
    return ReportData(
        title=f"{record.id}: {len(rows)} demonstrations of {_tasks(sorted(tasks))}",
        arms=("Solved", ""),
        facts=facts,
        overall=[TaskRow("overall", _rate(solved))] if solved else [],
        tasks=[
            TaskRow(t, _rate([r for r in solved if r.task == t]))
            for t in sorted({r.task for r in solved})
        ],
        timeline=_timeline(record),
        identities=[("fingerprint of the episodes", ledger.fingerprint())] if rows else [],
    )


def _horizon(network: Mapping[str, Any]) -> int:
    """Action steps; of GR00T, which has embodiments, of the one that has most."""
    robots = network.get("embodiments", {"": network})
    return max(int(robot.get("horizon", EmbodimentSettings.horizon)) for robot in robots.values())


def _training(store: RunStore, record: RunRecord) -> ReportData:
    config = record.config
    folders = list_checkpoints(record.folder)
    hashes = [read_listing(folder).sha256 for _, folder in sorted(folders.items())]
    datasets = record.inputs["datasets"]
    facts = [(f"Data: {name}", fingerprint[:12]) for name, fingerprint in datasets.items()]
    if "windows" in record.metrics:
        facts.append(("Training windows", f"{record.metrics['windows']:,}"))
    policy = config.get("policy")
    if policy:
        facts.append(("Reads", ", ".join(view["stream"] for view in policy["inputs"])))
        steps = _horizon(policy["network"])
        predicts = f"{steps} × {policy['action']} at {policy['rate_hz']:g} Hz"
        facts.append(("Predicts", predicts))
    parents = record.inputs["parents"]
    facts += [
        *(("Begun from", checkpoint_name(store.engine, parent)) for parent in parents),
        ("Steps", f"{config['trainer']['steps']:,}"),
        ("Batch", f"{config['trainer']['batch_size']} windows"),
    ]
    facts.append(("Seed", ", ".join(map(str, config["seeds"]))))
    return ReportData(
        title=f"{record.id}: training on {', '.join(datasets)}",
        facts=facts,
        curves=training_curves(record),
        checkpoints=fates(store, hashes),
        identities=[(f"dataset {name}", fingerprint) for name, fingerprint in datasets.items()],
    )


def _evaluation(store: RunStore, record: RunRecord) -> ReportData:
    rows = Ledger(store.engine, record.id).rows()
    sha256 = str(record.config["policy"])
    source = manifest_of(record).get("sources", {}).get("policy")
    name = str(source or checkpoint_name(store.engine, sha256))
    data = ReportData(
        title=f"{name} judged on {_tasks(sorted({row.task for row in rows}))}",
        arms=("Success", ""),
        policies=(name, ""),
        checkpoints=fates(store, [sha256]),
        identities=[("policy", sha256)],
    )
    if not rows:
        return data
    result, plan, episodes = summarise(rows), plan_of(record), open_episodes(record)
    films: list[Film] = []
    if episodes is not None:
        films = [(name, episodes, row) for row in instructive(rows, None, EPISODES_DRAWN)]
    with progress("draw", "tasks") as say:
        strips, note = film_strips(films, plan, STRIPS_NOTE, say)
    return replace(
        data,
        summary=[f"{name} solved {_in_words(result.overall)}.", *_how_judged(plan)],
        overall=[TaskRow("overall", result.overall)],
        tasks=[TaskRow(task, rate) for task, rate in result.tasks.items()],
        opposite=[TaskRow(task, rate) for task, rate in result.opposite.items()],
        strips=strips,
        strips_note=note,
        timeline=None if episodes is None else stream_timeline(episodes[0]),
    )


def training_curves(record: RunRecord) -> list[Curve]:
    """A curve for every figure that training logged."""
    lines = read_metrics(record.folder / "metrics.jsonl")
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


def plan_of(record: RunRecord) -> RolloutPlan | None:
    """The plan of a run that made episodes; None where an earlier version did not keep it."""
    plan = record.config.get("plan")
    return None if plan is None else RolloutPlan.from_json(plan)


def open_episodes(record: RunRecord) -> EpisodeStore | None:
    """The episodes a run made; None where there are none, or they were removed on purpose."""
    folder = record.folder / EPISODES
    found = EpisodeStore(folder) if folder.is_dir() else None
    return found if found is not None and len(found) else None


def manifest_of(record: RunRecord) -> dict[str, Any]:
    """The manifest of a run, its command as it would be typed."""
    manifest = read_manifest(record.folder)
    words = list(manifest["command"])
    return {**manifest, "command": shlex.join([Path(words[0]).name, *words[1:]] if words else [])}


def _timeline(record: RunRecord) -> StreamTimeline | None:
    episodes = open_episodes(record)
    return None if episodes is None else stream_timeline(episodes[0])


def _how_judged(plan: RolloutPlan | None) -> list[str]:
    if plan is None:
        return []
    asked = "held-out phrases" if plan.env_options.get("phrases") == "held_out" else "its own words"
    late = (
        f"late and with losses: {', '.join(sorted(plan.latency))}"
        if plan.latency
        else "without delay"
    )
    return [
        f"{plan.episodes} layouts of each task, drawn with seed {plan.seed}, none of them in a "
        f"demonstration; asked in {asked}; sensor samples arrive {late}; simulator "
        f"{plan.env_version}."
    ]


def _rate(rows: Sequence[LedgerRow]) -> Proportion:
    return Proportion.wilson(sum(bool(row.success) for row in rows), len(rows))


def _in_words(rate: Proportion) -> str:
    share = f"{100 * rate.rate:.1f} %, {100 * rate.low:.1f} to {100 * rate.high:.1f} %"
    sure = f"{100 * rate.confidence:g} % interval"
    return f"{rate.successes} of {rate.trials} episodes ({share}, {sure})"


def _tasks(tasks: Sequence[str]) -> str:
    """Tasks in a title."""
    if len(tasks) == 1:
        return tasks[0]
    return f"{len(tasks)} tasks" if tasks else "no tasks yet"
