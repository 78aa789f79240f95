"""LeRobot datasets: versions 2.0, 2.1 and 3.0 read, 3.0 written."""

from robocache.datasets.lerobot.dataset import LeRobotDataset
from robocache.datasets.lerobot.settings import LeRobotSettings, VideoSettings
from robocache.datasets.lerobot.write import write_lerobot

__all__ = ["LeRobotDataset", "LeRobotSettings", "VideoSettings", "write_lerobot"]
