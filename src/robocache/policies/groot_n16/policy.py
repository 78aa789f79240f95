"""GrootPolicy: GR00T N1.6 as a policy of this house: streams in, action chunks out, a loss.

Letters: B batch, T steps, H horizon, A width of the action stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robocache.core.errors import PolicyError, unknown_name
from robocache.core.statistics import Statistics
from robocache.core.stream import StreamSpec
from robocache.core.window import ActionChunk, Observation, StreamInput, Window
from robocache.datasets.windows import Batch
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.acting import Actor
from robocache.policies.groot_n16.encoding import encode, encode_numbers
from robocache.policies.groot_n16.feature_store import FeatureStore
from robocache.policies.groot_n16.frozen import Row, features_alone, kept_or_made, side_by_side
from robocache.policies.groot_n16.model import GrootN16, trains
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import GrootSettings
from robocache.policies.groot_n16.streams import RobotStreams


class GrootPolicy(nn.Module):
    """Network and processor with what their inputs mean.

    Args:
        settings: see `GrootSettings`.
        model: the network, in which what trains is chosen already.
        processor: knows every embodiment of the settings.
        inputs: the streams it reads.
        specs: declaration of these streams and of the action stream.
        action: name of the action stream.
        rate_hz: rate of the action clock.
        statistics: of the action stream, for what open loop compares with.
        own: tag -> these five of a robot that has its own.

    Attributes:
        acting_as: the embodiment that it acts as; `inputs`, `specs`, `action`, `rate_hz`,
            `statistics` and `execute_steps` are those of this embodiment.
        feature_store: keeps what a frozen backbone makes of the windows that are trained on; see
            `open_feature_cache`.
    """

    kind = "groot_n16"

    def __init__(
        self,
        settings: GrootSettings,
        model: GrootN16,
        processor: GrootProcessor,
        *,
        inputs: Sequence[StreamInput],
        specs: Mapping[str, StreamSpec],
        action: str,
        rate_hz: float,
        statistics: Statistics,
        own: Mapping[str, RobotStreams] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.model, self.processor = settings, model, processor
        self.shared = RobotStreams.of(inputs, action, rate_hz, specs, statistics)
        self.own = dict(own or {})
        self.streams = {tag: self.own.get(tag, self.shared) for tag in settings.embodiments}
        self.robots = {
            tag: self.streams[tag].robot(tag, robot) for tag, robot in settings.embodiments.items()
        }
        self.actor = Actor(model, processor, settings)
        self.feature_store: FeatureStore | None = None
        self.act_as(settings.first)
        self.eval()

    @property
    def window(self) -> Window:
        """What a training sample of the embodiment that it acts as sees and predicts."""
        return self.windows[self.acting_as]

    @property
    def windows(self) -> dict[str, Window]:
        """Embodiment -> what a training sample sees and predicts."""
        return {
            tag: streams.window(self.robots[tag].settings.horizon)
            for tag, streams in self.streams.items()
        }

    @property
    def robot(self) -> Robot:
        """The embodiment that it acts as."""
        return self.robots[self.acting_as]

    def act_as(self, embodiment: str) -> None:
        """Act as this embodiment from now on; ConfigError where there is none of that name."""
        if embodiment not in self.robots:
            raise unknown_name("embodiment", embodiment, self.robots)
        self.acting_as, streams = embodiment, self.streams[embodiment]
        self.inputs, self.specs, self.action = streams.inputs, streams.specs, streams.action
        self.rate_hz, self.statistics = streams.rate_hz, streams.statistics
        self.execute_steps = min(self.settings.execute_steps, self.robot.settings.horizon)

    def only_act(self) -> None:
        """Bring what trained to the dtype of the rest, in place: faster, and good for acting only.

        Adapters stay float32.
        """
        self.requires_grad_(False).eval()
        for name, weight in self.model.named_parameters():
            if ".lora_" not in name:
                weight.data = weight.data.to(getattr(torch, self.settings.dtype))

    def modalities(self) -> dict[str, Any]:
        """Of the embodiment that it acts as, as in processor_config.json."""
        return self.processor.embodiments[self.acting_as].to_json()

    def state_widths(self) -> dict[str, int]:
        """State group -> how many numbers it has."""
        return self.robot.state_widths(self.specs)

    def action_names(self) -> tuple[str, ...]:
        """Of each number of an action; "" where nothing is predicted."""
        return self.robot.action_names()

    def learned(self) -> dict[str, Tensor]:
        """Name -> weight of all that trains."""
        return {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in what `learned` gave; RuntimeError where it does not fit."""
        mine = self.learned()
        if differing := sorted(mine.keys() ^ tensors.keys()):
            raise RuntimeError(f"{len(differing)} other weights than train here: {differing[:3]}")
        for name, tensor in tensors.items():
            if mine[name].shape != tensor.shape:
                raise RuntimeError(f"{name} is {tuple(tensor.shape)}, not {mine[name].shape}")
            mine[name].copy_(tensor)

    def loss_weight(self, batch: Batch) -> Tensor:
        """How many numbers of the batch's actions count."""
        total = torch.zeros((), dtype=torch.int64, device=batch.action_valid.device)
        for window, robot in zip(batch.windows(), self._robots_of(batch), strict=True):
            steps = window.action_valid[0, : robot.settings.horizon].sum()
            if self.processor.compat.count_padded_steps:
                steps = torch.full_like(steps, robot.settings.horizon)
            total += steps * robot.predicted
        return total

    def summed_loss(self, batch: Batch, draws: Draws) -> Tensor:
        """Sum of squared errors of the velocity over the actions that count."""
        robots = self._robots_of(batch)
        tags = [robot.tag for robot in robots]
        augment = self.training and self.settings.augment
        seeds = draws.seeds(len(robots))
        samples = list(map(training_sample, batch.windows(), robots))
        random = [np.random.default_rng(seed) for seed in seeds] if augment else None
        features, device = None, self.model.device

        def alone(row: int) -> Row:
            one, drawn = slice(row, row + 1), random and random[row : row + 1]
            inputs = encode(self.processor, samples[one], tags[one], drawn, device)
            return features_alone(self.model, inputs)

        if self._sees_alone():
            store = self.feature_store if self.training else None
            rows = kept_or_made(store, batch.index.tolist(), alone)
            features = side_by_side(rows, device)
            inputs = encode_numbers(self.processor, samples, tags, features, device)
        else:
            inputs = encode(self.processor, samples, tags, random, device)
        flow = self.model.loss(inputs, draws, features=features, state_dropout=self.training)
        return flow.elements.sum()

    def _sees_alone(self) -> bool:
        """Whether the backbone takes each sample by itself, so that others change no bit.

        That needs a backbone that is frozen and an action head that does not look at padding. It
        costs nothing on the CPU; elsewhere it is done where features are kept.
        """
        if self.training and self.feature_store is not None:
            return True
        here = self.model.device.type == "cpu" and self.model.config.use_alternate_vl_dit
        return here and not trains(self.model.backbone)

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        """One chunk per observation; see `robocache.core.Policy`.

        Raises:
            MissingStreamError: an observation lacks an input.
            DataError: an observation cannot be used; names key and embodiment.
            PolicyError: not one seed per observation.
        """
        if len(seeds) != len(observations):
            raise PolicyError(f"{len(observations)} observations came with {len(seeds)} seeds")
        samples = [self.robot.sample(view.values, view.instruction) for view in observations]
        groups = self.predict(samples, seeds)
        rest = self.statistics[self.action].mean.reshape(-1)
        return [
            ActionChunk(
                actions=self.robot.stream_of(found, rest),
                times_s=view.now_s + np.arange(self.robot.settings.horizon) / self.rate_hz,
            )
            for view, found in zip(observations, groups, strict=True)
        ]

    def predict(
        self, samples: Sequence[Sample], seeds: Sequence[int]
    ) -> list[dict[str, NDArray[np.float32]]]:
        """Of each sample: action group -> (H, D), in the robot's units; see `Actor.predict`."""
        return self.actor.predict(samples, seeds, self.acting_as)

    def _robots_of(self, batch: Batch) -> list[Robot]:
        tags = [tag or self.settings.first for tag in batch.embodiments]
        for tag in set(tags):
            if tag not in self.robots:
                raise unknown_name("embodiment of the mixture", tag, self.robots)
        return [self.robots[tag] for tag in tags] or [self.robot] * len(batch.index)

    def to_json(self) -> dict[str, Any]:
        """Everything but the base's weights and what was learned."""
        return {
            "settings": asdict(self.settings),
            **self.shared.to_json(),
            "own": {tag: streams.to_json() for tag, streams in self.own.items()},
            "normalisation": {tag: self.processor.statistics[tag].to_json() for tag in self.robots},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> GrootPolicy:
        """The policy described by `to_json`, with the weights of its base."""
        from robocache.policies.groot_n16.beginning import restore

        return restore(data)


def training_sample(window: Batch, robot: Robot) -> Sample:
    """What the processor reads of one window of a robot, with its actions."""
    values = {name: value[0].cpu().numpy() for name, value in window.values.items()}
    sample = robot.sample(values, window.instructions[0])
    actions = window.actions[0].flatten(1).cpu().numpy()
    chunk = robot.chunk(actions, window.action_valid[0].cpu().numpy())
    return {**sample, **chunk}  # type: ignore[typeddict-item]
