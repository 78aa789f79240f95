"""Optional packages: imported where used, with the pip command in the message if missing."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from robocache.core.errors import MissingDependencyError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of this package brings it.

    Raises:
        MissingDependencyError: the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, AttributeError, OSError) as error:
        graphics = os.environ.get("MUJOCO_GL")
        hint = f" (or unset MUJOCO_GL={graphics}: its OpenGL may be missing)" if graphics else ""
        raise MissingDependencyError(
            f"{module} is needed here and could not be imported ({error}); "
            f"install it with: pip install 'robocache[{extra}]'{hint}"
        ) from error
