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
from robocache.core.seeding import generator
from robocache.core.statistics import Statistics
from robocache.core.stream import StreamSpec
from robocache.core.window import ActionChunk, Observation, StreamInput, Window
from robocache.datasets.windows import Batch
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.inputs import GrootInputs
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import GrootSettings


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
    ) -> None:
        super().__init__()
        self.settings, self.model, self.processor = settings, model, processor
        self.inputs = tuple(inputs)
        self.execute_steps = settings.execute_steps
        self.specs = {name: specs[name] for name in [*(v.stream for v in inputs), action]}
        self.action, self.rate_hz, self.statistics = action, rate_hz, statistics
        width = int(np.prod(specs[action].shape))
        self.robots = {tag: Robot(tag, s, width) for tag, s in settings.embodiments.items()}
        seen = {view.stream: self.specs[view.stream] for view in inputs}
        for robot in self.robots.values():
            robot.check({v.stream: v.seen(seen[v.stream]) for v in inputs})
        self.acting_as = next(iter(self.robots))
        self.eval()

    @property
    def window(self) -> Window:
        """What a training sample sees and predicts."""
        return Window(self.inputs, self.action, self.rate_hz, self.settings.horizon)

    @property
    def robot(self) -> Robot:
        """The embodiment that it acts as."""
        return self.robots[self.acting_as]

    def act_as(self, embodiment: str) -> None:
        """Act as this embodiment from now on; ConfigError where there is none of that name."""
        if embodiment not in self.robots:
            raise unknown_name("embodiment", embodiment, self.robots)
        self.acting_as = embodiment

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
        for row, robot in enumerate(self._robots_of(batch)):
            steps = batch.action_valid[row, : robot.settings.horizon].sum()
            if self.processor.compat.count_padded_steps:
                steps = torch.full_like(steps, robot.settings.horizon)
            total += steps * robot.predicted
        return total

    def summed_loss(self, batch: Batch, draws: Draws) -> Tensor:
        """Sum of squared errors of the velocity over the actions that count."""
        robots = self._robots_of(batch)
        augment = self.training and self.settings.augment
        seeds = draws.seeds(len(robots))
        samples = [self._training_sample(batch, row, robot) for row, robot in enumerate(robots)]
        random = [np.random.default_rng(seed) for seed in seeds] if augment else None
        inputs = self._encode(samples, [robot.tag for robot in robots], random)
        flow = self.model.loss(inputs, draws, state_dropout=self.training)
        return flow.elements.sum()

    @torch.inference_mode()
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

    @torch.inference_mode()
    def predict(
        self, samples: Sequence[Sample], seeds: Sequence[int]
    ) -> list[dict[str, NDArray[np.float32]]]:
        """Of each sample: action group -> (H, D), in the robot's units.

        Blocks of exactly `batch_rows` samples whose prompts have one length are computed together,
        so no answer depends on the other samples.
        """
        found: dict[int, dict[str, NDArray[np.float32]]] = {}
        by_length: dict[tuple[object, ...], list[int]] = {}
        for number, sample in enumerate(samples):
            by_length.setdefault(self._length(sample), []).append(number)
        rows = self.settings.batch_rows
        for numbers in by_length.values():
            for start in range(0, len(numbers), rows):
                part = numbers[start : start + rows]
                filled = [*part, *[part[0]] * (rows - len(part))]
                groups = self._predict([samples[n] for n in filled], [seeds[n] for n in filled])
                found.update({n: {k: v[i] for k, v in groups.items()} for i, n in enumerate(part)})
        return [found[number] for number in range(len(samples))]

    def _length(self, sample: Sample) -> tuple[object, ...]:
        """Samples that agree in this have prompts of one length."""
        text = self.processor.encoder(self.acting_as).text(sample)
        sizes = tuple(np.shape(video)[:3] for video in sample["video"].values())
        return self.processor.tokenizer.encode([text], [[]])[0].shape[1], sizes

    def _predict(
        self, samples: Sequence[Sample], seeds: Sequence[int]
    ) -> dict[str, NDArray[np.float32]]:
        config = self.model.config
        shape = (config.action_horizon, config.max_action_dim)
        noise = np.stack([generator(seed, "groot-noise").standard_normal(shape) for seed in seeds])
        inputs = self._encode(samples, [self.acting_as] * len(samples), None)
        context = self.model.context(self.model.encode(inputs))
        actions = self.model.sample(
            context,
            inputs.state,
            inputs.embodiment_id,
            torch.from_numpy(noise.astype(np.float32)).to(inputs.state.device),
            self.settings.flow_steps,
        )
        states = [sample["state"] for sample in samples]
        return self.processor.decode_actions(actions, states, self.acting_as)

    def _encode(
        self,
        samples: Sequence[Sample],
        tags: Sequence[str],
        random: Sequence[np.random.Generator] | None,
    ) -> GrootInputs:
        encoded = dict(self.processor.encode(samples, tags, random=random))
        del encoded["image_sizes"]
        device = self.model.action_head.state_encoder.layer1.b.device
        return GrootInputs(**encoded).to(device)  # type: ignore[arg-type]

    def _training_sample(self, batch: Batch, row: int, robot: Robot) -> Sample:
        values = {name: value[row].cpu().numpy() for name, value in batch.values.items()}
        sample = robot.sample(values, batch.instructions[row])
        actions = batch.actions[row].flatten(1).cpu().numpy()
        chunk = robot.chunk(actions, batch.action_valid[row].cpu().numpy())
        return {**sample, **chunk}  # type: ignore[typeddict-item]

    def _robots_of(self, batch: Batch) -> list[Robot]:
        tags = batch.embodiments
        if not any(tags):
            return [self.robot] * len(batch.index)
        for tag in set(tags):
            if tag not in self.robots:
                raise unknown_name("embodiment of the mixture", tag, self.robots)
        return [self.robots[tag] for tag in tags]

    def to_json(self) -> dict[str, Any]:
        """Everything but the base's weights and what was learned."""
        return {
            "settings": asdict(self.settings),
            "inputs": [view.to_json() for view in self.inputs],
            "specs": {name: spec.to_json() for name, spec in self.specs.items()},
            "action": self.action,
            "rate_hz": self.rate_hz,
            "statistics": self.statistics.to_json(),
            "normalisation": {tag: self.processor.statistics[tag].to_json() for tag in self.robots},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> GrootPolicy:
        """The policy described by `to_json`, with the weights of its base."""
        from robocache.policies.groot_n16.beginning import restore

        return restore(data)
