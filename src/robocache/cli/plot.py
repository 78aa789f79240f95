"""`robocache data plot`: one episode as a page to look at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from robocache.cli.datasets import find_dataset
from robocache.cli.output import console
from robocache.core import Episode
from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets import Reader
from robocache.evaluation.episode_plot import episode_page, write_page
from robocache.runs import RunStore

FEW_EPISODES, FEW_FILES, FEW_BYTES = 200, 2000, 2**28
"""A dataset is read as a whole up to here."""


def plot(
    dataset: str,
    episode: str,
    out: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the page of an episode; where it is and what it shows, as plain data.

    Args:
        dataset: a folder, a file, or the name of a collection.
        episode: its key, or its number from 0.
        out: the file; None: <dataset>-<episode>.html here.
        options: given to its reader, see `open_dataset`.

    Raises:
        ConfigError: no such dataset or episode, or `out` is no .html file.
        DataError: the episode cannot be read at all.
    """
    source = find_dataset(RunStore(), dataset, options)
    key = find_key(source, episode)
    if out is None:
        out = Path(re.sub(r"[^\w.-]+", "-", f"{source.name}-{key}") + ".html")
    if out.suffix not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: the page is HTML, so call it .html")
    read = source[key]
    problems = [_words(problem) for problem in find_problems(source, key, read)]
    page = episode_page(read, source.name, problems)
    write_page(out, page)
    console.print(f"{out}: episode {key} of {source.name}", markup=False)
    for line in problems:
        console.print(f"  {line}", markup=False)
    return {
        "page": str(out),
        "dataset": source.name,
        "episode": key,
        "problems": problems,
        "charts": len(page.charts),
        "strips": len(page.strips),
        "not_drawn": dict(page.not_drawn),
    }


def find_key(source: Reader, text: str) -> str:
    """The key of the episode that is called so, or has this number."""
    keys = source.keys()
    if text in keys:
        return text
    if text.isdecimal() and int(text) < len(keys):
        return keys[int(text)]
    raise unknown_name(f"episode of {source.name}", text, keys)


def find_problems(source: Reader, key: str, episode: Episode) -> list[DataError]:
    """What is wrong with this episode: by its streams and, where the dataset is small enough to be
    read as a whole, by its reader's own check."""
    if _is_small(source):
        return [problem for problem in source.problems() if problem.episode == key]
    return [problem.located(episode=key) for problem in episode.problems(finite=False)]


def _is_small(source: Reader) -> bool:
    if len(source) > FEW_EPISODES:
        return False
    place = source.path
    files = list(islice(place.rglob("*"), FEW_FILES + 1)) if place.is_dir() else [place]
    return len(files) <= FEW_FILES and sum(f.stat().st_size for f in files) <= FEW_BYTES


def _words(problem: DataError) -> str:
    where = "" if problem.stream is None else f"{problem.stream}: "
    return f"{where}{problem.problem} ({type(problem).__name__})"
