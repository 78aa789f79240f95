"""RoboCache: from raw robot logs and simulators to a policy that is promoted on evidence."""

from robocache.core import (
    ActionChunk,
    AlignmentPolicy,
    Episode,
    Observation,
    Stream,
    StreamInput,
    StreamSpec,
    Window,
)

__version__ = "0.1.0"
__all__ = [
    "ActionChunk",
    "AlignmentPolicy",
    "Episode",
    "Observation",
    "Stream",
    "StreamInput",
    "StreamSpec",
    "Window",
    "__version__",
]
