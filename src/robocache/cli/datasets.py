"""Datasets by name or path, and what to keep of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from robocache import runs
from robocache.cli.download import open_text
from robocache.cli.output import console
from robocache.cli.skipped import open_skipping
from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets import EpisodeStore, Reader, open_dataset
from robocache.datasets.damaged import EVERYTHING, Needed
from robocache.datasets.episode_facts import episode_facts, tells_success
from robocache.datasets.reader import OnError, is_uri
from robocache.datasets.skipping import SoundEpisodes
from robocache.rollouts import read_rows
from robocache.runs import RunRecord, RunStore

EPISODES = "episodes"
"""Folder of a run that holds its shards."""


def recorded(store: RunStore, text: str) -> RunRecord | None:
    """The run called `text`; None where no run is called so and it is a path or a URI.

    Raises:
        ConfigError: neither.
    """
    known = store.runs(run_id=text)
    elsewhere = is_uri(text) or Path(text).exists()
    return None if not known and elsewhere else store.get(text)


def require_sound(store: RunStore, record: RunRecord) -> None:
    """Refuse a complete run that is no longer what was recorded of it.

    Raises:
        IntegrityError: the first thing that differs, by name.
    """
    runs.require_sound(store.engine, record, read_rows)


def recorded_episodes(record: RunRecord) -> Path:
    """The folder with the shards of a run.

    Raises:
        ConfigError: it made none.
    """
    folder = record.folder / EPISODES
    if not folder.is_dir() and EPISODES in record.removed:
        raise ConfigError(
            f"the episodes of run {record.id!r} were removed on {record.removed[EPISODES][:10]}; "
            f"its figures are kept: robocache runs show {record.id}"
        )
    if not folder.is_dir():
        raise ConfigError(
            f"run {record.id!r} ({record.verb}) holds no episodes; what it left is looked over by "
            f"robocache runs check {record.id}"
        )
    return folder


def find_dataset(
    store: RunStore,
    text: str,
    options: Mapping[str, Any] | None = None,
    *,
    on_error: str = "raise",
    needed: Needed = EVERYTHING,
) -> Reader:
    """The dataset made by the run called `text`, or at the path or URI `text`.

    Args:
        options: given to its reader, e.g. {"split": "train"}; see `open_dataset`. An `on_error`
            among them goes over the other one.
        on_error: `skip` leaves out damaged episodes, and says so. A run has none: it is refused as
            a whole if any file of it is not as it was recorded.
        needed: what must be readable of an episode.

    Raises:
        ConfigError: neither a run that made episodes nor a path; or its reader has no such options.
        DataError: a shard is unreadable, or not as it was collected.
        IntegrityError: the run that made it is not as it was recorded.
    """
    record = recorded(store, text)
    options = dict(options or {})
    on_error = options.pop("on_error", on_error)
    if on_error not in get_args(OnError):
        raise unknown_name("on_error", on_error, get_args(OnError))
    if record is None and on_error == "skip":
        found: Reader = open_skipping(text, options, needed)
    elif record is None:
        found = open_text(text, options)
    else:
        if options:
            raise ConfigError(f"dataset {text!r} is a run: its reader takes no options ({options})")
        folder = recorded_episodes(record)
        if record.status != "complete":
            raise ConfigError(
                f"dataset {text!r} is not complete ({record.verb} {record.status}); "
                f"run its {record.verb} command again first"
            )
        require_sound(store, record)
        found = open_dataset(folder)
        found.name = text
        made = record.metrics["fingerprint"]
        if found.fingerprint != made:
            raise DataError(
                f"its {len(found)} episodes are not those that run {text!r} made (fingerprint "
                f"{found.fingerprint[:12]}, was {made[:12]}); restore the folder from a copy, or "
                f"make them again under another name",
                file=folder,
            )
    if isinstance(found, EpisodeStore):
        found.require_whole()
    return found


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a manifest keeps them: those about datasets only where they were given."""
    kept = {k: value for k, value in settings.items() if value or k not in _ONLY_IF_GIVEN}
    for name, usual in (("on_error", "raise"), ("device", "cpu")):
        if kept.get(name) == usual:
            del kept[name]
    return kept


_ONLY_IF_GIVEN = (
    "dataset",
    "dataset_options",
    "mixture",
    "validation",
    "validation_options",
    "validation_as",
    "embodiment",
    "allow_training_episodes",
    "require_instruction",
    "seen_as",
    "rename",
    "transforms",
)


def keep_keys(
    dataset: Reader, *, require_success: bool, require_instruction: bool, hold_out: tuple[str, ...]
) -> list[str]:
    """Keys of the episodes to train on; what is left out for what it says is told.

    Args:
        require_success: leave out those that are known to have failed.
        require_instruction: leave out those without words.
        hold_out: keys of others.

    Raises:
        ConfigError: a key to hold out does not exist.
        DataError: an episode that must be asked cannot be read.
    """
    whole = dataset.source if isinstance(dataset, SoundEpisodes) else dataset
    known = whole.keys()
    for key in hold_out:
        if key not in known:
            raise unknown_name(f"episode of {dataset.name} to hold out", key, known)
    kept = [key for key in dataset.keys() if key not in hold_out]  # noqa: SIM118
    require_success = require_success and tells_success(dataset)
    if not (require_success or require_instruction):
        return kept
    facts = episode_facts(dataset)
    failed = {key for key in kept if require_success and facts[key].success is False}
    silent = {key for key in kept if require_instruction and not facts[key].instruction.strip()}
    for keys, why in ((failed, "known to have failed"), (silent - failed, "without instruction")):
        if keys:
            console.print(f"{dataset.name}: left out, {why}: {len(keys)} of {len(kept)} episodes")
    return [key for key in kept if key not in failed | silent]
