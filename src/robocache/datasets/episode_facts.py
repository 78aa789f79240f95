"""What is said of each episode beside its streams: its words and its outcome.

Read once without decoding pictures, and kept below the home folder under the dataset's fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass

from robocache.datasets.episodes import EpisodeStore
from robocache.datasets.reader import Reader
from robocache.datasets.views import View
from robocache.runs import atomic_write, home


@dataclass(frozen=True)
class EpisodeFacts:
    """What filters ask of an episode.

    Attributes:
        instruction: "" where there is none.
        success: None where the dataset does not say.
    """

    instruction: str
    success: bool | None


def tells_success(dataset: Reader) -> bool:
    """Whether the dataset says of any episode if it succeeded."""
    if isinstance(dataset, View):
        return tells_success(dataset.source)
    return isinstance(dataset, EpisodeStore) or bool(getattr(dataset, "tells_success", False))


def episode_facts(dataset: Reader) -> dict[str, EpisodeFacts]:
    """Key -> what is said of it, of all episodes.

    Raises:
        DataError: an episode cannot be read.
    """
    keys = dataset.keys()
    if isinstance(dataset, EpisodeStore):
        records = map(dataset.record, keys)
        rows = [EpisodeFacts(one["instruction"], one["outcome"]["success"]) for one in records]
        return dict(zip(keys, rows, strict=True))
    file = home() / "cache" / "indexes" / f"facts-{dataset.fingerprint}.json"
    try:
        rows = [EpisodeFacts(*row) for row in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError):
        rows = []
    if len(rows) != len(keys):
        episodes = (dataset[key] for key in keys)
        rows = [EpisodeFacts(one.instruction, one.outcome.success) for one in episodes]
        atomic_write(file, json.dumps([astuple(row) for row in rows]).encode())
    return dict(zip(keys, rows, strict=True))
