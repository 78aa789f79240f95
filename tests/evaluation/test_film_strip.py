"""Film frames: decoded by an independent reader, pixel for pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from robocache.core.errors import ConfigError, ShapeError
from robocache.evaluation.films import film_strips, instructive
from robocache.evaluation.filmstrip import film_frames
from robocache.runs import LedgerRow


def noise(count: int, height: int = 45, width: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize(("count", "height", "width"), [(1, 45, 60), (3, 33, 41), (5, 20, 31)])
def test_frames_are_unaltered_and_in_order(count, height, width):
    frames = noise(count, height, width)
    files = film_frames(frames)
    assert len(files) == count
    for frame, file in zip(frames, files, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), frame)


def test_equal_input_gives_equal_bytes():
    assert film_frames(noise(2)) == film_frames(noise(2))


def test_bad_input_is_explained():
    with pytest.raises(ConfigError, match="at least one frame"):
        film_frames([])
    with pytest.raises(ShapeError, match="frame 1 is"):
        film_frames([*noise(1), *noise(1, 20, 60)])
    with pytest.raises(ShapeError, match="float64"):
        film_frames([np.zeros((4, 4, 3))])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="expected"):
        film_frames([np.zeros((4, 4), np.uint8)])


def rows(**tasks: str) -> list[LedgerRow]:
    """Rows of tasks, "+" solved and "-" not."""
    return [
        LedgerRow(f"{task}/{i}", "s", "0" * 64, sign == "+", 1, f"metaworld/{task}", 0, i)
        for task, signs in tasks.items()
        for i, sign in enumerate(signs)
    ]


def test_layouts_on_which_the_two_differ_are_drawn_first_one_a_task():
    chosen = instructive(rows(a="++++", b="+-+-", c="----"), rows(a="++++", b="+-++", c="-+--"), 2)
    assert [(row.task, row.index) for row in chosen] == [("metaworld/c", 1), ("metaworld/b", 3)]


def test_of_one_policy_failures_are_drawn_first():
    chosen = instructive(rows(a="++", b="+-"), None, 5)
    assert [(row.task, row.index) for row in chosen] == [("metaworld/b", 1), ("metaworld/a", 0)]


def test_only_what_can_be_played_again_is_drawn():
    other = [LedgerRow("k", "s", "0" * 64, True, 1, "examples.point_env:PointEnv", 0, 0)]
    assert instructive(other, None, 3) == []
    assert film_strips([], None, "note") == ([], "")
