"""One split of an Open X-Embodiment dataset for training, and how its episodes are chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robocache.core.episode import Episode
from robocache.core.errors import DataError
from robocache.datasets.rlds.conventions import Mode
from robocache.datasets.rlds.dataset import RLDSDataset
from robocache.datasets.rlds.standard import kept_steps
from robocache.runs import atomic_write, home


@dataclass(frozen=True)
class Summary:
    """What filters ask of an episode: steps, words, outcome."""

    length: int
    instruction: str
    success: bool | None


class RTXDataset:
    """One split of an RLDS dataset for training; items are `Episode`s.

    Args:
        path, split, rate_hz, conventions, known_as: as in `RLDSDataset`; the conventions are
            "standard" unless asked otherwise.
    """

    def __init__(
        self,
        path: str | Path,
        split: str | Sequence[str] = "train",
        *,
        rate_hz: float | None = None,
        conventions: Mode = "standard",
        known_as: str | None = None,
    ) -> None:
        self.reader = RLDSDataset(
            path, split=split, rate_hz=rate_hz, conventions=conventions, known_as=known_as
        )

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, key: int | str) -> Episode:
        return self.reader[key]

    def keys(self) -> list[str]:
        """Keys of the episodes in their order."""
        return self.reader.keys()

    @property
    def cameras(self) -> list[str]:
        """Names of the streams that hold pictures."""
        steps = self.reader.features.steps.values()
        return [leaf.name for leaf in steps if leaf.kind == "image"]

    @cached_property
    def summaries(self) -> tuple[dict[str, Summary], list[DataError]]:
        """Key -> Summary, and the errors of episodes that cannot be read.

        Reads every record once, decodes no picture; kept under the store's home.
        """
        kept = home() / "cache" / "indexes" / f"rlds-{self.reader.fingerprint}.json"
        found = _kept_summaries(kept, self.keys())
        wrong: list[DataError] = []
        if found is None:
            found = {}
            for key in self.keys():
                try:
                    found[key] = self._summary(key)
                except DataError as error:
                    wrong.append(error)
            if not wrong:
                rows = [[s.length, s.instruction, s.success] for s in found.values()]
                atomic_write(kept, json.dumps(rows).encode())
        return found, wrong

    def _summary(self, key: str) -> Summary:
        rlds = self.reader.rlds_episode(key)
        steps = slice(0, len(rlds))
        if self.reader.mode == "standard":
            steps = kept_steps(rlds.convention, len(rlds))
        return Summary(steps.stop - steps.start, rlds.instruction, rlds.success)


def _kept_summaries(kept: Path, keys: list[str]) -> dict[str, Summary] | None:
    """Summaries of these episodes as they were kept; None: there are none, or they do not fit."""
    try:
        rows = [Summary(*row) for row in json.loads(kept.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    return dict(zip(keys, rows, strict=True)) if len(rows) == len(keys) else None
