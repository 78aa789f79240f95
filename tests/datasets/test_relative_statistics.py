"""Actions minus a reference, for each step of the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robocache.core import Episode, Stream, StreamSpec, Window
from robocache.core.errors import NonFiniteError, ShapeError
from robocache.core.window import StreamInput
from robocache.datasets import EpisodeStore, WindowTable, write_shard
from robocache.datasets.statistics import (
    compute_statistics,
    dataset_relative_statistics,
    relative_statistics,
)

HZ, H = 10.0, 3
WINDOW = Window((StreamInput("state", (-0.1, 0.0)),), "action", HZ, H)
FIGURES = ("mean", "std", "minimum", "maximum", "q01", "q99")


class Never:
    """A camera nobody may look at."""

    dtype = np.dtype("uint8")

    def __init__(self, count: int) -> None:
        self.shape = (count, 4, 4, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: object) -> None:
        raise AssertionError("a picture was decoded")


class Cameras:
    """A dataset whose episodes have cameras."""

    name, path, fingerprint = "cameras", Path("cameras"), "print"

    def __init__(self, episodes: list[Episode]) -> None:
        self.episodes = {episode.key: episode for episode in episodes}

    def keys(self) -> list[str]:
        return list(self.episodes)

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, key: int | str) -> Episode:
        assert isinstance(key, str)
        return self.episodes[key]

    def problems(self) -> Iterator[Exception]:
        yield from ()

    def report(self) -> dict:
        return {}


def episode(number: int, steps: int = 9, **changes: np.ndarray) -> Episode:
    random = np.random.default_rng(number)
    times = np.arange(steps) / HZ
    spec = StreamSpec((2,), rate_hz=HZ)
    arrays = {n: random.normal(size=(steps, 2)).astype(np.float32) for n in ("state", "action")}
    arrays |= changes
    streams = {name: Stream(array, times, spec) for name, array in arrays.items()}
    camera = Stream(Never(steps), times, StreamSpec((4, 4, 3), "uint8", HZ))
    return Episode(f"e{number}", {**streams, "camera": camera})


def by_loops(episodes: list[Episode]) -> list[list[np.ndarray]]:
    """For each step all differences, by the definition."""
    found: list[list[np.ndarray]] = [[] for _ in range(H)]
    for one in episodes:
        actions, states = one.stream("action").values, one.stream("state").values
        for now in range(len(actions)):
            for step in range(H):
                if now + step < len(actions):
                    found[step].append(actions[now + step] - states[now])
    return found


def test_by_the_definition(home: Path) -> None:
    episodes = [episode(0), episode(1, steps=2), episode(2, steps=14)]
    found = dataset_relative_statistics(Cameras(episodes), WINDOW, "state")
    steps = by_loops(episodes)
    assert found.steps.mean.shape == (H, 2)
    assert found.steps.count == 9 + 2 + 14 == len(steps[0])
    for name, figure in {
        "mean": np.mean,
        "std": np.std,
        "minimum": np.min,
        "maximum": np.max,
        "q01": lambda x, axis: np.quantile(x, 0.01, axis=axis),
        "q99": lambda x, axis: np.quantile(x, 0.99, axis=axis),
    }.items():
        for step, values in enumerate(steps):
            wanted = figure(np.array(values, np.float64), axis=0)
            np.testing.assert_allclose(getattr(found.steps, name)[step], wanted, atol=1e-12)
        together = np.array([value for values in steps for value in values], np.float64)
        np.testing.assert_allclose(
            getattr(found.pooled, name), figure(together, axis=0), atol=1e-12
        )
    assert found.pooled.count == 25 + 22 + 19  # of two steps, none is two steps on


def test_a_table_gives_the_same_bits_and_decodes_nothing() -> None:
    episodes = [episode(n, steps=5 + n) for n in range(4)]
    window = replace(WINDOW, inputs=(*WINDOW.inputs, StreamInput("camera")))
    table = WindowTable(episodes, window)
    one = relative_statistics(table, "state")
    two = dataset_relative_statistics(Cameras(episodes), window, "state").pooled
    for name in FIGURES:
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.count == two.count
    names = ["state", "action", "camera"]
    assert list(compute_statistics(episodes, names, "").streams) == ["state", "action"]


def test_kept_and_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def numbers(number: int, steps: int) -> Episode:
        whole = episode(number, steps)
        return replace(whole, streams={n: whole.streams[n] for n in ("state", "action")})

    write_shard(tmp_path / "d/a.episodes.parquet", [numbers(n, 7 + n) for n in range(3)])
    first = dataset_relative_statistics(EpisodeStore(tmp_path / "d"), WINDOW, "state")
    read: list[str] = []

    class Watched(EpisodeStore):
        def __getitem__(self, key: int | str) -> Episode:
            read.append(str(key))
            return super().__getitem__(key)

    again = dataset_relative_statistics(Watched(tmp_path / "d"), WINDOW, "state")
    assert not read
    for name in FIGURES:
        for side in ("pooled", "steps"):
            one, two = getattr(getattr(first, side), name), getattr(getattr(again, side), name)
            assert one.tobytes() == two.tobytes()
    # Another horizon, rate, offset or alignment is another thing.
    for other in (replace(WINDOW, horizon=2), replace(WINDOW, rate_hz=5.0)):
        read.clear()
        dataset_relative_statistics(Watched(tmp_path / "d"), other, "state")
        assert read == ["e0", "e1", "e2"]


def test_what_is_wrong_is_named(home: Path) -> None:
    broken = episode(1)
    broken.stream("state").values[4, 1] = np.nan
    with pytest.raises(NonFiniteError, match="episode e1, stream state: sample 4"):
        dataset_relative_statistics(Cameras([episode(0), broken]), WINDOW, "state")
    huge = np.full((9, 2), 3e38, np.float32)
    with pytest.raises(NonFiniteError, match=r"episode e1, stream action: .*too large"):
        dataset_relative_statistics(
            Cameras([episode(0), episode(1, state=huge, action=-huge)]), WINDOW, "state"
        )
    camera = replace(WINDOW, inputs=(StreamInput("camera"),))
    with pytest.raises(ShapeError, match=r"stream action: actions \(2,\) .* camera \(4, 4, 3\)"):
        dataset_relative_statistics(Cameras([episode(0)]), camera, "camera")


def test_an_episode_without_actions(home: Path) -> None:
    empty = episode(1, steps=0)
    found = dataset_relative_statistics(Cameras([empty, episode(0)]), WINDOW, "state")
    alone = dataset_relative_statistics(Cameras([episode(0)]), WINDOW, "state")
    for name in FIGURES:
        assert getattr(found.steps, name).tobytes() == getattr(alone.steps, name).tobytes()
    none = dataset_relative_statistics(Cameras([empty]), WINDOW, "state")
    assert none.steps.count == 0 and none.pooled.std.tolist() == [1, 1]
