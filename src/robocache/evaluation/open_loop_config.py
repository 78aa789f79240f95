"""What is asked of an evaluation on recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robocache.core.errors import ConfigError
from robocache.datasets.reader import OnError


@dataclass(frozen=True)
class OpenLoopConfig:
    """What is compared.

    Attributes:
        dataset: path or name.
        dataset_options: given to its reader, e.g. {split: val}.
        episodes: keys; empty: all.
        samples: chunks drawn per window and averaged.
        stride: every how many windows one is judged.
        chunk: along whole trajectories, steps from one query to the next; None: 16, or the
            policy's horizon if that is shorter.
        steps: along whole trajectories, most steps of an episode; 0: all.
        plots: how many trajectories, the first ones, are kept for the page.
        seed: root seed of the draws.
        allow_training_episodes: also judge on what the policy was trained on.
        on_error: `raise` at an episode that cannot be read, or `skip` such episodes.
        seen_as: name of the dataset of the mixture that the policy was trained on, as which these
            recordings are opened, renamed and transformed; sets the three below.
        rename: old -> new name of streams.
        transforms: what is done to each episode in turn, after `rename`: name -> arguments.
        embodiment: as which robot a policy that tells robots apart acts; empty: its first.
        device: where the policy's network computes: cpu, cuda, cuda:1.
    """

    dataset: str
    episodes: tuple[str, ...] = ()
    samples: int = 16
    stride: int = 1
    chunk: int | None = None
    steps: int = 200
    plots: int = 2
    seed: int = 0
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    allow_training_episodes: bool = False
    on_error: OnError = "raise"
    seen_as: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    transforms: tuple[Mapping[str, Any], ...] = ()
    embodiment: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.samples < 1 or self.stride < 1:
            raise ConfigError("samples and stride must be at least 1")
        if self.chunk is not None and self.chunk < 1:
            raise ConfigError(f"chunk must be at least 1, or null, got {self.chunk}")
        if self.steps < 0 or self.plots < 0:
            raise ConfigError(f"steps and plots must be 0 or more, got {self.steps}, {self.plots}")
