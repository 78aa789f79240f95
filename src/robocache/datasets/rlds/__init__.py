"""RLDS and Open X-Embodiment datasets, read without TensorFlow."""

from robocache.datasets.rlds.dataset import RLDSDataset
from robocache.datasets.rlds.episode import RLDSEpisode, RLDSStep
from robocache.datasets.rlds.loader import RTXBatch, RTXDataLoader
from robocache.datasets.rlds.rtx import RTXDataset

__all__ = ["RLDSDataset", "RLDSEpisode", "RLDSStep", "RTXBatch", "RTXDataLoader", "RTXDataset"]
