"""Film strips of judged episodes: which to draw, and drawing them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robocache.core.errors import EnvError, MissingDependencyError
from robocache.core.seeding import derive_seed
from robocache.datasets import EpisodeStore
from robocache.evaluation.filmstrip import film_frames
from robocache.evaluation.report import FilmStrip
from robocache.rollouts import RolloutPlan
from robocache.runs import LedgerRow

SIMULATOR = "metaworld/"
MOMENTS = 6
NOTE = (
    "Played again from the recorded actions, {moments} moments from start to end. False colours; a "
    "ring marks the goal in tasks that have one."
)

Film = tuple[str, EpisodeStore, LedgerRow]
"""Who acted, where the episode is, and which it is."""


def film_strips(
    films: Sequence[Film],
    plan: RolloutPlan | None,
    note: str,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[list[FilmStrip], str]:
    """The episodes as film strips, and how to read them; or why there are none.

    Args:
        films: what to draw.
        plan: that they were made by; None where it was not kept: nothing can be played again.
        note: how the episodes were chosen.
        progress: told how many tasks are drawn, of how many, and the last one.
    """
    strips: list[FilmStrip] = []
    if plan is None:
        return strips, ""
    try:
        by_task: dict[str, list[Film]] = {}
        for film in films:
            by_task.setdefault(film[2].task, []).append(film)
        for done, (task, together) in enumerate(by_task.items(), start=1):
            strips += _task_strips(task, together, plan)
            if progress is not None:
                progress(done, len(by_task), task)
    except (EnvError, MissingDependencyError) as error:
        return strips, f"Not drawn: {error}"
    return strips, f"{note} {NOTE.format(moments=MOMENTS)}" if strips else ""


def instructive(
    rows: Sequence[LedgerRow], baseline: Sequence[LedgerRow] | None, count: int
) -> list[LedgerRow]:
    """Episodes to be drawn, each of another task.

    First those on which the policy and the baseline differ; of one policy alone, those that it did
    not solve. Only of simulators that can be played again.
    """
    other = {(row.task, row.index): row.success for row in baseline or ()}

    def dull(row: LedgerRow) -> bool:
        if baseline is None:
            return bool(row.success)
        return row.success == other[row.task, row.index]

    drawable = [row for row in rows if row.task.startswith(SIMULATOR)]
    drawable.sort(key=lambda row: (dull(row), row.index, row.task))
    chosen: dict[str, LedgerRow] = {}
    for row in drawable:
        chosen.setdefault(row.task, row)
    return list(chosen.values())[:count]


def _task_strips(task: str, films: Sequence[Film], plan: RolloutPlan) -> list[FilmStrip]:
    """Episodes of one task, played again on one stage."""
    from robocache.envs.metaworld.pictures import Stage

    stage, strips = Stage(task, plan.env_options), []
    for name, episodes, row in films:
        episode = episodes[row.key]
        seed = derive_seed(plan.seed, plan.purpose, row.index)
        pictures, times = stage.draw_moments(episode, seed, MOMENTS)
        title = (
            f"{task.removeprefix(SIMULATOR)}, layout {row.index}, “{episode.instruction}”: {name}, "
            f"{'solved' if row.success else 'not solved'}"
        )
        strips.append(FilmStrip(title, list(zip(times, film_frames(pictures), strict=True))))
    stage.close()
    return strips
