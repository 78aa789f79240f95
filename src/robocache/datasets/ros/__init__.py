"""ROS 2 bags: MCAP and SQLite files, with the clock of every sensor as it was recorded."""

from robocache.datasets.ros.bag import find_bags
from robocache.datasets.ros.dataset import RosDataset

__all__ = ["RosDataset", "find_bags"]
