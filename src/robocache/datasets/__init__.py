"""Datasets as they lie on disk, and the aligned windows a policy is trained on."""

from robocache.datasets.alignment import LiveAligner
from robocache.datasets.episodes import EpisodeStore
from robocache.datasets.loader import Loader
from robocache.datasets.mixture import Mixture, Source
from robocache.datasets.parts import require_disjoint
from robocache.datasets.reader import Reader, open_dataset
from robocache.datasets.sampler import WindowSampler
from robocache.datasets.shards import read_episode, write_shard
from robocache.datasets.statistics import compute_statistics
from robocache.datasets.windows import Batch, WindowTable

__all__ = [
    "Batch",
    "EpisodeStore",
    "LiveAligner",
    "Loader",
    "Mixture",
    "Reader",
    "Source",
    "WindowSampler",
    "WindowTable",
    "compute_statistics",
    "open_dataset",
    "read_episode",
    "require_disjoint",
    "write_shard",
]
