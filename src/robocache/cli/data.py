"""`robocache data inspect`: what a dataset holds and, with `--check`, all that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robocache.cli.datasets import recorded, recorded_episodes
from robocache.cli.download import open_text
from robocache.cli.inspected import (
    Problem,
    ProblemList,
    count,
    print_equal,
    print_head,
    print_streams,
    print_words,
)
from robocache.cli.output import console
from robocache.cli.progress import progress
from robocache.cli.sample import Sample, sample_all, sample_first
from robocache.core import Episode
from robocache.core.errors import ConfigError, CorruptFileError, DataError
from robocache.datasets import EpisodeStore, Reader
from robocache.datasets.damaged_kept import to_json
from robocache.datasets.guarded import guarded_problems
from robocache.datasets.reader import is_uri
from robocache.evaluation.contact_sheet import ContactSheet
from robocache.rollouts import read_rows
from robocache.runs import Inconsistency, RunRecord, RunStore, check_run
from robocache.runs.removal import size_bytes

QUICK_BYTES = 2**30
"""A larger run is compared with what was recorded of it only with `--check`."""
NAMED_PAIRS = 50


def inspect(
    text: str,
    *,
    check: bool = False,
    options: Mapping[str, Any] | None = None,
    thumbnails: Path | None = None,
) -> dict[str, Any]:
    """Print what a dataset holds and what is wrong with it; both as plain data.

    Reads the metadata and the first few episodes. Of a run, problems include whatever is no
    longer as it was recorded.

    Args:
        text: a folder, a file, a URI, or the name of a run that made episodes.
        check: read everything, and list every problem.
        options: given to its reader, see `open_dataset`.
        thumbnails: write pictures of its cameras to this PNG file.

    Raises:
        ConfigError: no such dataset or option, or `thumbnails` is no .png file.
        DataError: it cannot be opened at all.
    """
    if thumbnails is not None and thumbnails.suffix != ".png":
        raise ConfigError(f"--thumbnails {thumbnails}: it becomes a picture, so call it .png")
    store = RunStore()
    # Before this process opens anything that a damaged file could end it with.
    found = _guarded(store, text, options or {}) if check else []
    record, dataset = _open(store, text, options or {})
    report = dataset.report()
    print_head(dataset.path, report)
    sheet = ContactSheet()
    look = None if thumbnails is None else sheet.add
    sample = _sample_all(dataset, look) if check else sample_first(dataset, look)
    print_streams(sample, report)
    print_words(sample)
    if thumbnails is not None:
        _keep_pictures(sheet, thumbnails)
    if check:
        print_equal(sample.equal)
    sample.wrong += sheet.damaged
    problems = ProblemList(dataset.path)
    for problem in (
        _verified(store, record, dataset, sample, found)
        if check
        else _met(store, record, dataset, sample)
    ):
        problems.add(problem)
    problems.conclude(complete=check)
    return {
        **json.loads(json.dumps(report, default=str)),
        "checked": check,
        "sampled": sample.to_json(),
        "equal_episodes": sample.equal if check else None,
        "thumbnails": thumbnails if sheet.cameras else None,
        "problems": [_plain(problem) for problem in problems.all],
    }


def _open(
    store: RunStore, text: str, options: Mapping[str, Any]
) -> tuple[RunRecord | None, Reader]:
    """The run called `text`, if there is one, and the dataset."""
    record = recorded(store, text)
    if record is None:
        return None, open_text(text, options)
    if options:
        raise ConfigError(f"dataset {text!r} is a run: its reader takes no options ({options})")
    return record, EpisodeStore(recorded_episodes(record))


def _guarded(store: RunStore, text: str, options: Mapping[str, Any]) -> list[DataError]:
    """What the readers find, in a process that a damaged file may end."""
    record = recorded(store, text)
    if record is None and is_uri(text):
        open_text(text, options)  # so that it comes here, with its progress
    place = text if record is None else recorded_episodes(record)
    with progress("verifying", "problems") as say:
        found = []
        for problem in guarded_problems(place, **({} if record else options)):
            found.append(problem)
            say(len(found), len(found), "")
    return found


def _sample_all(dataset: Reader, look: Callable[[Episode], None] | None) -> Sample:
    with progress("reading", "episodes") as say:
        return sample_all(dataset, say, look)


def _met(
    store: RunStore, record: RunRecord | None, dataset: Reader, sample: Sample
) -> Iterator[Problem]:
    """What is wrong with what was looked at."""
    if record is not None:
        if size_bytes(record.folder) <= QUICK_BYTES:
            yield from check_run(store.engine, record, read_rows)
        else:
            console.print(f"{record.id} is large: whether it is as it was recorded says --check")
    if isinstance(dataset, EpisodeStore):
        yield from dataset.broken
    yield from sample.unreadable
    yield from sample.wrong


def _verified(
    store: RunStore,
    record: RunRecord | None,
    dataset: Reader,
    sample: Sample,
    found: Sequence[DataError],
) -> Iterator[Problem]:
    """Everything that is wrong: what was `found`, and what that did not tell of episodes."""
    if record is not None:
        yield from check_run(store.engine, record, read_rows)
    yield from found
    told = {problem.file for problem in found} | {problem.episode for problem in found}
    for problem in (*sample.unreadable, *sample.wrong):
        if problem.episode not in told and (problem.file is None or problem.file not in told):
            yield problem
    yield from _shared(dataset, sample.equal)


def _shared(dataset: Reader, equal: Sequence[Sequence[str]]) -> Iterator[DataError]:
    """Episodes with the same content in what is trained on and in what is validated on."""
    named = getattr(dataset, "splits", None)  # RLDS has a list of them, and tells of it itself
    splits: Mapping[str, Sequence[str]] = named() if callable(named) else {}
    for train in (name for name in splits if name.startswith("train")):
        for held_out in (name for name in splits if name.startswith(("val", "test"))):
            mine, theirs = set(splits[train]), set(splits[held_out])
            pairs = [
                f"{one} = {other}"
                for keys in equal
                for one in keys
                for other in keys
                if one != other and one in mine and other in theirs
            ]
            if pairs:
                more = "" if len(pairs) <= NAMED_PAIRS else ", ..."
                yield CorruptFileError(
                    f"splits {train} and {held_out} hold {len(pairs)} episodes with the same "
                    f"content ({', '.join(pairs[:NAMED_PAIRS])}{more})",
                    file=dataset.path,
                )


def _keep_pictures(sheet: ContactSheet, path: Path) -> None:
    if not sheet.cameras:
        console.print("no pictures: no camera in the first episodes")
        return
    sheet.write(path)
    cameras, episodes = count(len(sheet.cameras), "camera"), count(len(sheet.episodes), "episode")
    console.print(f"{path}: pictures of {cameras} in {episodes}", markup=False)


def _plain(problem: Problem) -> dict[str, Any]:
    kind = type(problem).__name__
    if isinstance(problem, Inconsistency):
        return {**asdict(problem), "kind": kind}
    return to_json(problem)
