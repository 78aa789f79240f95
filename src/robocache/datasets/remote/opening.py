"""Datasets from elsewhere as readers, which tell where they came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.new_folder import new_folder
from robocache.datasets.reader import ORIGIN, Reader, open_local
from robocache.datasets.remote.copy import require_room
from robocache.datasets.remote.downloading import Download, download
from robocache.datasets.remote.parts import Episodes, chosen
from robocache.datasets.remote.transfer import Progress
from robocache.datasets.views import View

TOTALS = "info.json"
"""Counts things over a whole LeRobot dataset, which cannot be judged from a part."""


class Selection(View):
    """Episodes of a dataset whose other files may not be here.

    Args:
        source: what is here of it.
        keys: the episodes.
        origin: where it came from.
    """

    def __init__(self, source: Reader, keys: list[str], origin: Mapping[str, Any]) -> None:
        super().__init__(source, {"select": len(keys)}, keys=keys)
        self.origin = dict(origin)

    def problems(self) -> Iterator[DataError]:
        """What is wrong with these episodes and the files they came with."""
        for problem in super().problems():
            if problem.episode is not None or _is_here(problem.file):
                yield problem

    def report(self) -> dict[str, Any]:
        return {**self.source.report(), "episodes": len(self), "downloaded": self.origin}


def open_remote(
    uri: str,
    format: str = "auto",
    *,
    episodes: Episodes | None = None,
    revision: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Reader:
    """Download a dataset, as far as it is not here, and open it; see `download`.

    Args:
        options: given to its reader.
    """
    came = download(
        uri,
        episodes=episodes,
        split=options.get("split"),
        revision=revision,
        format=format,
        storage_options=storage_options,
        progress=progress,
    )
    return open_download(came, format, options)


def open_download(came: Download, format: str, options: Mapping[str, Any]) -> Reader:
    """Open what `download` brought; asks nothing of the network.

    Args:
        options: given to its reader.
    """
    return _opened(came.path, format, options, came.origin, came.keys, came.episodes)


def copy_out(came: Download, destination: Path) -> None:
    """Copy a download from the cache into a new folder, which remembers where it came from.

    Raises:
        StorageError: the folder exists, or there is no room.
    """
    folder = came.path if came.path.is_dir() else came.path.parent
    size = sum((folder / name).stat().st_size for name in came.files)
    require_room(destination.absolute().parent, size, str(came.origin["uri"]))
    origin = {"origin": came.origin, "keys": came.keys, "episodes": came.episodes}
    with new_folder(destination) as made:
        for name in came.files:
            target = made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)
        (made / ORIGIN).write_text(json.dumps(origin, indent=1))


def open_downloaded(place: Path, format: str, options: Mapping[str, Any]) -> Reader:
    """Open a folder that `copy_out` made.

    Raises:
        CorruptFileError: what it remembers cannot be used.
    """
    file = place / ORIGIN
    try:
        kept = json.loads(file.read_bytes())
        origin, keys, episodes = dict(kept["origin"]), kept["keys"], kept["episodes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(
            f"does not tell where the dataset came from ({error!r}): remove it to open the folder "
            f"as it is",
            file=file,
        ) from error
    return _opened(place, format, options, origin, keys, episodes)


def _opened(
    path: Path,
    format: str,
    options: Mapping[str, Any],
    origin: Mapping[str, Any],
    keys: list[str] | None,
    episodes: Episodes | None,
) -> Reader:
    reader = open_local(path, format, options)
    if episodes is not None:
        keys = chosen(episodes, reader.keys())
    if keys is not None:
        there = set(reader.keys())
        return Selection(reader, [key for key in keys if key in there], origin)
    # The reader itself, so that everything its format offers is there; only its report says more.
    vars(reader)["report"] = partial(_report, type(reader).report, reader, dict(origin))
    return reader


def _report(plain: Any, reader: Reader, origin: dict[str, Any]) -> dict[str, Any]:
    return {**plain(reader), "downloaded": origin}


def _is_here(file: str | None) -> bool:
    return file is not None and Path(file).name != TOTALS and Path(file).exists()
