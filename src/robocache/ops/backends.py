"""Which implementations of an operation can be used here."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from robocache.core.errors import ConfigError, unknown_name

BACKENDS = {"align": ("numba", "torch"), "resample": ("numba", "torch", "reference")}
"""Operation -> its implementations, those that are preferred first."""


def available_backends(op: str) -> tuple[str, ...]:
    """Names of the implementations of an operation that are installed, the preferred first.

    `numba` runs on the CPU alone (`pip install 'robocache[kernels]'`), `torch` anywhere;
    `reference` is the plain definition, for comparison.

    Raises:
        ConfigError: unknown operation.
    """
    if op not in BACKENDS:
        raise unknown_name("operation", op, BACKENDS)
    return tuple(name for name in BACKENDS[op] if name != "numba" or _has_numba())


def require_backend(op: str, backend: str) -> None:
    """Raise ConfigError unless `backend` is one of `op` and installed."""
    if backend not in BACKENDS[op]:
        raise unknown_name(f"backend of {op}", backend, BACKENDS[op])
    if backend == "numba" and not _has_numba():
        raise ConfigError(
            f"backend='numba' of {op} is not installed: pip install 'robocache[kernels]', or leave "
            f"backend out"
        )


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
