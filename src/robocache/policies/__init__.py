"""Networks with their input and output processing."""

from robocache.policies.files import load_policy, make_policy, save_policy, save_tensors
from robocache.policies.flow import FlowConfig, FlowPolicy

__all__ = ["FlowConfig", "FlowPolicy", "load_policy", "make_policy", "save_policy", "save_tensors"]
