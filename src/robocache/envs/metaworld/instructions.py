"""What a person says to ask for each Meta-World task: phrases to train and to test on."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Literal

from robocache.core.errors import unknown_name

Split = Literal["train", "held_out"]


def phrases(task: str, split: Split) -> tuple[str, ...]:
    """Instructions for a task, lower case, in a fixed order.

    Held-out phrases are new sentences made of words that the task's training phrases use in some
    form: they test understanding of a sentence, not knowledge of synonyms.

    Args:
        task: name without version, such as `drawer-open`, or `scene-drawer-open` for a scene in
            which the opposite could be asked as well.
        split: `train` or `held_out`.

    Raises:
        ConfigError: unknown task or split.
    """
    by_task = _load()
    if task not in by_task:
        raise unknown_name("task", task, by_task)
    if split not in by_task[task]:
        raise unknown_name("split of instructions", split, by_task[task])
    return by_task[task][split]


@cache
def _load() -> dict[str, dict[str, tuple[str, ...]]]:
    text = resources.files(__package__).joinpath("instructions.json").read_text(encoding="utf-8")
    return {
        task: {split: tuple(lines) for split, lines in splits.items()}
        for task, splits in json.loads(text).items()
    }
