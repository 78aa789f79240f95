"""Several datasets as one: shares, order, tags, and what does not fit together."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from picture_episodes import WINDOW, EpisodeList, picture_dataset, picture_episode

from robocache.core import StreamInput, Window
from robocache.core.errors import ConfigError, ShapeError
from robocache.datasets import Loader, Mixture, Source, WindowTable
from robocache.datasets.action_space import ActionConversion, PoseColumns

RENAMED = ("robot/state", "robot/camera", "robot/action")


@pytest.fixture
def mixture() -> Mixture:
    """30 windows of `arm` with a weight of 1, 9 of `hand` with 3."""
    arm = picture_dataset("arm", (11, 9, 10))
    hand = picture_dataset("hand", (4, 5), names=RENAMED)
    names = dict(zip(RENAMED, ("state", "camera", "action"), strict=True))
    return Mixture(
        {
            "arm": Source(arm, 1, "left arm"),
            "hand": Source(hand, 3, "hand", rename=names),
        },
        WINDOW,
    )


def test_each_dataset_gets_its_share_in_whole_passes(mixture):
    assert mixture.weights == {"arm": 0.25, "hand": 0.75} and len(mixture) == 39
    report = mixture.report()
    assert [report[n]["samples_per_epoch"] for n in ("arm", "hand")] == [10, 29]
    assert report["hand"]["passes_per_epoch"] == pytest.approx(29 / 9)
    assert report["arm"]["embodiment"] == "left arm" and report["arm"]["windows"] == 30
    for epoch in range(3):
        order = mixture.order(5, epoch)
        arm, hand = order[order < 30], order[order >= 30] - 30
        assert len(arm) == 10 == len(set(arm.tolist())) and len(hand) == 29
        for first in (0, 9, 18):
            assert sorted(hand[first : first + 9].tolist()) == list(range(9))


def test_the_order_follows_from_seed_and_epoch(mixture):
    orders = {
        (s, e): tuple(mixture.order(s, e).tolist()) for s, e in itertools.product((1, 2), (0, 1))
    }
    assert len(set(orders.values())) == 4
    assert all(tuple(mixture.order(*place).tolist()) == order for place, order in orders.items())


def test_a_batch_holds_the_windows_of_its_sources(mixture):
    rows = mixture.order(3, 0)[:12]
    batch, origins = mixture.batch(rows), mixture.origins(rows)
    assert Counter(o.dataset for o in origins).keys() == {"arm", "hand"}
    for at, (row, origin) in enumerate(zip(rows.tolist(), origins, strict=True)):
        k = mixture.names.index(origin.dataset)
        alone = mixture.tables[k].batch(np.array([row - (30 if k else 0)]))
        for name in ("state", "camera"):
            assert torch.equal(batch.values[name][at], alone.values[name][0])
            assert torch.equal(batch.valid[name][at], alone.valid[name][0])
            assert torch.equal(batch.age_s[name][at], alone.age_s[name][0])
        assert torch.equal(batch.actions[at], alone.actions[0])
        assert batch.instructions[at] == f"do {origin.episode}" == alone.instructions[0]
        assert batch.embodiments[at] == ("hand" if k else "left arm")
        assert origin.source == f"{origin.episode}.file"
        assert origin.now_s == pytest.approx(origin.step / 10)
    assert batch.to(torch.device("cpu")).embodiments == batch.embodiments


def test_transforms_change_one_dataset_only():
    arm, hand = (picture_dataset(name, (6, 6)) for name in ("arm", "hand"))
    position = PoseColumns((0, 1))
    convert = ActionConversion(
        position, "absolute", "relative_to_state", state="state", state_columns=position
    )
    mixture = Mixture({"arm": arm, "hand": Source(hand, transforms=[convert])}, WINDOW)
    batch = mixture.batch(np.arange(24))
    now = batch.values["state"][:, 0, :2]
    for at, origin in enumerate(mixture.origins(batch.index)):
        given = (hand if origin.dataset == "hand" else arm)[origin.episode].streams["action"]
        expected = torch.from_numpy(given.values[origin.step])
        found = batch.actions[at, 0] + (now[at] if origin.dataset == "hand" else 0)
        assert torch.allclose(found, expected, atol=1e-6)
    assert len(list(mixture.episodes())) == 4


def test_windows_may_be_mixed_as_they_are():
    tables = {name: WindowTable(picture_dataset(name, (5,)), WINDOW) for name in ("a", "b")}
    mixture = Mixture({"a": (tables["a"], 2), "b": tables["b"]})
    assert mixture.weights == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert mixture.digest() != Mixture(tables).digest()
    with pytest.raises(ConfigError, match="need a dataset"):
        Mixture({"a": Source(tables["a"], rename={"state": "x"})})
    with pytest.raises(ConfigError, match="see or predict different things"):
        Mixture({"a": tables["a"], "b": picture_dataset("b", (5,))}, replace(WINDOW, horizon=2))


def test_what_does_not_fit_together_is_refused():
    arm, hand = picture_dataset("arm", (5,)), picture_dataset("hand", (5,))
    wide = picture_episode("wide")
    action = wide.streams["action"]
    longer = replace(
        action, values=action.values.repeat(2, 1), spec=replace(action.spec, shape=(4,))
    )
    odd = EpisodeList("odd", [replace(wide, streams={**wide.streams, "action": longer})])
    with pytest.raises(ShapeError, match=r"arm has float32 \(2,\), odd has float32 \(4,\)"):
        Mixture({"arm": arm, "odd": odd}, WINDOW)
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="weight of hand must be a positive number"):
            Mixture({"arm": arm, "hand": (hand, weight)}, WINDOW)
    with pytest.raises(ConfigError, match="no datasets"):
        Mixture({}, WINDOW)
    with pytest.raises(ConfigError, match="needs the window"):
        Mixture({"arm": arm})


def test_floating_point_numbers_of_other_widths_become_those_of_the_first():
    arm, hand = picture_dataset("arm", (5,)), picture_dataset("hand", (4,))
    given = hand[0]
    wider = {}
    for name in ("state", "action"):
        stream = given.streams[name]
        spec = replace(stream.spec, dtype="float64")
        wider[name] = replace(stream, values=stream.values.astype(np.float64) / 3, spec=spec)
    hand = EpisodeList("hand", [replace(given, streams={**given.streams, **wider})])
    for names, dtype in ((("a", "b"), torch.float32), (("b", "a"), torch.float64)):
        sources = {name: {"a": arm, "b": hand}[name] for name in names}
        mixture = Mixture(sources, WINDOW)
        rows = np.arange(len(mixture))
        for part in (rows, rows[:2], rows[-2:]):  # whatever happens to be in a batch
            batch = mixture.batch(part)
            assert batch.values["state"].dtype == dtype
            assert batch.actions.dtype == torch.float32
        assert mixture.specs["state"].dtype == str(dtype).removeprefix("torch.")


def test_a_saved_state_of_other_weights_is_refused():
    tables = {name: WindowTable(picture_dataset(name, (5,)), WINDOW) for name in ("a", "b")}
    state = Loader(Mixture(tables), 4, seed=1).state_dict()
    with pytest.raises(ConfigError, match="cannot resume the loader: samples"):
        Loader(Mixture({"a": (tables["a"], 2), "b": tables["b"]}), 4, seed=1).load_state_dict(state)


def test_unlike_robots_keep_windows_of_their_own():
    """Other names, rates, horizons: each window is that of its own table, whatever the part."""
    own = Window((StreamInput("robot/camera"),), "robot/action", 5.0, 2)
    tables = {
        "arm": WindowTable(picture_dataset("arm", (5, 4)), WINDOW),
        "hand": WindowTable(picture_dataset("hand", (6,), names=RENAMED), own),
    }
    sources = {name: Source(table, embodiment=name) for name, table in tables.items()}
    with pytest.raises(ConfigError, match="see or predict different things"):
        Mixture(sources)
    with pytest.raises(ConfigError, match="see or predict different things"):
        Mixture({n: Source(t, embodiment="same") for n, t in tables.items()}, alike=False)
    mixture = Mixture(sources, alike=False)
    rows = np.array([10, 2, 14, 2, 8])
    batch = mixture.batch(rows)
    assert batch.embodiments == ["hand", "arm", "hand", "arm", "arm"]
    assert batch.instructions == ["do hand-0", "do arm-0", "do hand-0", "do arm-0", "do arm-1"]
    windows = [
        window
        for part in batch.split(2)
        for window in part.to(torch.device("cpu"))._each(torch.clone).windows()
    ]
    assert [int(window.index[0]) for window in windows] == rows.tolist()
    for row, window in zip(rows.tolist(), windows, strict=True):
        name, inner = ("hand", row - 9) if row >= 9 else ("arm", row)
        alone = tables[name].batch(np.array([inner]))
        assert window.values.keys() == alone.values.keys() and window.embodiments == [name]
        assert all(torch.equal(window.values[n], alone.values[n]) for n in alone.values)
        assert torch.equal(window.actions, alone.actions)
        assert torch.equal(window.action_valid, alone.action_valid)
    loader = Loader(mixture, 4, seed=1, workers=1)
    again = Loader(mixture, 4, seed=1)
    with loader:
        for _ in range(3):
            read, here = next(loader), next(again)
            assert read.index.tolist() == here.index.tolist()
            for one, two in zip(read.windows(), here.windows(), strict=True):
                assert all(torch.equal(one.values[n], two.values[n]) for n in two.values)


def test_the_windows_of_a_batch_are_its_rows(mixture):
    batch = mixture.batch(np.array([0, 31, 5]))
    for row, window in enumerate(batch.windows()):
        assert window.index.tolist() == [batch.index[row]]
        assert torch.equal(window.values["state"][0], batch.values["state"][row])
        assert window.embodiments == [batch.embodiments[row]]
