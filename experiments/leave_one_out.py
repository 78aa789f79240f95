"""Recordings of four formats, parts left out in turn: the policy against two simple predictors.

    python experiments/leave_one_out.py path/to/shared/data [bridge lift calvin gr1]

Trains on all episodes but some and measures open-loop errors on those, with the verbs `train` and
`eval --open-loop`. CALVIN's sample is one episode of play: there the policy learns from one part of
its time and is judged on the other. Writes experiments/results/leave_one_out.json.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from report_results import save

from robocache.cli import convert
from robocache.cli.open_loop import evaluate_recordings
from robocache.cli.train import train_all
from robocache.datasets import open_dataset
from robocache.evaluation.open_loop import PREDICTORS, OpenLoopResult
from robocache.runs import RunStore

CALVIN_STREAMS = ("robot_obs", "rel_actions")


@dataclass(frozen=True)
class Fold:
    """What is trained on and what is judged on.

    Attributes:
        name: what is left out, in words.
        training, judging: settings of `train` and of `eval --open-loop`.
    """

    name: str
    training: list[str]
    judging: list[str]


def leave_out(path: Path, policy: str, groups: int, **options: str) -> Iterator[Fold]:
    """Every group of every `groups`-th episode in turn."""
    keys = open_dataset(path, **options).keys()
    data = [f"dataset={path}", *(f"dataset_options.{k}={text}" for k, text in options.items())]
    for first in range(groups):
        out = ",".join(keys[first::groups])
        yield Fold(
            f"without {out}",
            [*data, f"policy={policy}", f"hold_out=[{out}]"],
            [*data, f"episodes=[{out}]"],
        )


def bridge(data: Path, scratch: Path) -> Iterator[Fold]:
    return leave_out(data / "bridge_rlds", "flow_bridge", 5, split="train")


def lift(data: Path, scratch: Path) -> Iterator[Fold]:
    return leave_out(data / "robomimic_hdf5" / "low_dim.hdf5", "flow_lift", 3)


def gr1(data: Path, scratch: Path) -> Iterator[Fold]:
    return leave_out(data / "gr1_lerobot_v20", "flow_lerobot", 5)


def calvin(data: Path, scratch: Path) -> Iterator[Fold]:
    """The later part of the one episode from the earlier, and the other way round."""
    dataset = open_dataset(data / "calvin")
    length_s = float(dataset[0].stream("rel_actions").times_s[-1])
    cut_s = length_s * 0.6
    for part, trained, judged in (
        ("last", (0.0, length_s - cut_s), (cut_s + 0.01, 0.0)),
        ("first", (length_s - cut_s + 0.01, 0.0), (0.0, cut_s)),
    ):
        folders = [scratch / part / role for role in ("trained", "judged")]
        for folder, (start, end) in zip(folders, (trained, judged), strict=True):
            folder.parent.mkdir(exist_ok=True)
            convert.trim(str(data / "calvin"), str(folder), start=start, end=end, to="episodes")
        yield Fold(
            f"without the {part} 40 % of the time",
            [f"dataset={folders[0]}", "policy=flow_calvin"],
            [f"dataset={folders[1]}"],
        )


FOLDS = {"bridge": bridge, "lift": lift, "calvin": calvin, "gr1": gr1}
SMALL = ["trainer.batch_size=64", "trainer.warmup_steps=30", "trainer.ema_decay=0.98"]
TRAINING = {
    "bridge": ["trainer.steps=300", *SMALL],
    "lift": ["trainer.steps=300", *SMALL],
    "calvin": ["trainer.steps=200", *SMALL],
    "gr1": ["trainer.steps=600", "trainer.warmup_steps=50"],
}


def judge(fold: Fold, training: list[str]) -> tuple[OpenLoopResult, float]:
    """Errors on what was left out, and how many seconds it took."""
    start = time.monotonic()
    run = train_all([*fold.training, *training], None)[0]
    _, result = evaluate_recordings(RunStore(), run.id, [*fold.judging, "samples=16"])
    return result, time.monotonic() - start


def together(results: list[OpenLoopResult]) -> OpenLoopResult:
    """The errors over all folds, each judged action counted once."""
    windows = np.sum([result.windows for result in results], axis=0)

    def mean(measure: str, name: str) -> Any:
        sums = [getattr(r, measure)[name] * r.windows[:, None] for r in results]
        return np.sum(sums, axis=0) / np.maximum(windows, 1)[:, None]

    absolute, square = (
        {name: mean(measure, name) for name in PREDICTORS} for measure in ("absolute", "square")
    )
    return OpenLoopResult(absolute, square, windows)


def errors(result: OpenLoopResult) -> dict[str, dict[str, float]]:
    return {"absolute": result.overall(), "rms": result.overall("square")}


def show(name: str, found: dict[str, dict[str, float]]) -> None:
    for measure, values in found.items():
        figures = ", ".join(f"{who} {values[who]:.5f}" for who in PREDICTORS)
        print(f"{name}, {measure}: {figures}; lowest: {min(values, key=values.__getitem__)}")


def main(data: Path, wanted: list[str]) -> None:
    datasets: dict[str, Any] = {}
    for name in wanted:
        folds: dict[str, dict[str, Any]] = {}
        results = []
        with TemporaryDirectory() as scratch:
            for fold in FOLDS[name](data, Path(scratch)):
                result, seconds = judge(fold, TRAINING[name])
                results.append(result)
                folds[fold.name] = {**errors(result), "seconds": round(seconds, 1)}
                show(f"{name}, {fold.name}", errors(result))
        overall = errors(together(results))
        show(f"{name}, overall", overall)
        below = {
            f"{measure}, below {other}": sum(
                fold[measure]["policy"] < fold[measure][other] for fold in folds.values()
            )
            for measure in overall
            for other in ("hold", "mean")
        }
        print(f"{name}: of {len(folds)} folds, {below}")
        datasets[name] = {
            "training": TRAINING[name],
            "overall": overall,
            "folds_below": below,
            "folds": folds,
        }
    save("leave_one_out", {"datasets": datasets})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(FOLDS))
