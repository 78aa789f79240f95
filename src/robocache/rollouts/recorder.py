"""Turns the steps of one episode into streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import EnvSpec, Samples, Step
from robocache.core.errors import EnvError
from robocache.core.stream import Stream, StreamSpec


def action_spec(spec: EnvSpec, *, privileged: bool = False) -> StreamSpec:
    """How actions are recorded: stamped when given, available once executed."""
    return StreamSpec(
        shape=spec.action_low.shape,
        dtype="float32",
        rate_hz=spec.control_rate_hz,
        privileged=privileged,
    )


def is_camera(spec: StreamSpec) -> bool:
    """Whether samples are images: (H, W) or (H, W, C), colour, depth and segmentation alike.

    Unsigned integers of two or more dimensions, or numbers of any kind with two dimensions of at
    least 8: a pose of (2, 7) numbers is no image, depth in metres is one.
    """
    if len(spec.shape) < 2:
        return False
    return np.dtype(spec.dtype).kind == "u" or sum(size >= 8 for size in spec.shape) >= 2


class Recorder:
    """Collects samples and actions of one episode.

    Besides the environment's own streams it records `action` (what was executed) and, where an
    expert labels, `expert_action` (what the expert would have done).

    Args:
        spec: what the environment gives.
        keep_frames: record cameras; else the episode has no such stream.
    """

    def __init__(self, spec: EnvSpec, *, keep_frames: bool = False) -> None:
        self._spec = spec
        self._samples: dict[str, list[Samples]] = {
            name: []
            for name, stream in spec.streams.items()
            if keep_frames or not is_camera(stream)
        }
        self._actions: dict[str, list[NDArray[np.float32]]] = {"action": [], "expert_action": []}
        self._given_s: list[float] = []
        self._executed_s: list[float] = []

    def start(self, step: Step) -> None:
        """Record what `reset` returned."""
        self._keep(step)

    def add(
        self,
        action: NDArray[np.float32],
        label: NDArray[np.float32] | None,
        given_s: float,
        step: Step,
    ) -> None:
        """Record one action, given at `given_s`, and the step that followed."""
        self._keep(step)
        self._actions["action"].append(action)
        if label is not None:
            self._actions["expert_action"].append(label)
        self._given_s.append(given_s)
        self._executed_s.append(step.now_s)

    def streams(self) -> dict[str, Stream]:
        """The recording so far."""
        streams = {
            name: _join(samples, self._spec.streams[name])
            for name, samples in self._samples.items()
        }
        given = np.array(self._given_s, dtype=np.float64)
        executed = np.array(self._executed_s, dtype=np.float64)
        for name, actions in self._actions.items():
            if name == "action" or actions:
                spec = action_spec(self._spec, privileged=name == "expert_action")
                values = np.array(actions, np.float32).reshape(-1, *spec.shape)
                streams[name] = Stream(values, given, spec, executed)
        return streams

    def _keep(self, step: Step) -> None:
        for name, samples in step.samples.items():
            if name not in self._spec.streams:
                raise EnvError(f"{self._spec.name} gave samples of {name!r}, not in its spec")
            if name in self._samples and len(samples.times_s):
                self._samples[name].append(samples)


def _join(parts: Sequence[Samples], spec: StreamSpec) -> Stream:
    if not parts:
        return Stream(np.zeros((0, *spec.shape), spec.dtype), np.zeros(0), spec)
    times = np.concatenate([part.times_s for part in parts])
    available = None
    if any(part.available_s is not None for part in parts):
        available = np.concatenate(
            [p.times_s if p.available_s is None else p.available_s for p in parts]
        )
    return Stream(np.concatenate([part.values for part in parts]), times, spec, available)
