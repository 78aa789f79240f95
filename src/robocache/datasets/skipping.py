"""A dataset without its damaged episodes: which ones is settled when it is opened, and told.

What is left out follows from the content of the dataset alone, so whatever reads it does so in the
same order every time. A file that breaks afterwards is an error as ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode
from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.damaged import EVERYTHING, Needed, Progress, find_faults
from robocache.datasets.damaged_kept import from_json, to_json
from robocache.datasets.reader import Reader, is_uri, open_dataset
from robocache.datasets.views import View

TOLD = 3
"""Reasons that a summary names."""


class SoundEpisodes(View):
    """The episodes of a dataset that can be read.

    Args:
        source: the dataset.
        damaged: key -> why an episode is left out.
        absent: what the dataset lists and has not among its keys: episodes that are not there,
            files that cannot be opened.
    """

    def __init__(
        self, source: Reader, damaged: Mapping[str, DataError], absent: list[DataError]
    ) -> None:
        keys = [key for key in source.keys() if key not in damaged]  # noqa: SIM118
        super().__init__(source, {"skipped": sorted(damaged)}, keys=keys)
        self.damaged, self.absent = dict(damaged), list(absent)

    @property
    def fingerprint(self) -> str:
        """That of the source where nothing is left out, else sha256 over that and what is."""
        by_content = getattr(self.source, "fingerprint_of", None)
        if by_content is not None:
            return str(by_content(self.keys()))
        return super().fingerprint if self.damaged else self.source.fingerprint

    @property
    def skipped(self) -> list[DataError]:
        """Why each episode is left out, and what else is not there."""
        return [*self.damaged.values(), *self.absent]

    def __getitem__(self, key: int | str) -> Episode:
        if key in self.damaged:
            raise self.damaged[str(key)]
        return super().__getitem__(key)

    def report(self) -> dict[str, Any]:
        told = {"episodes": len(self), "skipped": len(self.damaged), "absent": len(self.absent)}
        return {**self.source.report(), **told}

    def summary(self) -> str:
        """How many are left out, with the first reasons; "" where none is."""
        if not self.skipped:
            return ""
        counts = f"{len(self.damaged)} of {len(self.source)} episodes are damaged and skipped"
        if self.absent:
            counts += f", {len(self.absent)} more are listed and not there"
        first = "; ".join(_within(self.path, error) for error in self.skipped[:TOLD])
        more = "; ..." if len(self.skipped) > TOLD else ""
        return f"{self.name}: {counts} ({first}{more})"

    def to_json(self) -> dict[str, Any]:
        """Counts and reasons, as plain data."""
        return {
            "episodes": len(self.damaged),
            "of": len(self.source),
            "absent": len(self.absent),
            "problems": [to_json(error) for error in self.skipped],
        }


def open_sound(
    path: str | Path,
    format: str = "auto",
    options: Mapping[str, Any] | None = None,
    *,
    needed: Needed = EVERYTHING,
    progress: Progress | None = None,
) -> SoundEpisodes:
    """A dataset without the episodes that cannot be read; see `find_faults`.

    Everything that is needed is read once, before this process opens anything.

    Args:
        path, format, options: as in `open_dataset`.
        needed: what must be readable of an episode.
        progress: told how far it is.

    Raises:
        CorruptFileError: no episode is left.
        RoboCacheError: as `open_dataset`.
    """
    opener, place, how = _opener(path, format, dict(options or {}))
    faults = find_faults(opener, place, needed, progress, how=how)
    source = opener()
    keys = source.keys()
    if not faults.keys() >= set(keys):
        raise CorruptFileError("changed while it was looked over: open it again", file=place)
    damaged = {key: why for key in keys if (why := faults[key]) is not None}
    absent = []
    for error in getattr(source, "lost", list)():
        if error.episode not in faults:
            absent.append(error)
        elif error.stream is None or needed.video(error.stream):
            damaged.setdefault(str(error.episode), error)
    if keys and len(damaged) == len(keys):
        first = _within(place, damaged[keys[0]])
        raise CorruptFileError(
            f"none of its {len(keys)} episodes can be read, so none would be left ({first})",
            file=path,
        )
    return SoundEpisodes(source, damaged, absent)


def warn_of_skipped(dataset: SoundEpisodes) -> None:
    """Warn of what is left out, if anything is."""
    if dataset.skipped:
        warnings.warn(dataset.summary(), stacklevel=3)


def _within(place: Path, error: DataError) -> str:
    """An error in words, its file by its path in the dataset."""
    told = to_json(error)
    if error.file is not None and place in Path(error.file).parents:
        told["file"] = str(Path(error.file).relative_to(place))
    return str(from_json(told))


def _opener(
    path: str | Path, format: str, options: dict[str, Any]
) -> tuple[Callable[[], Reader], Path, list[Any]]:
    """What opens a dataset, also in another process; where it lies; how it is opened, as data.

    One from elsewhere is brought here first.
    """
    if not is_uri(path):
        return partial(open_dataset, path, format, **options), Path(path), [format, options]
    from robocache.datasets.remote import download, open_download

    names = ("episodes", "revision", "storage_options", "progress")
    given = {name: options.pop(name) for name in names if name in options}
    came = download(str(path), format=format, split=options.get("split"), **given)
    how = [format, options, came.keys, given.get("episodes")]
    return partial(open_download, came, format, options), came.path, how
