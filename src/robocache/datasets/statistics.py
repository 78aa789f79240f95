"""Statistics of the streams a policy reads, in one pass that decodes no picture.

Each episode is summarised by itself, and the summaries are merged in the order of the episodes, so
the result has the same bits whether summaries were just made or come from the cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from robocache.core.episode import Episode
from robocache.core.errors import DataError, ShapeError, unknown_name
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.core.stream import Stream
from robocache.core.window import Window
from robocache.datasets.aligned import checked_stream
from robocache.datasets.episode_files import episode_identities
from robocache.datasets.reader import Reader
from robocache.datasets.statistics_cache import SummaryCache
from robocache.datasets.statistics_summary import Summary, merge, most_kept, summarise
from robocache.datasets.windows import WindowTable

LARGEST_SAMPLE = 4096
"""Video, and streams with more numbers per sample (images), get none; policies scale by range."""

Progress = Callable[[int, int], None]
"""Called with episodes done, and episodes in all."""

Maker = Callable[[Episode], Sequence[Summary]]


@dataclass(frozen=True, eq=False)
class RelativeStatistics:
    """Statistics of actions minus a reference sample, over all windows of a dataset.

    Attributes:
        pooled: over all steps of the horizon together; arrays have the shape of an action.
        steps: of each step by itself; arrays are (H, ...), `count` is the number of windows. Past
            the end of an episode there is no action, so later steps have fewer samples.
    """

    pooled: StreamStatistics
    steps: StreamStatistics


def gets_statistics(stream: Stream) -> bool:
    """Whether a stream holds numbers rather than pictures."""
    held = isinstance(stream.values, np.ndarray)
    return held and math.prod(stream.spec.shape) <= LARGEST_SAMPLE


def compute_statistics(
    episodes: Iterable[Episode], streams: Sequence[str], fingerprint: str
) -> Statistics:
    """Mean, std, range and 1 % / 99 % quantiles of the named streams; never decodes frames.

    Quantiles are exact where no episode has more samples than `most_kept`, else see `summarise`.
    A stream without any sample in all episodes gets mean 0 and std 1.

    Raises:
        DataError: a stream is missing or malformed; names episode and stream.
    """
    found = {name: _Alike(name) for name in streams}
    for episode in episodes:
        for name, alike in found.items():
            alike.add(episode.key, _stream_summaries(episode, name))
    return _merged(found, fingerprint)


def dataset_statistics(
    dataset: Reader,
    streams: Sequence[str],
    keys: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> Statistics:
    """`compute_statistics` of a dataset; only episodes that the cache does not know are read.

    Args:
        keys: which episodes; None: all.
        progress: told how far it is.

    Raises:
        DataError: as `compute_statistics` raises; what was read before is kept.
        StorageError: the cache cannot be written.
    """
    found = {name: _Alike(name) for name in streams}
    makers = {name: _of_stream(name) for name in found}
    for key, summaries in _summaries(dataset, keys, makers, progress):
        for name, alike in found.items():
            alike.add(key, summaries[name])
    return _merged(found, dataset.fingerprint)


def relative_statistics(table: WindowTable, reference: str) -> StreamStatistics:
    """Statistics of a table's valid actions minus the latest sample of one of its inputs."""
    parts = [part for steps in _relative_summaries(table, reference) for part in steps]
    return merge(parts)


def dataset_relative_statistics(
    dataset: Reader,
    window: Window,
    reference: str,
    keys: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> RelativeStatistics:
    """`relative_statistics` of a dataset, also for each step; only unknown episodes are read.

    Args:
        window: what a sample sees and predicts; inputs other than `reference` do not matter.
        reference: the input whose latest sample is subtracted.
        keys: which episodes; None: all.
        progress: told how far it is.

    Raises:
        ShapeError: the reference has another shape than the action.
        DataError: an episode cannot be read; names episode and stream.
        StorageError: the cache cannot be written.
    """
    views = tuple(view for view in window.inputs if view.stream == reference)
    narrow = replace(window, inputs=views)
    what = json.dumps(["relative", narrow.to_json()])
    found = [_Alike(window.action) for _ in range(window.horizon)]
    maker = {what: lambda episode: _relative_of_episode(episode, narrow, reference)}
    for key, summaries in _summaries(dataset, keys, maker, progress):
        for alike, summary in zip(found, summaries[what], strict=True):
            alike.add(key, [summary])
    steps = [merge(alike.summaries) for alike in found]
    by_episode = zip(*(alike.summaries for alike in found), strict=True)
    return RelativeStatistics(
        pooled=merge([summary for episode in by_episode for summary in episode]),
        steps=_stacked(steps),
    )


def _summaries(
    dataset: Reader,
    keys: Sequence[str] | None,
    makers: Mapping[str, Maker],
    progress: Progress | None,
) -> Iterator[tuple[str, dict[str, Sequence[Summary]]]]:
    """Key and summaries of each episode, made now or found in the cache.

    Args:
        makers: what is summarised -> how.
    """
    wanted = _known(dataset, keys)
    with ExitStack() as stack:
        caches = {what: stack.enter_context(SummaryCache(dataset.path, what)) for what in makers}
        for number, (key, identity) in enumerate(
            zip(wanted, episode_identities(dataset, wanted), strict=True), start=1
        ):
            found: dict[str, Sequence[Summary]] = {}
            episode: Episode | None = None
            for what, cache in caches.items():
                kept = cache.get(identity)
                if kept is None:
                    episode = dataset[key] if episode is None else episode
                    kept = tuple(makers[what](episode))
                    cache.add(identity, kept)
                found[what] = kept
            yield key, found
            if progress is not None:
                progress(number, len(wanted))


def _known(dataset: Reader, keys: Sequence[str] | None) -> Sequence[str]:
    there = dataset.keys()
    if keys is None:
        return there
    for key in set(keys) - set(there):
        raise unknown_name(f"episode of {dataset.name}", key, there)
    return keys


class _Alike:
    """Summaries of one stream over episodes, in which it has one shape and dtype."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.summaries: list[Summary] = []

    def add(self, key: str, summaries: Sequence[Summary]) -> None:
        for summary in summaries:
            first = (self.summaries or [summary])[0]
            if _kind(summary) != _kind(first):
                raise ShapeError(
                    f"expected {_kind(first)} samples as in the other episodes, "
                    f"got {_kind(summary)}",
                    episode=key,
                    stream=self.name,
                )
            self.summaries.append(summary)


def _kind(summary: Summary) -> str:
    return f"{summary.kept.dtype} {summary.mean.shape}"


def _merged(found: Mapping[str, _Alike], fingerprint: str) -> Statistics:
    streams = {name: merge(alike.summaries) for name, alike in found.items() if alike.summaries}
    return Statistics(streams, fingerprint)


def _of_stream(name: str) -> Maker:
    return lambda episode: _stream_summaries(episode, name)


def _stream_summaries(episode: Episode, name: str) -> list[Summary]:
    """The summary of a stream; none of one that gets no statistics."""
    if not gets_statistics(episode.stream(name)):
        return []
    values = np.asarray(checked_stream(episode, name, like=None).values)
    try:
        return [summarise(values, most_kept(math.prod(values.shape[1:])))]
    except DataError as error:
        raise error.located(episode=episode.key, stream=name) from None


def _relative_of_episode(episode: Episode, window: Window, reference: str) -> Sequence[Summary]:
    (steps,) = _relative_summaries(WindowTable([episode], window), reference)
    return steps


def _relative_summaries(table: WindowTable, reference: str) -> Iterator[Sequence[Summary]]:
    """Of each episode of a table: for each step of the horizon, its actions minus the reference."""
    window = table.window
    action, seen = table.specs[window.action], table.specs[reference]
    if action.shape != seen.shape:
        raise ShapeError(
            f"actions {action.shape} cannot be taken relative to {reference} {seen.shape}",
            stream=window.action,
        )
    others = [view.stream for view in window.inputs if view.stream != reference]
    most = most_kept(window.horizon * math.prod(action.shape))
    ends = np.searchsorted(table.episode_of, np.arange(len(table.keys)), side="right")
    starts = [0, *ends[:-1].tolist()]
    for key, start, stop in zip(table.keys, starts, ends.tolist(), strict=True):
        unread = {name: torch.empty(stop - start, 0) for name in others}
        batch = table.batch(np.arange(start, stop), frames=unread)
        relative = (batch.actions - batch.values[reference][:, -1:].float()).numpy()
        counted = (batch.action_valid & batch.valid[reference][:, -1:]).numpy()
        try:
            yield [
                summarise(relative[counted[:, step], step], most) for step in range(window.horizon)
            ]
        except DataError as error:
            raise error.located(episode=key, stream=window.action) from None


def _stacked(steps: Sequence[StreamStatistics]) -> StreamStatistics:
    names = [field.name for field in fields(StreamStatistics) if field.name != "count"]
    arrays = {name: np.stack([getattr(step, name) for step in steps]) for name in names}
    return StreamStatistics(**arrays, count=max(step.count for step in steps))
