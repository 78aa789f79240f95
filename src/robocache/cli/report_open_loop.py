"""The page of an evaluation on recordings."""

from __future__ import annotations

from dataclasses import replace

from robocache.cli.open_loop import read_result, read_trajectories
from robocache.evaluation.checkpoints import checkpoint_name, fates
from robocache.evaluation.horizon import horizon_errors
from robocache.evaluation.report import ReportData
from robocache.evaluation.trajectory_chart import trajectory_page
from robocache.runs import RunRecord, RunStore

_OTHERS = {"hold": "repeating the last action", "mean": "the mean action of the training data"}


def open_loop_page(store: RunStore, record: RunRecord) -> ReportData:
    """What was measured, and a few trajectories; of a run that is not complete only what it is."""
    sha256 = str(record.config["policy"])
    name, datasets = checkpoint_name(store.engine, sha256), ", ".join(record.inputs["datasets"])
    data = ReportData(
        title=f"{name} on recordings of {datasets}",
        policies=(name, ""),
        checkpoints=fates(store, [sha256]),
        identities=[("policy", sha256)],
    )
    if record.status != "complete":
        return data
    result = read_result(record.folder)
    errors, first = result.overall(), result.first_step()
    said = ", ".join(f"{errors[other]:.4g} for {words}" for other, words in _OTHERS.items())
    facts = [
        ("First step, mean absolute error", f"{first['policy']:.4g} (hold {first['hold']:.4g})")
    ]
    if (along := result.trajectories) is not None:
        facts += [("MSE, whole trajectories", f"{along.mse:.4g}")]
        facts += [("MAE, whole trajectories", f"{along.mae:.4g}")]
    return replace(
        data,
        summary=[f"Mean absolute error of the predicted actions: {errors['policy']:.4g}; {said}."],
        facts=facts,
        horizon=horizon_errors(result),
        trajectories=None
        if along is None
        else trajectory_page(along, read_trajectories(record.folder), result.named()),
    )
