"""Which implementations of an operation can be used here."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import torch

from robocache.core.errors import ConfigError, unknown_name

BACKENDS = {
    "align": ("triton", "numba", "torch"),
    "augment": ("triton", "numba", "torch"),
    "resample": ("triton", "numba", "torch", "reference"),
    "voxelize": ("triton", "numba", "torch"),
}
"""Operation -> its implementations, those that are preferred first."""


def available_backends(op: str) -> tuple[str, ...]:
    """Names of the implementations of an operation that can run here, the preferred first.

    `triton` runs on NVIDIA cards (it comes with torch's CUDA builds), and on the CPU for tests
    alone, in its interpreter (`TRITON_INTERPRET=1`). `numba` runs on the CPU
    (`pip install 'robocache[kernels]'`), `torch` anywhere; `reference` is the plain definition, for
    comparison.

    Raises:
        ConfigError: unknown operation.
    """
    if op not in BACKENDS:
        raise unknown_name("operation", str(op), BACKENDS)
    here = {"numba": has_numba(), "triton": has_triton() and (interprets() or _has_cuda())}
    return tuple(name for name in BACKENDS[op] if here.get(name, True))


def require_backend(op: str, backend: str, device: torch.device) -> None:
    """Raise ConfigError unless `backend` is one of `op`, installed, and able to run on `device`."""
    if backend not in BACKENDS[op]:
        raise unknown_name(f"backend of {op}", backend, BACKENDS[op])
    if backend == "numba":
        if not has_numba():
            raise ConfigError(
                f"backend='numba' of {op} is not installed: pip install 'robocache[kernels]', or "
                f"leave backend out"
            )
        if device.type != "cpu":
            raise ConfigError(f"backend='numba' of {op} is for the CPU, the data is on {device}")
    if backend == "triton":
        if not has_triton():
            raise ConfigError(
                f"backend='triton' of {op} is not installed: it comes with a CUDA build of torch; "
                f"or leave backend out"
            )
        if device.type != "cuda" and not interprets():
            raise ConfigError(
                f"backend='triton' of {op} is for NVIDIA cards, the data is on {device}; for "
                f"tests on the CPU set TRITON_INTERPRET=1 before Python starts"
            )


def preferred(op: str, device: torch.device) -> str:
    """The implementation for a device, by that and what is installed alone."""
    if device.type == "cuda" and has_triton() and "triton" in BACKENDS[op]:
        return "triton"
    return "numba" if device.type == "cpu" and has_numba() and "numba" in BACKENDS[op] else "torch"


def chosen(op: str, backend: str | None, device: torch.device) -> str:
    """What was asked for, if it can run there; else the preferred one."""
    if backend is None:
        return preferred(op, device)
    require_backend(op, backend, device)
    return backend


def interprets() -> bool:
    """Whether Triton's kernels are run by its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def has_numba() -> bool:
    return find_spec("numba") is not None


@cache
def has_triton() -> bool:
    return find_spec("triton") is not None


@cache
def _has_cuda() -> bool:
    return torch.cuda.is_available()
