"""Environments by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from inspect import getattr_static, signature
from typing import Any

from robocache.core.env import Env
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.plugins import resolve
from robocache.envs.metaworld import ALL_TASKS, SCENES, MetaWorldConfig, MetaWorldEnv

_PROTOCOL = ("spec", "reset", "instruction", "step", "close")


def make_env(name: str, **options: Any) -> Env:
    """The environment called `name`.

    Args:
        name: "metaworld/<task>", the name of an installed entry point in the group
            `robocache.envs`, or "module:attribute" naming a callable that returns an `Env`.
        options: given to it; for Meta-World the fields of `MetaWorldConfig`.

    Raises:
        ConfigError: unknown name or option, or what the name stands for makes no `Env`.
        MissingDependencyError: the simulator is not installed.
    """
    factory = resolve("environment", "robocache.envs", name, _builtin())
    if not callable(factory):
        raise ConfigError(f"environment {name!r} is a {type(factory).__name__}, not callable")
    try:
        signature(factory).bind(**options)
    except TypeError as error:
        raise ConfigError(f"environment {name!r} does not take these options: {error}") from None
    env: Env = factory(**options)
    lacking = [part for part in _PROTOCOL if getattr_static(env, part, None) is None]
    if lacking:
        raise ConfigError(
            f"environment {name!r} made a {type(env).__name__} without {', '.join(lacking)}; an "
            f"Env has {', '.join(_PROTOCOL)} (check yours with robocache.testing.check_env)"
        )
    return env


def _builtin() -> dict[str, Callable[..., Env]]:
    return {f"metaworld/{task}": partial(_metaworld, task) for task in (*ALL_TASKS, *SCENES)}


def _metaworld(task: str, **options: Any) -> Env:
    known = [field.name for field in fields(MetaWorldConfig) if field.name != "task"]
    for option in options:
        if option not in known:
            raise unknown_name("option of metaworld environments", option, known)
    if "sensors" in options:
        options["sensors"] = tuple(options["sensors"])
    return MetaWorldEnv(MetaWorldConfig(task=task, **options))
