"""A small flow-matching policy for everyone without a big GPU."""

from robocache.policies.flow.config import Difference, FlowConfig
from robocache.policies.flow.policy import FlowPolicy

__all__ = ["Difference", "FlowConfig", "FlowPolicy"]
