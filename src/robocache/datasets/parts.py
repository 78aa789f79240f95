"""Parts of a dataset, such that equal episodes are never in two of them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.datasets.reader import Reader


def content_hash(episode: Episode) -> str:
    """sha256 of what was recorded, whatever the episode is called and however it is timed.

    Looks at the numbers and vectors; episodes without any are told apart by their frames. Episodes
    that are equal have equal hashes; so have a few that only look alike, which keeps them together.
    """
    low = {name: s for name, s in episode.streams.items() if len(s.spec.shape) <= 1}
    digest = hashlib.sha256()
    for name, stream in sorted((low or episode.streams).items()):
        values = np.ascontiguousarray(stream.values[:])
        digest.update(f"{name}\0{values.dtype}\0{values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def split_keys(dataset: Reader, parts: Mapping[str, float]) -> dict[str, list[str]]:
    """Keys of each part, so that equal episodes are all in one.

    Episodes are ordered by the hash of their content, which is as good as by chance and does not
    depend on their order or names, and dealt to the part that lacks most.

    Args:
        dataset: what to split.
        parts: name -> share (all below or equal 1, sum at most 1) or number of episodes (all whole
            numbers); what is left over goes nowhere.
    """
    all_keys, wanted = dataset.keys(), _counts(parts, len(dataset))
    groups: dict[str, list[str]] = defaultdict(list)
    for key in all_keys:
        groups[content_hash(dataset[key])].append(key)
    lacking = dict(wanted)
    chosen: dict[str, set[str]] = {name: set() for name in parts}
    for _, keys in sorted(groups.items()):
        name = max(lacking, key=lambda part: lacking[part])
        if lacking[name] <= 0:
            break
        chosen[name].update(keys)
        lacking[name] -= len(keys)
    return {name: [k for k in all_keys if k in keys] for name, keys in chosen.items()}


def shared_episodes(first: Reader, second: Reader) -> list[tuple[str, str]]:
    """Keys (in the first, in the second) of episodes with equal content; reads all of both."""
    keys_of: dict[str, list[str]] = defaultdict(list)
    mine, theirs = first.keys(), second.keys()
    for key in mine:
        keys_of[content_hash(first[key])].append(key)
    return [(one, key) for key in theirs for one in keys_of.get(content_hash(second[key]), [])]


def require_disjoint(train: Reader, validation: Reader) -> None:
    """Refuse to validate on what is trained on, whatever the episodes are called.

    Streams must have the same names in both; lists of keys are given as `select(dataset, keys)`.

    Raises:
        ConfigError: episodes with equal content are in both; names their keys.
    """
    shared = shared_episodes(train, validation)
    if shared:
        pairs = ", ".join(f"{mine} = {theirs}" for mine, theirs in shared[:50])
        more = f" and {len(shared) - 50} more" if len(shared) > 50 else ""
        count = len({theirs for _, theirs in shared})
        raise ConfigError(
            f"{count} of {len(validation)} episodes to validate on are trained on, too "
            f"({train.name} = {validation.name}: {pairs}{more}); leave them out of one side"
        )


def _counts(parts: Mapping[str, float], episodes: int) -> dict[str, int]:
    if not parts or any(not value > 0 for value in parts.values()):
        raise ConfigError(f"parts need a positive share or number each, got {dict(parts)}")
    total = sum(parts.values())
    if all(value <= 1 for value in parts.values()) and total <= 1 + 1e-9:
        ends = np.round(np.cumsum(list(parts.values())) * episodes).astype(int)
        return dict(zip(parts, np.diff(ends, prepend=0).tolist(), strict=True))
    if any(value != int(value) for value in parts.values()):
        raise ConfigError(f"shares sum to at most 1, numbers are whole; got {dict(parts)}")
    if total > episodes:
        raise ConfigError(f"{int(total)} episodes were asked for, there are {episodes}")
    return {name: int(value) for name, value in parts.items()}
