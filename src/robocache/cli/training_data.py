"""What a policy is trained on: the episodes of one dataset, or of several that are mixed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from robocache.cli.caching import CacheSetting, caches_for
from robocache.cli.datasets import find_dataset, keep_keys
from robocache.cli.mixture import Member, record_members, seen, source_of, window_for
from robocache.cli.overlap import noted
from robocache.cli.skipped import needed_as
from robocache.cli.train_config import TrainConfig
from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.core.window import Window
from robocache.datasets import Mixture, Reader, Source, WindowTable, compute_statistics
from robocache.datasets.cache import OpenCache
from robocache.datasets.mixed_statistics import mix_statistics, mix_streams
from robocache.datasets.statistics import dataset_statistics, relative_statistics
from robocache.datasets.views import View
from robocache.runs import RunStore, plain
from robocache.sim_to_real import Delays


@dataclass(frozen=True)
class TrainingData:
    """Episodes to train on.

    Attributes:
        datasets: name -> dataset, as it lies on disk.
        keys: name -> which of its episodes.
        members: name -> how it is mixed; none where there is one dataset that is not.
        learned: gets content hash -> key of each episode, as it lies on disk, once it was read.
        caches: name -> cache that is read instead of the dataset.
        delays: makes streams late, after they were renamed and transformed.
    """

    datasets: Mapping[str, Reader]
    keys: Mapping[str, Sequence[str]]
    members: Mapping[str, Member] = field(default_factory=dict)
    learned: dict[str, str] = field(default_factory=dict)
    caches: Mapping[str, OpenCache] = field(default_factory=dict)
    delays: Delays | None = None

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        return {name: dataset.fingerprint for name, dataset in self.datasets.items()}

    @property
    def fingerprint(self) -> str:
        """That of the dataset; of a mixture, sha256 over those of its datasets and the settings."""
        if not self.members:
            return next(iter(self.fingerprints.values()))
        mixture = record_members(self.members, self.fingerprints)
        return hashlib.sha256(json.dumps(mixture, sort_keys=True).encode()).hexdigest()

    @property
    def as_trained(self) -> dict[str, Reader]:
        """Name -> dataset with all its episodes, renamed and transformed as they are trained on."""
        return {name: self._as_trained(name, dataset) for name, dataset in self.datasets.items()}

    def cached(
        self, setting: CacheSetting, windows: Mapping[str, Window], workers: int
    ) -> TrainingData:
        """The same, read from caches as far as there are any, see `caches_for`."""
        seen_as = self.windows_by_name(windows)
        caches = caches_for(setting, self.as_trained, self.keys, seen_as, workers=workers)
        return replace(self, caches=caches)

    def windows_by_name(self, windows: Mapping[str, Window]) -> dict[str, Window]:
        """Name of a dataset -> what its samples see and predict; see `windows_of`."""
        tags = {name: member.embodiment for name, member in self.members.items()}
        return {name: window_for(windows, tags.get(name, "")) for name in self.datasets}

    def read_all(self) -> None:
        """Read every episode, so that `learned` is whole."""
        for name in self.datasets:
            if name in self.caches:
                self._note_cached(name)
                continue
            for _ in episodes(self._noted(name)):
                continue

    def windows(self, windows: Mapping[str, Window]) -> WindowTable | Mixture:
        """The samples; see `windows_of`."""
        seen_as = self.windows_by_name(windows)
        tables = {name: self._windows(name, window) for name, window in seen_as.items()}
        if not self.members:
            return next(iter(tables.values()))
        sources = {
            name: Source(tables[name], member.weight, member.embodiment)
            for name, member in self.members.items()
        }
        return Mixture(sources, alike=len(windows) == 1)

    def _windows(self, name: str, window: Window) -> WindowTable:
        if name in self.caches:
            self._note_cached(name)
            return WindowTable(self.caches[name].episodes, window)
        return WindowTable(episodes(self._as_trained(name, self._noted(name))), window)

    def _as_trained(self, name: str, dataset: Reader) -> Reader:
        if self.members:
            dataset = seen(dataset, self.members[name].rename, self.members[name].transforms)
        if self.delays is None:
            return dataset
        return View(dataset, {"delays": plain(asdict(self.delays))}, change=self.delays)

    def _noted(self, name: str) -> Reader:
        """The episodes to train on as they lie on disk; `learned` gets those that are read."""
        return noted(self.datasets[name], self.keys[name], self.learned, self._prefix(name))

    def _note_cached(self, name: str) -> None:
        for key, content in self.caches[name].content.items():
            self.learned.setdefault(content, f"{self._prefix(name)}{key}")

    def _prefix(self, name: str) -> str:
        return f"{name}/" if self.members else ""

    def samples(self, table: WindowTable | Mixture) -> str:
        """sha256 over what is in these windows: datasets as they are trained on, and which rows."""
        tables = [table] if isinstance(table, WindowTable) else table.tables
        parts = [
            (dataset.fingerprint, part.digest())
            for dataset, part in zip(self.as_trained.values(), tables, strict=True)
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def statistics(self, streams: Sequence[str], names: Sequence[str] | None = None) -> Statistics:
        """Statistics of the episodes as they are trained on; of a mixture see `mix_statistics`.

        Args:
            streams: of which.
            names: of the datasets; None: all.
        """
        kept = list(self.datasets) if names is None else names
        parts = {name: self._statistics(name, streams) for name in kept}
        if not self.members:
            return next(iter(parts.values()))
        weights = {name: self.members[name].weight for name in kept}
        return mix_statistics(parts, weights, self.fingerprint)

    def _statistics(self, name: str, streams: Sequence[str]) -> Statistics:
        dataset, keys = self.as_trained[name], self.keys[name]
        if dataset is self.datasets[name]:
            return dataset_statistics(dataset, streams, keys)
        changed = (dataset[key] for key in keys)
        return compute_statistics(changed, streams, self.fingerprints[name])

    def relative_statistics(
        self, windows: WindowTable | Mixture, reference: str
    ) -> StreamStatistics:
        """Statistics of the actions relative to an input."""
        if isinstance(windows, WindowTable):
            return relative_statistics(windows, reference)
        parts = [relative_statistics(table, reference) for table in windows.tables]
        return mix_streams(parts, list(windows.weights.values()))

    def __str__(self) -> str:
        return ", ".join(
            f"{len(self.keys[name])} of {len(dataset)} episodes of {name}"
            for name, dataset in self.datasets.items()
        )


def find_datasets(
    store: RunStore,
    config: TrainConfig,
    members: Mapping[str, Member],
    windows: Mapping[str, Window],
) -> tuple[dict[str, Reader], dict[str, str]]:
    """Name -> dataset to train on, and role -> what it was called on the command line.

    Args:
        config: names the dataset, where there is one.
        members: where several are mixed.
        windows: what of an episode must be readable, where damaged ones are skipped; see
            `windows_of`.
    """
    if config.dataset is not None:
        found = find_dataset(
            store,
            config.dataset,
            config.dataset_options,
            on_error=config.on_error,
            needed=needed_as(None, windows),
        )
        return {found.name: found}, {"dataset": config.dataset}
    datasets = {
        name: find_dataset(
            store,
            member.dataset,
            member.options,
            on_error=member.on_error or config.on_error,
            needed=needed_as(member, windows),
        )
        for name, member in members.items()
    }
    return datasets, {source_of(name): m.dataset for name, m in members.items()}


def training_data(
    datasets: Mapping[str, Reader],
    members: Mapping[str, Member],
    *,
    require_success: bool,
    require_instruction: bool,
    hold_out: tuple[str, ...],
    learned: dict[str, str],
) -> TrainingData:
    """The episodes of datasets that are to be trained on.

    Args:
        datasets, members, learned: see `TrainingData`.
        require_success, require_instruction: see `keep_keys`.
        hold_out: keys of episodes not to train on, where there is one dataset.

    Raises:
        ConfigError: no episode is left, or one to hold out does not exist.
    """
    keys = {}
    for name, dataset in datasets.items():
        held = members[name].hold_out if members else hold_out
        keys[name] = keep_keys(
            dataset,
            require_success=require_success,
            require_instruction=require_instruction,
            hold_out=held,
        )
        if not keys[name]:
            raise ConfigError(f"{name} has no episode left to train on")
    return TrainingData(datasets, keys, members, learned)


def episodes(dataset: Reader) -> Iterator[Episode]:
    return (dataset[key] for key in dataset.keys())  # noqa: SIM118
