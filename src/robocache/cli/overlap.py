"""Which episodes a policy was trained on, by content, so that it is not judged on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, CorruptFileError
from robocache.datasets import Reader
from robocache.datasets.parts import content_hash
from robocache.datasets.views import View
from robocache.runs import RunStore, atomic_write, verify_checkpoint

FILE = "training_episodes.json"
"""In the folder of a training run: content hash -> key, of every episode it was trained on."""

_SHOWN = 8


def training_episodes(store: RunStore, checkpoint: Path, sha256: str) -> dict[str, str] | None:
    """What a checkpoint was trained on: content hash -> key; None where that is not known.

    Args:
        store: may know the run that made it.
        checkpoint, sha256: its folder, of a run that may be from elsewhere, and its identity.

    Raises:
        CorruptFileError: the file that says so cannot be read.
    """
    maker = store.maker(sha256)
    file = (checkpoint.parent.parent if maker is None else maker.folder) / FILE
    if not file.is_file():
        return None
    try:
        known = json.loads(file.read_bytes())
    except ValueError as error:
        raise CorruptFileError(f"not readable as JSON ({error})", file=file) from None
    return dict(known)


def keep_training_episodes(folder: Path, trained: Mapping[str, str]) -> None:
    """Write what the run in `folder` is trained on."""
    atomic_write(folder / FILE, json.dumps(trained, indent=0, sort_keys=True).encode())


def learned_before(store: RunStore, start: Path | None) -> dict[str, str]:
    """Content hash -> key of what the checkpoint to start from was trained on."""
    if start is None:
        return {}
    return training_episodes(store, start, verify_checkpoint(start)) or {}


def noted(dataset: Reader, keys: Sequence[str], found: dict[str, str], prefix: str = "") -> View:
    """These episodes; `found` gets content hash -> key of those that are read, of equal ones one.

    Args:
        prefix: comes before each key in `found`.
    """
    hashed: set[str] = set()

    def note(episode: Episode) -> Episode:
        if episode.key not in hashed:
            found.setdefault(content_hash(episode), f"{prefix}{episode.key}")
            hashed.add(episode.key)
        return episode

    return View(dataset, {"select": len(keys)}, keys=keys, change=note)


def require_unseen(trained: Mapping[str, str], dataset: Reader, keys: Iterable[str]) -> None:
    """Refuse to judge on what a policy was trained on, whatever it is called.

    Args:
        trained: content hash -> key of the episodes it was trained on.
        dataset, keys: what it is to be judged on.

    Raises:
        ConfigError: naming the episodes.
    """
    asked = list(keys)
    seen = [
        (key, trained[sha256]) for key in asked if (sha256 := content_hash(dataset[key])) in trained
    ]
    if not seen:
        return
    named = ", ".join(k if k == known else f"{k} (= {known})" for k, known in seen[:_SHOWN])
    more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
    raise ConfigError(
        f"{len(seen)} of {len(asked)} episodes of {dataset.name} were trained on: {named}{more}. "
        f"Judge on others, or say allow_training_episodes=true"
    )
