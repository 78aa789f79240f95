"""Statistics against numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import recordings

from robocache.core import Episode, Statistics, Stream, StreamSpec
from robocache.core.errors import MissingStreamError, NonFiniteError, ShapeError
from robocache.datasets import compute_statistics


def test_against_numpy() -> None:
    random = np.random.default_rng(0)
    episodes = [recordings.episode(random, f"e{n}", steps=5 + 3 * n) for n in range(4)]
    names = ["state", "precise", "contact", "action", "rgb"]
    found = compute_statistics(iter(episodes), names, "fingerprint")
    assert found.fingerprint == "fingerprint"
    assert list(found.streams) == names
    for name in names:
        values = np.concatenate([np.asarray(e.streams[name].values, np.float64) for e in episodes])
        stats = found[name]
        expected = {
            "mean": np.mean(values, 0),
            "std": np.sqrt(np.mean((values - np.mean(values, 0)) ** 2, 0)),
            "minimum": np.min(values, 0),
            "maximum": np.max(values, 0),
            "q01": np.percentile(values, 1, axis=0),
            "q99": np.percentile(values, 99, axis=0),
        }
        for figure, value in expected.items():
            got = getattr(stats, figure)
            assert got.shape == values.shape[1:]
            np.testing.assert_allclose(
                got, value, rtol=1e-12, atol=1e-12, err_msg=f"{name} {figure}"
            )
        assert stats.count == len(values)


def test_a_far_offset_costs_no_precision() -> None:
    """float32 sums of a large mean would lose the spread."""
    values = (1e6 + np.arange(10_000) % 2).astype(np.float32)[:, None]
    stream = Stream(values, np.arange(10_000.0), StreamSpec((1,)))
    stats = compute_statistics([Episode("e", {"x": stream})], ["x"], "")["x"]
    np.testing.assert_allclose(stats.std, 0.5)
    np.testing.assert_allclose(stats.mean, 1e6 + 0.5)


def test_empty_streams_and_images() -> None:
    episode = recordings.episode(np.random.default_rng(0), "e")
    image = recordings.stream(np.random.default_rng(0), 3, shape=(84, 84), dtype="uint16")
    episode = Episode("e", {**episode.streams, "image": image})
    found = compute_statistics([episode], ["none", "image", "state"], "")
    assert list(found.streams) == ["none", "state"]
    none = found["none"]
    assert none.count == 0
    assert none.mean.tolist() == [0, 0] and none.std.tolist() == [1, 1]
    with pytest.raises(MissingStreamError, match="stream image: no statistics"):
        found["image"]


def test_video_is_never_decoded() -> None:
    class Never:
        shape, dtype = (4, 2, 2, 3), np.dtype("uint8")

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: object) -> None:
            raise AssertionError("decoded")

    stream = Stream(Never(), np.arange(4.0), StreamSpec((2, 2, 3), "uint8"))
    assert compute_statistics([Episode("e", {"video": stream})], ["video"], "").streams == {}


def test_what_is_wrong_is_named() -> None:
    def episode(key: str, *values: float, shape: tuple[int, ...] = (1,)) -> Episode:
        array = np.array(values, np.float32).reshape(-1, *shape)
        return Episode(key, {"x": Stream(array, np.arange(float(len(array))), StreamSpec(shape))})

    with pytest.raises(NonFiniteError, match="episode b, stream x: sample 1"):
        compute_statistics([episode("a", 1.0), episode("b", 1.0, np.inf)], ["x"], "")
    with pytest.raises(ShapeError, match=r"episode b, stream x: .*as in the other episodes"):
        compute_statistics([episode("a", 1.0), episode("b", 1.0, 2.0, shape=(2,))], ["x"], "")
    with pytest.raises(MissingStreamError, match="episode a, stream y"):
        compute_statistics([episode("a", 1.0)], ["y"], "")


def test_json_keeps_every_bit() -> None:
    found = compute_statistics(
        [recordings.episode(np.random.default_rng(4), "e")], ["state", "none"], "f"
    )
    again = Statistics.from_json(json.loads(json.dumps(found.to_json())))
    assert again.fingerprint == "f"
    for name in ("state", "none"):
        for figure in ("mean", "std", "minimum", "maximum", "q01", "q99"):
            one, two = getattr(found[name], figure), getattr(again[name], figure)
            assert one.tobytes() == two.tobytes()
