"""Meta-World 3.1.1. Importing this imports no simulator; making an environment does."""

from robocache.envs.metaworld.cameras import CAMERA_STREAMS, CAMERAS
from robocache.envs.metaworld.env import STATE_SENSORS, MetaWorldConfig, MetaWorldEnv
from robocache.envs.metaworld.instructions import phrases
from robocache.envs.metaworld.tasks import ALL_TASKS, GOALS, MT10, SCENES

__all__ = [
    "ALL_TASKS",
    "CAMERAS",
    "CAMERA_STREAMS",
    "GOALS",
    "MT10",
    "SCENES",
    "STATE_SENSORS",
    "MetaWorldConfig",
    "MetaWorldEnv",
    "phrases",
]
