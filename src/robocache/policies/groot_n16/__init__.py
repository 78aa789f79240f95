"""GR00T N1.6, compatible with the public checkpoints: the network, its weights, what trains of it.

The weights are NVIDIA's, under a non-commercial research licence; none are in this package.
"""

from robocache.policies.groot_n16.backbone import BackboneFeatures
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.inputs import GrootInputs
from robocache.policies.groot_n16.model import GrootN16

__all__ = ["BackboneFeatures", "GrootConfig", "GrootInputs", "GrootN16"]
