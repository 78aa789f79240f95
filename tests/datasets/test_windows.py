"""Windows by hand, and the sampler that shuffles them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import recordings

from robocache.core import (
    AlignmentPolicy,
    Episode,
    Samples,
    Stream,
    StreamInput,
    StreamSpec,
    Window,
)
from robocache.core.errors import (
    ConfigError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets import LiveAligner, WindowSampler, WindowTable

FLOAT = StreamSpec((1,), rate_hz=8.0)
STATE = StreamInput("state", (-0.125, 0.0))


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def by_hand(key: str = "e", offset: float = 0.0) -> Episode:
    """Four actions at 0, 1/8, 2/8, 3/8 s; the state of 1/8 s arrives after 2/8 s."""
    times = np.arange(4) / 8
    state = Stream(
        column(1, 2, 3, 4) + np.float32(offset), times, FLOAT, np.array([0.0, 0.3, 0.25, 0.375])
    )
    action = Stream(column(10, 20, 30, 40) + np.float32(offset), times, FLOAT, times + 0.125)
    return Episode(key, {"state": state, "action": action}, instruction=f"do {key}")


def test_a_window_by_hand() -> None:
    table = WindowTable([by_hand()], Window((STATE,), "action", 8.0, 3))
    batch = table.batch(np.arange(4))
    inputs = batch.values["state"][:, :, 0].tolist()
    # Before the start there is nothing; the sample of 1/8 s is under way until after 2/8 s.
    assert inputs == [[0, 1], [1, 1], [1, 3], [3, 4]]
    assert batch.valid["state"].tolist() == [[False, True], *[[True, True]] * 3]
    assert batch.age_s["state"][1:3].tolist() == [[0, 0.125], [0.125, 0]]
    actions = batch.actions[:, :, 0].tolist()
    assert actions == [[10, 20, 30], [20, 30, 40], [30, 40, 0], [40, 0, 0]]
    assert batch.action_valid.tolist() == [[True] * 3, [True] * 3, [True, True, False],
                                           [True, False, False]]  # fmt: skip
    assert batch.instructions == ["do e"] * 4


def test_actions_are_not_invented_where_none_was_recorded() -> None:
    """A pause of the controller: actions due in it are masked."""
    times = np.array([0.0, 0.1, 0.2, 0.7])
    streams = {"action": Stream(column(1, 2, 3, 4), times, FLOAT)}
    table = WindowTable([Episode("e", streams)], Window((), "action", 10.0, 4))
    batch = table.batch(np.array([1]))
    assert batch.action_valid.tolist() == [[True, True, False, False]]
    assert batch.actions[0, :, 0].tolist() == [2, 3, 0, 0]


def test_episodes_do_not_run_into_each_other() -> None:
    window = Window((STATE,), "action", 8.0, 3)
    alone = WindowTable([by_hand("b", 100.0)], window)
    between = WindowTable(
        [by_hand("a"), by_hand("b", 100.0), by_hand("c", 7.0)],
        window,
    )
    rows = between.rows_of("b")
    assert rows.tolist() == [4, 5, 6, 7]
    one, two = alone.batch(np.arange(4)), between.batch(rows)
    for name in ("state",):
        assert one.values[name].equal(two.values[name])
        assert one.valid[name].equal(two.valid[name])
    assert one.actions.equal(two.actions)
    assert one.action_valid.equal(two.action_valid)
    assert two.instructions == ["do b"] * 4


@pytest.mark.parametrize("method", ["previous", "nearest", "linear"])
def test_an_empty_stream_is_invalid_wherever_it_is(method: Any) -> None:
    none = Stream(np.zeros((0, 1), np.float32), np.zeros(0), FLOAT)
    view = StreamInput("state", (0.0,), AlignmentPolicy(method))
    for empty in ({0}, {1}, {2}, {0, 1, 2}):
        episodes = [by_hand(f"e{n}") for n in range(3)]
        for n in empty:
            streams = {**episodes[n].streams, "state": none}
            episodes[n] = dataclasses.replace(episodes[n], streams=streams)
        table = WindowTable(episodes, Window((view,), "action", 8.0, 1))
        batch = table.batch(np.arange(len(table)))
        for n in range(3):
            rows = table.rows_of(f"e{n}")
            assert bool(batch.valid["state"][rows].any()) == (n not in empty)
            if n in empty:
                assert not batch.values["state"][rows].any()
                assert batch.age_s["state"][rows].isinf().all()


class Frames:
    """Lazy frames that count how often they are decoded."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.decoded = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.decoded += len(np.atleast_1d(index))
        return self._values[index]


def test_lazy_frames_give_what_arrays_give() -> None:
    random = np.random.default_rng(0)
    held, lazy, frames = [], [], []
    for number, steps in enumerate((5, 9, 7)):
        episode = recordings.episode(random, f"e{number}", steps)
        stream = episode.streams["rgb"]
        frames.append(Frames(np.array(stream.values)))
        streams = {**episode.streams, "rgb": dataclasses.replace(stream, values=frames[-1])}
        held.append(episode)
        lazy.append(dataclasses.replace(episode, streams=streams))
    window = Window((StreamInput("rgb", (-0.2, 0.0)), StreamInput("state")), "action", 20.0, 2)
    one, two = WindowTable(held, window), WindowTable(lazy, window)
    assert sum(f.decoded for f in frames) == 0, "building the table decodes nothing"
    rows = random.permutation(len(one))
    assert one.batch(rows).values["rgb"].equal(two.batch(rows).values["rgb"])
    assert one.batch(rows).valid["rgb"].any()
    blended = Window((StreamInput("rgb", (0.0,), AlignmentPolicy("linear")),), "action", 20.0, 2)
    with pytest.raises(ConfigError, match="frames cannot be interpolated"):
        WindowTable(lazy, blended)


def test_what_is_wrong_is_named() -> None:
    window = Window((STATE,), "action", 8.0, 2)

    def spoilt(**changes: Any) -> list[Episode]:
        good, bad = by_hand("good"), by_hand("bad")
        stream = dataclasses.replace(bad.streams["action"], **changes)
        streams = {**bad.streams, "action": stream}
        return [good, dataclasses.replace(bad, streams=streams)]

    with pytest.raises(NonFiniteError, match="episode bad, stream action: sample 2 is NaN"):
        WindowTable(spoilt(values=column(1, 2, np.nan, 4)), window)
    with pytest.raises(TimesError, match="episode bad, stream action"):
        WindowTable(spoilt(times_s=np.array([0, 0.1, 0.1, 0.2])), window)
    other = Stream(np.zeros((4, 2), np.float32), np.arange(4.0), StreamSpec((2,)))
    wrong = Episode("bad", {"state": other, "action": by_hand().streams["action"]})
    with pytest.raises(ShapeError, match=r"episode bad, stream state: .*\(1,\).*\(2,\)"):
        WindowTable([by_hand("good"), wrong], window)
    with pytest.raises(MissingStreamError, match="episode bad, stream state: not recorded"):
        WindowTable([Episode("bad", {"action": by_hand().streams["action"]})], window)
    with pytest.raises(ConfigError, match="no episodes"):
        WindowTable([], window)
    with pytest.raises(ConfigError, match="'state' is read twice"):
        WindowTable([by_hand()], dataclasses.replace(window, inputs=(STATE, StreamInput("state"))))


def test_live_samples_in_any_order() -> None:
    """One push or many, sorted or not: the same view."""
    times = np.arange(40) / 10
    values = column(*range(40))
    order = np.random.default_rng(0).permutation(40)
    pushes = [
        [np.arange(40)],
        [order],
        np.array_split(order, 7),
        [*np.array_split(np.arange(20, 40), 2), np.arange(20)],
        [np.arange(3), np.array([5, 4, 3, 6]), np.arange(7, 40)],
    ]
    for parts in pushes:
        aligner = LiveAligner((STATE,), {"state": FLOAT})
        for part in parts:
            aligner.push("state", Samples(values[part], times[part]))
            aligner.push("nobody reads this", Samples(values[part], times[part]))
        for now in (0.0, 1.23, 2.5):
            view = aligner.observe(now, "go")
            previous = np.floor(np.array([now - 0.125, now]) * 10 + 1e-9)
            assert view.values["state"][:, 0].tolist() == np.maximum(previous, 0).tolist()
    with pytest.raises(MissingStreamError, match=r"stream state: not offered \(streams: other\)"):
        LiveAligner((STATE,), {"other": FLOAT})
    with pytest.raises(ConfigError, match="read twice"):
        LiveAligner((STATE, STATE), {"state": FLOAT})


@pytest.fixture(scope="module")
def table() -> WindowTable:
    return WindowTable(
        [by_hand(f"e{n}", float(n)) for n in range(6)], Window((STATE,), "action", 8.0, 2)
    )


def test_restored_at_every_batch(table: WindowTable) -> None:
    whole = WindowSampler(table, 5, seed=3)
    states, batches = [], []
    for _ in range(30):
        states.append(json.loads(json.dumps(whole.state_dict())))
        batches.append(next(whole))
    assert len({batch.index.tobytes() for batch in batches}) == 30
    for at, state in enumerate(states):
        restored = WindowSampler(table, 5, seed=3)
        for _ in range(at % 3):
            next(restored)
        restored.load_state_dict(state)
        for expected in batches[at:]:
            batch = next(restored)
            np.testing.assert_array_equal(batch.index, expected.index)
            assert batch.actions.equal(expected.actions)
            assert batch.instructions == expected.instructions


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 4}, "seed was 4, is 3"),
        ({"batch_size": 6}, "batch_size was 6, is 5"),
        ({"windows": 25}, "windows was 25, is 24"),
    ],
)
def test_a_foreign_state_is_refused(
    table: WindowTable, other: dict[str, int], message: str
) -> None:
    sampler = WindowSampler(table, 5, seed=3)
    before = next(WindowSampler(table, 5, seed=3)).index
    with pytest.raises(ConfigError, match=message):
        sampler.load_state_dict({**sampler.state_dict(), **other})
    with pytest.raises(ConfigError, match="seed was None"):
        sampler.load_state_dict({})
    np.testing.assert_array_equal(next(sampler).index, before)


@pytest.mark.parametrize(("batch", "covered"), [(1, 24), (4, 24), (5, 20), (24, 24), (1000, 24)])
def test_an_epoch_covers_each_window_once(table: WindowTable, batch: int, covered: int) -> None:
    sampler = WindowSampler(table, batch, seed=1)
    orders = []
    for _ in range(3):
        rows = np.concatenate([sampler.next_rows() for _ in range(covered // sampler.batch_size)])
        assert len(rows) == len(set(rows.tolist())) == covered
        orders.append(rows.tolist())
    assert orders[0] != orders[1] != orders[2]
    assert {*orders[0], *orders[1], *orders[2]} == set(range(24)), "nothing is left out for good"


def test_orders_depend_on_the_seed(table: WindowTable) -> None:
    orders = {WindowSampler(table, 24, seed).next_rows().tobytes() for seed in range(5)}
    assert len(orders) == 5
    with pytest.raises(ConfigError, match="batch_size"):
        WindowSampler(table, 0, seed=1)
