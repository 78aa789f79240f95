"""What lies between simulator and robot: delay, loss and disorder of samples, and other sensors."""

from typing import TYPE_CHECKING, Any

from robocache.sim_to_real.kinds import is_changed
from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator
from robocache.sim_to_real.preset import Delays, SimToReal
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization

if TYPE_CHECKING:
    from robocache.sim_to_real.randomizer import DomainRandomizer
    from robocache.sim_to_real.streams import StreamRandomizer

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


def __getattr__(name: str) -> Any:  # these need torch, which takes seconds to import
    if name == "DomainRandomizer":
        from robocache.sim_to_real.randomizer import DomainRandomizer

        return DomainRandomizer
    if name == "StreamRandomizer":
        from robocache.sim_to_real.streams import StreamRandomizer

        return StreamRandomizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
