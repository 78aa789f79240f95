"""Counter-based randomness: every draw is a function of (root, stream, episode, step).

No generator is shared between episodes or workers, so the number of workers, their order and a
restart change nothing. Philox 4x64-10 (Salmon et al., 2011) as implemented by numpy.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(root: int, stream: str, episode: int = 0, step: int = 0) -> np.random.Generator:
    """A numpy generator for one (root, stream, episode, step), 2**64 draws from the next."""
    digest = hashlib.sha256(f"{root}\x00{stream}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype=np.uint64)
    counter = np.array([0, step, episode, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def derive_seed(root: int, stream: str, episode: int = 0, step: int = 0) -> int:
    """A 63-bit integer seed for libraries that take one (torch, simulators)."""
    digest = hashlib.sha256(f"{root}\x00{stream}\x00{episode}\x00{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
