"""Datasets by name or path, and what to keep of them."""

from __future__ import annotations

from pathlib import Path

from robocache.core.errors import ConfigError
from robocache.datasets import EpisodeStore, Reader, open_dataset
from robocache.runs import RunStore

EPISODES = "episodes"
"""Folder of a run that holds its shards."""


def find_dataset(store: RunStore, text: str) -> Reader:
    """The dataset in the folder `text`, or made by the run called `text`.

    Raises:
        ConfigError: neither a folder nor a run that made episodes.
        DataError: a shard is unreadable.
    """
    if Path(text).is_dir():
        found = open_dataset(text)
    else:
        record = store.get(text)
        folder = record.folder / EPISODES
        if not folder.is_dir():
            raise ConfigError(f"run {text!r} ({record.verb}) made no episodes")
        if record.verb == "collect" and record.status != "complete":
            raise ConfigError(
                f"dataset {text!r} is not complete (collection {record.status}); "
                f"run its collect command again first"
            )
        found = open_dataset(folder)
        found.name = text
    if isinstance(found, EpisodeStore):
        found.require_whole()
    return found


def keep_keys(dataset: Reader, *, require_success: bool, hold_out: tuple[str, ...]) -> list[str]:
    """Keys of the episodes to train on: not held out, and not known to have failed.

    Raises:
        ConfigError: a key to hold out does not exist.
    """
    keys = dataset.keys()
    for key in hold_out:
        if key not in keys:
            raise ConfigError(f"cannot hold out {key!r}: {dataset.name} has no such episode")
    kept = [key for key in keys if key not in hold_out]
    if require_success and isinstance(dataset, EpisodeStore):
        kept = [key for key in kept if dataset.record(key)["outcome"]["success"] is not False]
    return kept
