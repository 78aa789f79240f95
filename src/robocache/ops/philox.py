"""Random numbers that are a function of where they are used, the same on every device.

Philox 4x32-10: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10

BELL_MIDDLE = 4 * 65535
BELL_SCALE = (8 * (65536**2 - 1) / 12) ** -0.5
"""Eight 16-bit numbers less their mean, times this, have variance 1 (an Irwin-Hall distribution):
nearly normal, never beyond 4.9, and without a logarithm that each device rounds in its own way."""


def philox(
    key: Tensor, c0: Tensor | int, c1: Tensor | int = 0, c2: Tensor | int = 0, c3: Tensor | int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words for each key and counter.

    Args:
        key: int64, any 64 bits; broadcasts with the counters.
        c0, c1, c2, c3: int64 in [0, 2**32).

    Returns:
        Four int64 tensors in [0, 2**32).
    """
    k0, k1 = key & WORD, (key >> 32) & WORD
    zero = torch.zeros_like(key)
    x0, x1, x2, x3 = (zero + c for c in (c0, c1, c2, c3))
    for _ in range(ROUNDS):
        low, high = x0 * MULTIPLIERS[0], x2 * MULTIPLIERS[1]  # wraps: the bits are right
        x0 = ((high >> 32) & WORD) ^ x1 ^ k0
        x2 = ((low >> 32) & WORD) ^ x3 ^ k1
        x1, x3 = high & WORD, low & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return x0, x1, x2, x3


def uniform(key: Tensor, count: int) -> Tensor:
    """(N, count) float64 in [0, 1) for (N,) int64 keys, on the device of the keys."""
    numbers = torch.arange(-(-count // 4), device=key.device)
    words = philox(key[:, None], numbers[None, :], 0, 0, 1)  # no counter of noise
    return torch.stack(words, dim=-1).flatten(1)[:, :count].double() * 2.0**-32


def bell(words: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """float32 of mean 0 and variance 1 from four words."""
    total = sum((word & 0xFFFF) + (word >> 16) for word in words)
    assert isinstance(total, Tensor)
    return (total - BELL_MIDDLE).float() * BELL_SCALE


def keys_of(seed: int, index: Tensor) -> Tensor:
    """(N,) int64, a key for each sample index (N,) int64 >= 0 of a seed (63 bits)."""
    key = torch.full_like(index, seed)
    high, low, *_ = philox(key, index & WORD, index >> 32, 0, 1)
    return (high << 32) | low
