"""A small embodiment with every kind of group, and samples of it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from robocache.core.statistics import StreamStatistics
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.embodiments import make_embodiment
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    ActionFormat,
    ActionType,
    EmbodimentConfig,
    Representation,
)
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.processing.settings import ProcessorSettings
from robocache.policies.groot_n16.processing.statistics import EmbodimentStatistics
from robocache.policies.groot_n16.processing.text import GrootTokenizer

HORIZON = 4
TAG = "new_embodiment"
SETTINGS = ProcessorSettings(
    max_state_dim=40,
    max_action_dim=36,
    max_action_horizon=6,
    apply_sincos_state_encoding=True,
    use_relative_action=True,
)
WIDTHS = {"arm": 3, "wrist": 2, "base": 2, "hand": 9, "vec": 6}


def rows6(rotation: Rotation) -> np.ndarray:
    """The first two rows of the matrices."""
    matrix = rotation.as_matrix()
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def config(tag: str = TAG, rep: Representation = Representation.RELATIVE) -> EmbodimentConfig:
    return make_embodiment(
        tag,
        video=["left", "right"],
        state=list(WIDTHS),
        action=list(WIDTHS),
        horizon=HORIZON,
        action_configs={
            "arm": ActionConfig(rep),
            "hand": ActionConfig(rep, ActionType.EEF, ActionFormat.XYZ_ROT6D),
            "vec": ActionConfig(rep, ActionType.EEF, ActionFormat.XYZ_ROTVEC),
        },
        sin_cos=["wrist"],
        mean_std_state=["base"],
        mean_std_action=["base"],
    )


def group(shape: tuple[int, ...], low: float = -4.0, high: float = 4.0) -> StreamStatistics:
    def full(value: float) -> np.ndarray:
        return np.full(shape, value)

    return StreamStatistics(
        mean=full(0.1),
        std=full(0.7),
        minimum=full(low),
        maximum=full(high),
        q01=full(0.9 * low),
        q99=full(0.9 * high),
        count=0,
    )


def statistics() -> EmbodimentStatistics:
    return EmbodimentStatistics(
        state={key: group((width,)) for key, width in WIDTHS.items()},
        action={key: group((width,)) for key, width in WIDTHS.items()},
        relative_action={
            key: group((HORIZON, WIDTHS[key]), -7.0, 7.0) for key in ("arm", "hand", "vec")
        },
    )


def numbers(random: np.random.Generator, steps: int) -> dict[str, np.ndarray]:
    """Group -> (steps, D) float32."""
    poses = Rotation.random(steps, rng=random)
    made = {
        "arm": random.uniform(-3, 3, (steps, 3)),
        "wrist": random.uniform(-3, 3, (steps, 2)),
        "base": random.normal(size=(steps, 2)),
        "hand": np.concatenate([random.uniform(-1, 1, (steps, 3)), rows6(poses)], axis=1),
        "vec": random.uniform(-1, 1, (steps, 6)),
    }
    return {key: values.astype(np.float32) for key, values in made.items()}


def sample(seed: int, *, action: bool = True, side: int = 64) -> Sample:
    random = np.random.default_rng(seed)
    made = Sample(
        video={
            view: random.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
            for view in ("left", "right")
        },
        state=numbers(random, 1),
        language=f"Pick up the cube, number {seed}!",
    )
    if action:
        made["action"] = numbers(random, HORIZON)
    return made


def processor(
    compat: Compat | None = None, settings: ProcessorSettings = SETTINGS
) -> GrootProcessor:
    return GrootProcessor(
        settings, {TAG: config()}, {TAG: statistics()}, GrootTokenizer.bytes_only(), compat=compat
    )
