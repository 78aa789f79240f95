"""The loops that train."""

from robocache.learning.imitation import TrainerConfig, train

__all__ = ["TrainerConfig", "train"]
