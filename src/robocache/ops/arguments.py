"""What is said of arguments that are not what an operation takes."""

from __future__ import annotations

from torch import Tensor

from robocache.core.errors import ShapeError


def require_tensors(**given: object) -> None:
    """Raise ShapeError where one of these is no tensor."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise ShapeError(f"{name} must be a torch.Tensor, got {described(value)}")


def described(value: object) -> str:
    """Shape and dtype of a tensor; of anything else its type, and what it says of itself."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    return f"{type(value).__name__} {value!r:.60}"
