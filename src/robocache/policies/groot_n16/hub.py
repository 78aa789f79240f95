"""A checkpoint from the Hugging Face hub, through `huggingface_hub` and its cache."""

from __future__ import annotations

from pathlib import Path

from robocache.core.errors import ConfigError, StorageError, UnreachableError
from robocache.core.optional import require
from robocache.datasets.remote.trouble import is_about_this_disk, network_errors

FILES = ("*.json", "*.safetensors", "LICENSE*", "README.md")


def download(repository: str, revision: str | None = None) -> Path:
    """Folder with the configuration, processor files and weights of a repository.

    Raises:
        ConfigError: there is no such repository or revision, or it is gated.
        UnreachableError: the hub cannot be reached; files that came are kept.
        StorageError: there is no room for it.
        MissingDependencyError: huggingface_hub is not installed.
    """
    hub = require("huggingface_hub", "hub")
    known = require("huggingface_hub.errors", "hub")
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=FILES))
    except known.GatedRepoError as error:
        raise ConfigError(
            f"{repository} is gated: accept its conditions on the hub, then `hf auth login`"
        ) from error
    except known.RepositoryNotFoundError as error:
        raise ConfigError(
            f"{repository} is neither a folder here nor a repository on the hub, or it is private "
            f"(then `hf auth login`)"
        ) from error
    except known.RevisionNotFoundError as error:
        raise ConfigError(f"{repository} has no revision {revision!r}") from error
    except known.HFValidationError as error:
        raise ConfigError(f"{repository}: {error}") from error
    except (known.LocalEntryNotFoundError, *network_errors()) as error:
        if is_about_this_disk(error):
            raise StorageError(
                f"{repository} cannot be written to the hub's cache: {error}"
            ) from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreachableError(
            f"{repository} is no folder here, and the hub cannot be reached, or broke off ({first})"
        ) from error
