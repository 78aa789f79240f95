"""HDF5 demonstrations: robomimic, robosuite, LIBERO, MimicGen, RoboCasa."""

from robocache.datasets.hdf5.dataset import RoboMimicDataset
from robocache.datasets.hdf5.files import close_files
from robocache.datasets.hdf5.fusion import FusionBatch, RoboMimicFusionDataLoader

__all__ = ["FusionBatch", "RoboMimicDataset", "RoboMimicFusionDataLoader", "close_files"]
