"""The words everyone shares. Knows numpy and nothing else."""

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
