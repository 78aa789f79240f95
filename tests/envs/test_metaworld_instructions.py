"""Instructions: complete, disjoint, unambiguous, and learnable by a small text model."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from robocache.core.errors import ConfigError
from robocache.envs.metaworld.instructions import _load, phrases

SCENES = ("scene-drawer-open", "scene-drawer-close", "scene-window-open", "scene-window-close")
TASKS = tuple(_load())
# Words that carry no meaning of their own for any task.
_FILLERS = """a and at be by can could for from get give go i in into is it its me needs of on
please so that the then to up want was with you your"""
FILLERS = frozenset(_FILLERS.split())


def meaning(task: str) -> str:
    return task.removeprefix("scene-")


def stems(phrase: str) -> set[str]:
    return {word[:4] for word in phrase.split() if word not in FILLERS}


def test_every_task_is_covered():
    metaworld = pytest.importorskip("metaworld")
    names = {name.removesuffix("-v3") for name in metaworld.ALL_V3_ENVIRONMENTS}
    assert set(TASKS) == names | set(SCENES)


@pytest.mark.parametrize("task", TASKS)
def test_lists_are_long_enough_and_disjoint(task):
    train, held_out = phrases(task, "train"), phrases(task, "held_out")
    least = (16, 6) if task in SCENES else (10, 4)
    assert (len(train) >= least[0]) and (len(held_out) >= least[1])
    assert len(set(train) | set(held_out)) == len(train) + len(held_out)


def test_text_is_plain():
    for task in TASKS:
        for phrase in phrases(task, "train") + phrases(task, "held_out"):
            assert phrase == " ".join(phrase.split())
            assert phrase.replace(" ", "").isalpha() and phrase.islower() and phrase.isascii()


def test_no_phrase_means_two_things_and_nothing_leaks():
    meanings = defaultdict(set)
    for task in TASKS:
        for phrase in phrases(task, "train") + phrases(task, "held_out"):
            meanings[phrase].add(meaning(task))
    assert {phrase: tasks for phrase, tasks in meanings.items() if len(tasks) > 1} == {}
    train = {phrase for task in TASKS for phrase in phrases(task, "train")}
    held_out = {phrase for task in TASKS for phrase in phrases(task, "held_out")}
    assert train & held_out == set()


@pytest.mark.parametrize("task", TASKS)
def test_held_out_phrases_use_words_of_the_training_phrases(task):
    known = set().union(*map(stems, phrases(task, "train")))
    for phrase in phrases(task, "held_out"):
        assert stems(phrase)
        assert stems(phrase) <= known, phrase


@pytest.mark.parametrize("noun", ["drawer", "window"])
def test_opposite_scene_instructions_differ_in_the_decisive_words_only(noun):
    decisive = {"open", "opened", "pull", "close", "closed", "shut", "push"}
    words = [
        {word for phrase in phrases(f"scene-{noun}-{verb}", "train") for word in phrase.split()}
        for verb in ("open", "close")
    ]
    assert words[0] ^ words[1] <= decisive


def features(phrase: str) -> set[str]:
    """Words, word pairs and character trigrams."""
    words = phrase.split()
    marked = f" {phrase} "
    trigrams = {marked[i : i + 3] for i in range(len(marked) - 2)}
    return set(words) | set(pairwise(words)) | trigrams


def classify(train: list[tuple[str, str]], test: list[str]) -> list[str]:
    """Ridge regression on n-grams, a stand-in for a small text model."""
    vocabulary = {f: i for i, f in enumerate({f for text, _ in train for f in features(text)})}
    labels = sorted({label for _, label in train})

    def encode(texts):
        rows = np.zeros((len(texts), len(vocabulary)))
        for row, text in zip(rows, texts):
            row[[vocabulary[f] for f in features(text) if f in vocabulary]] = 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    inputs = encode([text for text, _ in train])
    targets = np.array([[label == other for other in labels] for _, label in train], float)
    dual = np.linalg.solve(inputs @ inputs.T + 0.1 * np.eye(len(train)), targets)
    scores = encode(test) @ inputs.T @ dual
    return [labels[index] for index in scores.argmax(axis=1)]


def test_a_small_text_model_understands_held_out_phrases():
    train = [(text, meaning(task)) for task in TASKS for text in phrases(task, "train")]
    wanted = [(text, meaning(task)) for task in TASKS for text in phrases(task, "held_out")]
    found = classify(train, [text for text, _ in wanted])
    wrong = [(text, label, got) for (text, label), got in zip(wanted, found) if label != got]
    assert len(wrong) <= 0.03 * len(wanted), wrong


@pytest.mark.parametrize("noun", ["drawer", "window"])
def test_opposite_scene_instructions_are_told_apart(noun):
    tasks = (f"scene-{noun}-open", f"scene-{noun}-close")
    train = [(text, task) for task in tasks for text in phrases(task, "train")]
    wanted = [(text, task) for task in tasks for text in phrases(task, "held_out")]
    assert classify(train, [text for text, _ in wanted]) == [task for _, task in wanted]


def test_unknown_names_are_explained():
    with pytest.raises(ConfigError, match="did you mean 'drawer-open'"):
        phrases("drawer-opn", "train")
    with pytest.raises(ConfigError, match="did you mean 'held_out'"):
        phrases("drawer-open", "heldout")  # type: ignore[arg-type]


def test_no_simulator_is_needed():
    code = (
        "import sys; from robocache.envs.metaworld.instructions import phrases; "
        "assert phrases('reach', 'train'); "
        "assert not {'mujoco', 'metaworld', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
