"""Networks with their input and output processing."""

from robocache.policies.files import load_policy, load_to_act, make_policy, save_policy
from robocache.policies.flow import FlowConfig, FlowPolicy
from robocache.policies.tensor_files import save_tensors
from robocache.policies.trainable import TrainablePolicy

__all__ = [
    "FlowConfig",
    "FlowPolicy",
    "TrainablePolicy",
    "load_policy",
    "load_to_act",
    "make_policy",
    "save_policy",
    "save_tensors",
]
