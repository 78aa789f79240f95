"""What lies between simulator and robot: delay, loss and disorder of sensor samples."""

from robocache.sim_to_real.latency import LatencyConfig, LatencySimulator

__all__ = ["LatencyConfig", "LatencySimulator"]
