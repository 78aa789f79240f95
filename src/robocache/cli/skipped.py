"""`on_error=skip`: datasets without their damaged episodes, and what is told of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from robocache.cli.download import download_bar
from robocache.cli.mixture import Member
from robocache.cli.output import console
from robocache.cli.progress import progress
from robocache.cli.windows_seen import window_for
from robocache.core.window import Window
from robocache.datasets import Reader
from robocache.datasets.damaged import EVERYTHING, Needed
from robocache.datasets.reader import is_uri
from robocache.datasets.skipping import SoundEpisodes, open_sound


def open_skipping(text: str, options: Mapping[str, Any], needed: Needed) -> SoundEpisodes:
    """A dataset without the episodes that cannot be read; says in a line what was left out."""
    with download_bar() if is_uri(text) else nullcontext() as bar:
        coming = {} if bar is None else {"progress": bar}
        with progress("looking for damage", "episodes") as say:
            found = open_sound(
                text,
                options={**coming, **options},
                needed=needed,
                progress=lambda done, of: say(done, of, ""),
            )
    if found.skipped:
        console.print(found.summary(), markup=False)
    return found


def needed_by(
    window: Window, rename: Mapping[str, str], transforms: Sequence[Mapping[str, Any]]
) -> Needed:
    """What of the episodes on disk a window reads; everything, where transforms come between.

    Args:
        rename, transforms: how the episodes are seen, as in a `Member`.
    """
    if transforms:
        return EVERYTHING
    before = {new: old for old, new in rename.items()}
    names = dict.fromkeys([*(view.stream for view in window.inputs), window.action])
    return Needed(tuple(before.get(name, name) for name in names))


def needed_as(member: Member | None, windows: Mapping[str, Window]) -> Needed:
    """The same of episodes that are seen as those of a dataset of a mixture; None: as they lie."""
    if member is None:
        return needed_by(windows[""], {}, ())
    window = window_for(windows, member.embodiment)
    return needed_by(window, member.rename, member.transforms)


def told_of_skipped(datasets: Mapping[str, Reader]) -> dict[str, Any] | None:
    """Name -> what was left out of each dataset; None: that was not asked for any of them."""
    told = {n: d.to_json() for n, d in datasets.items() if isinstance(d, SoundEpisodes)}
    return told or None


def skipped_field(datasets: Iterable[Reader]) -> dict[str, Any]:
    """The same as a field of a result; nothing where it was not asked for."""
    told = told_of_skipped({dataset.name: dataset for dataset in datasets})
    return {} if told is None else {"skipped": told}
