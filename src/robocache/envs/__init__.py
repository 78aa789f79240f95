"""Simulators behind one protocol. Importing this imports no simulator."""

from robocache.envs.assets import simulator_assets
from robocache.envs.registry import make_env
from robocache.envs.sensors import SensorSuite

__all__ = ["SensorSuite", "make_env", "simulator_assets"]
