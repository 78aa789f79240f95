"""`--option key=value`, given to the reader of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from robocache.core.errors import ConfigError


def reader_options(texts: Sequence[str]) -> dict[str, Any]:
    """Options by name, their values as in every setting: numbers, true, null, [lists], words.

    Raises:
        ConfigError: not key=value, or a value that cannot be read.
    """
    for text in texts:
        key, equals, _ = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"--option {text}: expected key=value, e.g. --option split=val")
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(list(texts)), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"--option {' '.join(texts)}: {error}") from None
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
