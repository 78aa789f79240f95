"""Episodes that LeRobot holds, smooth enough for a codec."""

from __future__ import annotations

import numpy as np

from robocache.core import AlignmentPolicy, Episode, Outcome, Provenance, Stream, StreamSpec
from robocache.datasets.lerobot import VideoSettings

CAMERA = "observation.images.front"
FAST = VideoSettings(codec="h264")


def smooth(count: int, seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(count, H, W, 3) pictures that a codec keeps well."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    pictures = [
        np.stack([rows + k, columns + 2 * k, rows + columns + seed], -1) for k in range(count)
    ]
    return np.stack(pictures).astype(np.uint8)


def made(number: int, steps: int = 20, rate_hz: float = 10.0) -> Episode:
    """An episode whose streams share one clock, of all kinds that LeRobot holds."""
    random = np.random.default_rng(number)
    times = np.arange(steps) / rate_hz
    later = (np.arange(steps) + 1) / rate_hz

    def stream(values, *, late=False, **spec) -> Stream:
        declared = StreamSpec(values.shape[1:], values.dtype.name, rate_hz, **spec)
        return Stream(values, times, declared, later if late else None)

    streams = {
        "observation.state": stream(random.normal(size=(steps, 5)).astype(np.float32), unit="rad"),
        CAMERA: stream(smooth(steps, 40 * number)),
        "depth": stream(random.integers(0, 60000, (steps, 4, 3)).astype(np.uint16), unit="mm"),
        "contact": stream(random.random((steps, 2)) < 0.5, privileged=True),
        "distance": stream(
            random.normal(size=steps), alignment=AlignmentPolicy("linear", max_gap_s=0.5)
        ),
        "action": stream(random.normal(size=(steps, 3)).astype(np.float32), late=True),
        "next.reward": stream(random.normal(size=(steps, 1)).astype(np.float32), late=True),
    }
    return Episode(
        f"pick/{number}",
        streams,
        f"öffne Schublade {number % 2}",
        Outcome(True, True, False, steps, 2.5, {"distance": 0.5}),
        Provenance("demos", "arm", "pick", 7, number, "sim 1", "expert"),
        1_700_000_000_123_456_789,
    )
