"""Asks a policy server for action chunks and plays them at a fixed rate."""

from robocache_client.asker import Asked, PolicyAsker
from robocache_client.chunks import Chunk, ChunkPlayer
from robocache_client.client import PolicyClient
from robocache_client.errors import (
    BadAnswer,
    BadQuestion,
    ClientError,
    PolicyRefused,
    PolicyUnreachable,
)
from robocache_client.limits import Limited, Limits
from robocache_client.loop import Asker, ControlLoop, Report, Robot

__all__ = [
    "Asked",
    "Asker",
    "BadAnswer",
    "BadQuestion",
    "Chunk",
    "ChunkPlayer",
    "ClientError",
    "ControlLoop",
    "Limited",
    "Limits",
    "PolicyAsker",
    "PolicyClient",
    "PolicyRefused",
    "PolicyUnreachable",
    "Report",
    "Robot",
]
