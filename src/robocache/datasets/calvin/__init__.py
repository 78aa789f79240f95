"""CALVIN: play data with language windows, one file for each frame."""

from robocache.datasets.calvin.dataset import CalvinDataset
from robocache.datasets.calvin.voxels import CalvinVoxelDataLoader, VoxelBatch, VoxelGrid

__all__ = ["CalvinDataset", "CalvinVoxelDataLoader", "VoxelBatch", "VoxelGrid"]
