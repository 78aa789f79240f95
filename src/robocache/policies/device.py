"""Where a network computes, by name."""

from __future__ import annotations

import torch

from robocache.core.errors import ConfigError


def require_device(device: torch.device | str) -> torch.device:
    """The device of this name: cpu, cuda, cuda:1.

    Raises:
        ConfigError: torch has no such device here.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device={device}: {str(error).splitlines()[0]}") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={device} was asked for, but torch sees no CUDA device")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device={device}: torch sees {torch.cuda.device_count()} CUDA devices")
    return found
