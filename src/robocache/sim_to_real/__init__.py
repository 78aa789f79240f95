"""What lies between simulator and robot: delay, loss and disorder of samples, and other sensors."""

from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator
from robocache.sim_to_real.randomizer import DomainRandomizer
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization
from robocache.sim_to_real.streams import StreamRandomizer, is_changed

__all__ = [
    "DepthRanges",
    "DomainRandomizer",
    "ImageRanges",
    "LatencyConfig",
    "LatencySimulator",
    "Randomization",
    "StreamRandomizer",
    "is_changed",
]
