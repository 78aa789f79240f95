"""What lies between simulator and robot: delay, loss and disorder of samples, and other sensors."""

from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator
from robocache.sim_to_real.preset import Delays, SimToReal
from robocache.sim_to_real.randomizer import DomainRandomizer
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization
from robocache.sim_to_real.streams import StreamRandomizer, is_changed

__all__ = [
    "Delays",
    "DepthRanges",
    "DomainRandomizer",
    "ImageRanges",
    "LatencyConfig",
    "LatencySimulator",
    "Randomization",
    "SimToReal",
    "StreamRandomizer",
    "is_changed",
]
