"""Does an environment keep its promises? Run this on your own before you collect with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import Env, EnvSpec, Expert, Samples, Step
from robocache.core.errors import EnvError
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec


def check_env(
    make: Callable[[], Env], *, episodes: int = 2, steps: int = 50, seed: int = 0
) -> None:
    """Play seeded episodes of random actions and raise the first broken promise.

    Args:
        make: creates a new environment; it is called twice.
        episodes: how many different seeds to play, at least 2.
        steps: longest episode played. The time limit is only checked if the environment's
            `max_steps` is not larger than this.
        seed: the first seed.

    Raises:
        EnvError: says where the environment broke its contract and what usually causes it.
    """
    if episodes < 2 or steps < 1:
        raise EnvError(f"check_env needs episodes >= 2 and steps >= 1, got {episodes}, {steps}")
    seeds = [seed + index for index in range(episodes)]
    env = make()
    try:
        _check_spec(env.spec)
        first = [_play(env, s, steps) for s in seeds]
        other = make()
        try:
            elsewhere = _play(other, seed, steps)
        finally:
            other.close()
        again = [_play(env, s, steps) for s in reversed(seeds)]
    finally:
        env.close()
    _compare(
        first[0],
        elsewhere,
        f"two new environments give different episodes for seed {seed}",
        "randomness that does not come from the seed: a global generator, the clock, or a draw "
        "when the environment is created",
    )
    for s, before, after in zip(seeds, first, reversed(again), strict=True):
        _compare(
            before,
            after,
            f"seed {s} gives another episode after other episodes were run",
            "reset leaves something over: a counter, a generator, solver or model state",
        )
    if all(_first_difference(first[0], episode) is None for episode in first[1:]):
        raise EnvError(
            f"seeds {seeds} give the same episode, bit for bit; probable mistake: reset does not "
            "use its seed"
        )


@dataclass
class _Episode:
    """What was seen, as comparable text and bytes: (place, content) in order."""

    instruction: str
    seen: list[tuple[str, object]] = field(default_factory=list)


def _check_spec(spec: EnvSpec) -> None:
    low, high = spec.action_low, spec.action_high
    for name, bound in (("action_low", low), ("action_high", high)):
        if bound.ndim != 1 or bound.dtype != np.float32:
            raise EnvError(f"spec.{name} must be (A,) float32, got {bound.shape} {bound.dtype}")
    if low.shape != high.shape or not (low <= high).all():
        raise EnvError(f"spec: action_low {low} must not exceed action_high {high}, same shape")
    if not spec.control_rate_hz > 0 or spec.max_steps < 1:
        raise EnvError(
            "spec: control_rate_hz must be positive and max_steps at least 1, got "
            f"{spec.control_rate_hz} and {spec.max_steps}"
        )


def _play(env: Env, seed: int, steps: int) -> _Episode:
    spec = env.spec
    last_times: dict[str, float] = {}
    returned: list[tuple[str, Samples, bytes]] = []
    now_s = 0.0

    def look(step: Step, index: int) -> None:
        place = f"seed {seed}, step {index}" if index else f"seed {seed}, reset"
        _check_clock(spec, step, index, now_s, place)
        if not math.isfinite(step.reward):
            raise EnvError(f"{place}: reward {step.reward} is not a finite number")
        episode.seen.append((f"{place}, reward", float(step.reward)))
        flags = (bool(step.terminated), bool(step.truncated), bool(step.success))
        episode.seen.append((f"{place}, terminated, truncated, success", flags))
        for name in sorted(step.samples):
            samples, where = step.samples[name], f"{place}, stream {name!r}"
            if name not in spec.streams:
                raise EnvError(f"{where}: the spec has no such stream")
            _check_samples(spec.streams[name], samples, step.now_s, last_times.get(name), where)
            if len(samples.times_s):
                last_times[name] = float(samples.times_s[-1])
            returned.append((where, samples, _content(samples)))
            episode.seen.append((where, returned[-1][2]))

    step = env.reset(seed)
    if not isinstance(env.instruction, str):
        raise EnvError(f"seed {seed}: instruction must be a str, got {env.instruction!r}")
    episode = _Episode(env.instruction)
    look(step, 0)
    # The same actions for every seed, so that seeds can differ by what reset makes of them alone.
    actions = generator(0, "check_env/actions")
    for index in range(1, min(steps, spec.max_steps) + 1):
        _check_expert(env, spec, f"seed {seed}, before step {index}")
        step = env.step(_random_action(spec, actions))
        look(step, index)
        now_s = step.now_s
        if step.terminated:
            break
    for where, samples, content in returned:
        if _content(samples) != content:
            raise EnvError(
                f"{where}: samples changed after they were returned; probable mistake: one buffer "
                "is returned again and again without a copy"
            )
    return episode


def _check_clock(spec: EnvSpec, step: Step, index: int, before_s: float, place: str) -> None:
    due_s = before_s + 1.0 / spec.control_rate_hz if index else 0.0
    if not abs(step.now_s - due_s) <= 1e-6:
        raise EnvError(
            f"{place}: now_s is {step.now_s}, expected {due_s:.6f}; probable mistake: time does "
            "not start at 0 at reset, or does not advance by 1 / control_rate_hz"
        )
    if step.terminated:
        return
    if step.truncated and index < spec.max_steps:
        raise EnvError(
            f"{place}: truncated before max_steps ({spec.max_steps}); an end that belongs to the "
            "task is `terminated`"
        )
    if not step.truncated and index == spec.max_steps:
        raise EnvError(
            f"{place}: not truncated at max_steps ({spec.max_steps}); probable mistake: counting "
            "steps from 0, or a counter that reset does not clear"
        )


def _check_samples(
    spec: StreamSpec, samples: Samples, now_s: float, last_s: float | None, where: str
) -> None:
    values, times = samples.values, samples.times_s
    if times.ndim != 1 or times.dtype != np.float64:
        raise EnvError(f"{where}: times_s must be (n,) float64, got {times.shape} {times.dtype}")
    if tuple(values.shape) != (len(times), *spec.shape):
        raise EnvError(
            f"{where}: expected values of shape {(len(times), *spec.shape)}, got {values.shape}; "
            "probable mistake: no leading sample axis, or a spec for something else"
        )
    if values.dtype != np.dtype(spec.dtype):
        raise EnvError(f"{where}: expected dtype {spec.dtype}, got {values.dtype}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise EnvError(f"{where}: values hold NaN or infinity")
    before = -np.inf if last_s is None else last_s
    if not (np.diff(times, prepend=before) > 0).all():
        raise EnvError(
            f"{where}: times {times} do not increase strictly after {before}; probable mistake: "
            "samples are returned twice, or a clock does not restart at reset"
        )
    if (times > now_s).any():
        raise EnvError(f"{where}: captured at {times.max()} s, after now ({now_s} s)")
    available = samples.available_s
    if available is None:
        return
    if available.shape != times.shape or not (available >= times).all():
        raise EnvError(
            f"{where}: available_s {available} must hold one time per sample, none before its "
            f"capture {times}"
        )


def _check_expert(env: Env, spec: EnvSpec, place: str) -> None:
    if not isinstance(env, Expert):
        return
    action = env.expert_action()
    good = action.shape == spec.action_low.shape and action.dtype == np.float32
    if not good or not ((action >= spec.action_low) & (action <= spec.action_high)).all():
        raise EnvError(
            f"{place}: expert_action must be {spec.action_low.shape} float32 within the bounds, "
            f"got {action!r}"
        )


def _random_action(spec: EnvSpec, draws: np.random.Generator) -> NDArray[np.float32]:
    low = np.maximum(spec.action_low, np.float32(-1e3))
    high = np.minimum(spec.action_high, np.float32(1e3))
    return draws.uniform(low, high).astype(np.float32)


def _content(samples: Samples) -> bytes:
    available = b"" if samples.available_s is None else samples.available_s.tobytes()
    return samples.values.tobytes() + samples.times_s.tobytes() + available


def _compare(one: _Episode, two: _Episode, problem: str, cause: str) -> None:
    place = _first_difference(one, two)
    if place is not None:
        raise EnvError(f"{problem} (first difference: {place}); probable mistake: {cause}")


def _first_difference(one: _Episode, two: _Episode) -> str | None:
    """Where two episodes differ first, seeds in places aside; None when they are equal."""
    if one.instruction != two.instruction:
        return f"instruction {one.instruction!r} against {two.instruction!r}"
    for (place, content), (other_place, other_content) in zip(one.seen, two.seen):
        if content != other_content or place.split(", ", 1)[1] != other_place.split(", ", 1)[1]:
            return place
    return None if len(one.seen) == len(two.seen) else "number of steps or samples"
