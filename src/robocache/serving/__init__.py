"""Policies behind a socket, for robots; the protocol is the one that GR00T clients speak."""

from robocache.serving.config import ServerConfig
from robocache.serving.protocol import ModalityConfig
from robocache.serving.scan import Limits
from robocache.serving.served import Answer, ServedPolicy
from robocache.serving.server import PolicyServer
from robocache.serving.stream_policy import StreamPolicy

__all__ = [
    "Answer",
    "Limits",
    "ModalityConfig",
    "PolicyServer",
    "ServedPolicy",
    "ServerConfig",
    "StreamPolicy",
]
