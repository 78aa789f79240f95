"""Finding environments and policies that live outside this package.

A name is looked up among the built-in ones, then among installed entry points of the group
(`robocache.envs`, `robocache.policies`), then read as `module:attribute`. The current directory is
searched for such a module after everything that is installed, as pytest and uvicorn do.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from robocache.core.errors import ConfigError, unknown_name


def resolve(kind: str, group: str, name: str, builtin: Mapping[str, Callable[..., Any]]) -> Any:
    """The factory called `name`.

    Args:
        kind: "environment" or "policy", for messages.
        group: entry point group.
        name: a built-in name, an entry point name, or `module:attribute`.
        builtin: built-in factories.

    Raises:
        ConfigError: nothing is called that (names the nearest), or its module cannot be imported.
    """
    if name in builtin:
        return builtin[name]
    found = installed(group)
    if name in found:
        return found[name].load()
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute) or module_name.startswith("."):
        raise unknown_name(kind, name, [*builtin, *found])
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{kind} {name!r}: cannot import {module_name!r} ({error})") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise unknown_name(f"{kind} in {module_name}", attribute, vars(module)) from None


def installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name."""
    return {point.name: point for point in entry_points(group=group)}
