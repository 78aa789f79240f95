"""Episodes with all alignment planned: what every window reads, before anything is read.

Numbers are held in memory, or mapped from a cache; pictures stay encoded until a batch asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError
from robocache.core.stream import Stream, StreamSpec
from robocache.core.window import StreamInput, Window
from robocache.datasets.alignment import (
    action_alignment,
    check_inputs,
    plan_actions,
    plan_input,
)
from robocache.datasets.resize import ResizedFrames
from robocache.datasets.window_column import Column


@dataclass(frozen=True, eq=False)
class AlignedEpisodes:
    """E episodes as N windows read them.

    Attributes:
        keys, instructions, sources: of each episode.
        specs: stream name -> its declaration as it is read.
        now_s: (N,) float64 time of each window on its episode's clock.
        episode_of: (N,) int64 number of its episode, ascending.
        inputs: stream name -> what the windows read of it.
        actions: what they predict.
        loss: how a cache keeps pictures, where it changed them; "" where nothing was changed.
    """

    keys: list[str]
    instructions: list[str]
    sources: list[str]
    specs: Mapping[str, StreamSpec]
    now_s: NDArray[np.float64]
    episode_of: NDArray[np.int64]
    inputs: Mapping[str, Column]
    actions: Column
    loss: str = ""

    def only(self, keys: Sequence[str]) -> AlignedEpisodes:
        """Those of these episodes, in the order in which they are here."""
        wanted = set(keys)
        kept = np.array([key in wanted for key in self.keys])
        if kept.all():
            return self
        rows = np.flatnonzero(kept[self.episode_of])
        numbers = np.cumsum(kept) - 1

        def chosen(values: list[str]) -> list[str]:
            return [value for value, keep in zip(values, kept, strict=True) if keep]

        return replace(
            self,
            keys=chosen(self.keys),
            instructions=chosen(self.instructions),
            sources=chosen(self.sources),
            now_s=self.now_s[rows],
            episode_of=numbers[self.episode_of[rows]],
            inputs={name: column.only(rows) for name, column in self.inputs.items()},
            actions=self.actions.only(rows),
        )

    def digest(self, window: Window) -> str:
        """sha256 over which samples there are."""
        digest = hashlib.sha256(repr(window).encode() + self.loss.encode())
        digest.update("\n".join(self.keys).encode())
        digest.update(self.episode_of.tobytes())
        digest.update(self.now_s.tobytes())
        return digest.hexdigest()


def align_episodes(episodes: Iterable[Episode], window: Window) -> AlignedEpisodes:
    """Plan what every window of these episodes reads.

    Raises:
        DataError: a missing or malformed stream, NaN in actions; names episode and stream.
        ConfigError: no episodes, or a stream is read by two inputs.
    """
    check_inputs(window.inputs)
    keys: list[str] = []
    instructions: list[str] = []
    sources: list[str] = []
    views = [*window.inputs]
    if window.action not in [view.stream for view in views]:
        views.append(StreamInput(window.action))
    streams: dict[str, list[Stream]] = {view.stream: [] for view in views}
    for episode in episodes:
        for view in views:
            kept = streams[view.stream]
            like = kept[0].spec if kept else None
            kept.append(checked_stream(episode, view.stream, like, size=view.size))
        keys.append(episode.key)
        instructions.append(episode.instruction)
        sources.append(episode.provenance.source)
    if not keys:
        raise ConfigError("no episodes to take windows from (were all filtered out?)")
    moments = [stream.times_s for stream in streams[window.action]]
    specs = {name: kept[0].spec for name, kept in streams.items()}
    return AlignedEpisodes(
        keys=keys,
        instructions=instructions,
        sources=sources,
        specs=specs,
        now_s=np.concatenate(moments),
        episode_of=np.repeat(np.arange(len(moments)), [len(m) for m in moments]),
        inputs={
            view.stream: Column.over(
                streams[view.stream],
                [
                    plan_input(view, specs[view.stream], s.times_s, s.usable_s(), now)
                    for s, now in zip(streams[view.stream], moments, strict=True)
                ],
                (view.alignment or specs[view.stream].alignment).method,
            )
            for view in window.inputs
        },
        actions=Column.over(
            streams[window.action],
            [
                plan_actions(window, s, now)
                for s, now in zip(streams[window.action], moments, strict=True)
            ],
            action_alignment(window).method,
        ),
    )


def checked_stream(
    episode: Episode, name: str, like: StreamSpec | None, size: tuple[int, int] | None = None
) -> Stream:
    """A stream of an episode: sound, and of the same shape and dtype as in the other episodes.

    Args:
        like: what it was in the others; None for the first.
        size: (height, width) that its pictures are brought to.
    """
    stream = episode.stream(name)
    try:
        stream.check(finite=isinstance(stream.values, np.ndarray))
        spec = StreamInput(name, size=size).seen(stream.spec)
        if like is not None and (spec.shape, spec.dtype) != (like.shape, like.dtype):
            raise ShapeError(
                f"expected {like.dtype} samples of shape {like.shape} as in the other episodes, "
                f"got {spec.dtype} {spec.shape}"
            )
    except DataError as error:
        recorded = episode.provenance.seed is None  # a simulated one comes from no file
        file = episode.provenance.source if recorded else ""
        raise error.located(episode=episode.key, stream=name, file=file or None) from None
    if size is None:
        return stream
    return replace(stream, values=ResizedFrames(stream.values, size), spec=spec)
