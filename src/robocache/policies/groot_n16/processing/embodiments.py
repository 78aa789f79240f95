"""Embodiments: their projector ids, known modalities, and modalities made from data.

A checkpoint's embodiment_id.json and modality_configs come first; what is here fills in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets.modality import read_modality
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    EmbodimentConfig,
    ModalityConfig,
)

NEW_EMBODIMENT = "new_embodiment"
LANGUAGE_KEY = "annotation.human.action.task_description"

PROJECTOR_IDS: Mapping[str, int] = {
    "oxe_google": 0,
    "oxe_widowx": 1,
    "libero_panda": 2,
    "unitree_g1": 8,
    NEW_EMBODIMENT: 10,
    "robocasa_panda_omron": 13,
    "oxe_droid": 16,
    "gr1": 20,
    "behavior_r1_pro": 24,
}
"""Row of the embodiment-specific layers for each tag the public code knows."""

HORIZONS: Mapping[str, int] = {
    "unitree_g1": 30,
    "libero_panda": 16,
    "oxe_widowx": 8,
    "oxe_google": 8,
    "behavior_r1_pro": 32,
    "oxe_droid": 32,
}
"""Action steps of the tags that the public code has registered; others are in checkpoints."""


def projector_id(tag: str, of_checkpoint: Mapping[str, int]) -> int:
    """The row of the embodiment-specific layers.

    Args:
        tag: of the embodiment.
        of_checkpoint: its embodiment_id.json, which wins.

    Raises:
        ConfigError: neither knows the tag.
    """
    if tag in of_checkpoint:
        return of_checkpoint[tag]
    if tag not in PROJECTOR_IDS:
        raise unknown_name("embodiment", tag, {*of_checkpoint, *PROJECTOR_IDS})
    return PROJECTOR_IDS[tag]


def make_embodiment(
    tag: str,
    *,
    video: Sequence[str],
    state: Sequence[str],
    action: Sequence[str],
    horizon: int | None = None,
    language: str = LANGUAGE_KEY,
    video_indices: Sequence[int] = (0,),
    state_indices: Sequence[int] = (0,),
    action_configs: Mapping[str, ActionConfig] | None = None,
    sin_cos: Sequence[str] = (),
    mean_std_state: Sequence[str] = (),
    mean_std_action: Sequence[str] = (),
) -> EmbodimentConfig:
    """Modalities from names.

    Args:
        tag: of the embodiment.
        video, state, action: names of views and groups, in the order the network gets them.
        horizon: action steps; None: as the public code has it for this tag, 16 for a new one.
        language: key of the instruction.
        video_indices, state_indices: steps relative to now.
        action_configs: of action groups that are not absolute numbers.
        sin_cos: state groups in radians given as sine and cosine.
        mean_std_state, mean_std_action: groups scaled by mean and standard deviation.

    Raises:
        ConfigError: names do not fit together.
    """
    steps = HORIZONS.get(tag, 16) if horizon is None else horizon
    if steps < 1:
        raise ConfigError(f"embodiment {tag}: the horizon must be at least 1, got {steps}")
    configs = dict(action_configs or {})
    for key in configs:
        if key not in action:
            raise unknown_name(f"action group of embodiment {tag}", key, action)
    return EmbodimentConfig(
        tag,
        video=ModalityConfig(tuple(video_indices), tuple(video)),
        state=ModalityConfig(
            tuple(state_indices),
            tuple(state),
            tuple(sin_cos) or None,
            tuple(mean_std_state) or None,
        ),
        action=ModalityConfig(
            tuple(range(steps)),
            tuple(action),
            None,
            tuple(mean_std_action) or None,
            tuple(configs.get(key, ActionConfig()) for key in action),
        ),
        language=ModalityConfig((0,), (language,)),
    )


def group_names(streams: Iterable[str]) -> dict[str, list[str]]:
    """Names after "video.", "state.", "action." and "annotation." of stream names, in order."""
    found: dict[str, list[str]] = {kind: [] for kind in ("video", "state", "action", "annotation")}
    for stream in streams:
        kind, dot, name = stream.partition(".")
        if dot and name and kind in found:
            found[kind].append(name)
    return found


def embodiment_of_streams(
    streams: Iterable[str],
    tag: str = NEW_EMBODIMENT,
    *,
    horizon: int | None = None,
    action_configs: Mapping[str, ActionConfig] | None = None,
) -> EmbodimentConfig:
    """Modalities of a dataset whose streams are called as meta/modality.json names them.

    All views and groups are taken. The instruction is `annotation.human.action.task_description`
    where there is one, else the first annotation, else `task`. Otherwise use `make_embodiment`.

    Args:
        streams: e.g. "video.front", "state.arm", "action.arm", "annotation.human.validity".
        tag, horizon, action_configs: as in `make_embodiment`.

    Raises:
        ConfigError: there is no such video, state or action.
    """
    names = group_names(streams)
    if missing := [kind for kind in ("video", "state", "action") if not names[kind]]:
        raise ConfigError(
            f"embodiment {tag}: no stream is called {' or '.join(f'{m}.NAME' for m in missing)}; "
            "name its parts in meta/modality.json, or use make_embodiment"
        )
    annotations = [f"annotation.{name}" for name in names["annotation"]]
    language = LANGUAGE_KEY if LANGUAGE_KEY in annotations else (*annotations, "task")[0]
    return make_embodiment(
        tag,
        video=names["video"],
        state=names["state"],
        action=names["action"],
        horizon=horizon,
        language=language,
        action_configs=action_configs,
    )


def embodiment_of_modality_file(
    path: Path,
    tag: str = NEW_EMBODIMENT,
    *,
    horizon: int | None = None,
    action_configs: Mapping[str, ActionConfig] | None = None,
) -> EmbodimentConfig:
    """Modalities of a dataset's meta/modality.json; see `embodiment_of_streams`.

    Raises:
        DataError: there is no such file, or it is damaged.
        ConfigError: it names no video, state or action.
    """
    parts = read_modality(path)
    if not parts:
        raise DataError("there is no such file, or it names nothing", file=path)
    names = [part.name for part in parts]
    return embodiment_of_streams(names, tag, horizon=horizon, action_configs=action_configs)


def libero_panda() -> EmbodimentConfig:
    """LIBERO's Panda: the one registered embodiment whose groups are known here in full."""
    groups = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    views = ("image", "wrist_image")
    return make_embodiment("libero_panda", video=views, state=groups, action=groups)
