"""The preset: which streams are late, in an environment and in what was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from robocache.core.episode import Episode
from robocache.core.stream import Stream, StreamSpec
from robocache.sim_to_real import Delays, ImageRanges, LatencyConfig, SimToReal

SLOW, FAST = LatencyConfig(0.1, 0.02, 0.2), LatencyConfig(0.01)
PRESET = SimToReal(latency={"cameras": SLOW, "states": FAST, "wrist": LatencyConfig(0.5)})
TIMES = np.arange(60) * 0.05


def stream(spec: StreamSpec, available: np.ndarray | None = None) -> Stream:
    return Stream(np.zeros((60, *spec.shape), spec.dtype), TIMES, spec, available)


def episode(key: str = "one") -> Episode:
    picture, state = StreamSpec((16, 16, 3), "uint8", 20.0), StreamSpec((4,), "float32", 20.0)
    return Episode(
        key=key,
        streams={
            "camera": stream(picture),
            "hand": stream(state),
            "action": stream(state),
            "measured": stream(state, TIMES + 0.003),
        },
    )


def test_latency_by_name_before_kind() -> None:
    picture, depth = StreamSpec((16, 16, 3), "uint8", 20.0), StreamSpec((16, 16), "uint16", 20.0)
    pose, goal = StreamSpec((2, 7), "float32", 50.0), StreamSpec((3,), "float32")
    found = [PRESET.latency_of("any", spec) for spec in (picture, depth, pose, goal)]
    assert found == [SLOW, SLOW, FAST, None]
    assert PRESET.latency_of("wrist", picture) == LatencyConfig(0.5)
    assert SimToReal().is_none and not PRESET.is_none
    assert not SimToReal(images=ImageRanges(hue=(-0.1, 0.1))).is_none


def test_recorded_inputs_become_late_and_nothing_else() -> None:
    delays, given = Delays(PRESET, ("camera", "hand", "measured", "absent"), 3), episode()
    late = delays(given)
    available = late.streams["camera"].available_s
    assert available is not None and (available > late.streams["camera"].times_s).any()
    wait = late.streams["hand"].available_s - TIMES
    np.testing.assert_allclose(wait, wait[0])
    assert 0 < wait[0] < 0.01
    for name in ("action", "measured"):
        assert late.streams[name] is given.streams[name]
    again, other = delays(given), delays(episode("two"))
    np.testing.assert_array_equal(again.streams["camera"].available_s, available)
    assert not np.array_equal(other.streams["camera"].available_s, available)
    late.check()


def test_links_of_training_are_perfect_to_as_bad_as_the_preset() -> None:
    delays = Delays(PRESET, ("camera",), 3)
    cameras = [delays(episode(str(n))).streams["camera"] for n in range(200)]
    waits = np.array([(camera.available_s - camera.times_s).mean() for camera in cameras])
    lost = np.array([1 - len(camera) / 60 for camera in cameras])
    assert waits.min() < 0.01 and 0.09 < waits.max() < 0.12
    assert waits.mean() == pytest.approx(0.05, abs=0.01)
    assert lost.mean() == pytest.approx(0.1, abs=0.02)
    assert np.corrcoef(waits, lost)[0, 1] > 0.5
