"""The words everyone shares. Knows numpy and nothing else.

A name is imported when it is first used, because commands such as `runs ls` need no numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robocache.core.env import Env, EnvSpec, Expert, Samples, Step, VectorEnv, VectorStep
    from robocache.core.episode import Episode, Outcome, Provenance
    from robocache.core.policy import EvaluationCallback, Policy
    from robocache.core.statistics import Statistics, StreamStatistics
    from robocache.core.stream import AlignmentPolicy, Stream, StreamSpec
    from robocache.core.window import ActionChunk, Observation, StreamInput, Window

__all__ = [
    "ActionChunk",
    "AlignmentPolicy",
    "Env",
    "EnvSpec",
    "Episode",
    "EvaluationCallback",
    "Expert",
    "Observation",
    "Outcome",
    "Policy",
    "Provenance",
    "Samples",
    "Statistics",
    "Step",
    "Stream",
    "StreamInput",
    "StreamSpec",
    "StreamStatistics",
    "VectorEnv",
    "VectorStep",
    "Window",
]

_MODULES = {
    "env": (
        "Env",
        "EnvSpec",
        "Expert",
        "Samples",
        "Step",
        "VectorEnv",
        "VectorStep",
    ),
    "episode": (
        "Episode",
        "Outcome",
        "Provenance",
    ),
    "policy": (
        "EvaluationCallback",
        "Policy",
    ),
    "statistics": (
        "Statistics",
        "StreamStatistics",
    ),
    "stream": (
        "AlignmentPolicy",
        "Stream",
        "StreamSpec",
    ),
    "window": (
        "ActionChunk",
        "Observation",
        "StreamInput",
        "Window",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
