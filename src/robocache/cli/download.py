"""`robocache data download`, and opening datasets by text: names of places here or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robocache.cli.output import console
from robocache.cli.progress import progress
from robocache.core.errors import ConfigError
from robocache.datasets import Reader, open_dataset
from robocache.datasets.reader import is_uri
from robocache.datasets.remote import copy_out
from robocache.datasets.remote import download as fetch
from robocache.datasets.remote.transfer import Progress

MEGABYTE = 10**6


def open_text(text: str, options: Mapping[str, Any]) -> Reader:
    """The dataset at a path, or at a URI: then with a bar while it is downloaded."""
    if not is_uri(text):
        return open_dataset(text, **options)
    with download_bar() as say:
        return open_dataset(text, **{"progress": say, **options})


def download(
    uri: str,
    new: Path | None,
    *,
    episodes: str | None,
    split: str | None,
    revision: str | None,
    check: bool,
) -> dict[str, Any]:
    """Bring a dataset into the cache, or into the new folder; what came, as plain data.

    Raises:
        ConfigError: no URI.
    """
    if not is_uri(uri):
        raise ConfigError(f"{uri} is no URI; expected hf://OWNER/NAME, gs://... or the like")
    with download_bar() as say:
        came = fetch(
            uri, episodes=episodes, split=split, revision=revision, progress=say, check=check
        )
    for name in came.altered:
        console.print(f"not as it came, fetched again: {name}", markup=False)
    place = came.path
    if new is not None:
        copy_out(came, new)
        place = new
    here = len(came.files) - came.fetched
    size = sum(_size(came.path, name) for name in came.files)
    console.print(
        f"{place}: {len(came.files)} files, {size / MEGABYTE:.1f} MB"
        + (f" ({here} were here)" if here > 0 else ""),
        markup=False,
    )
    console.print(f"version {came.origin['version']}")
    if "offline" in came.origin:
        console.print(came.origin["offline"], markup=False)
    return {
        "folder": place,
        **came.origin,
        "files": len(came.files),
        "bytes": size,
        "fetched": came.fetched,
        "altered": list(came.altered),
        "episodes": came.keys,
    }


def _size(path: Path, name: str) -> int:
    return (path / name if path.is_dir() else path).stat().st_size


@contextmanager
def download_bar() -> Iterator[Progress]:
    """A progress bar that counts megabytes."""
    with progress("download", "MB") as say:
        yield lambda done, total, words: say(done // MEGABYTE, -(-total // MEGABYTE), words)
