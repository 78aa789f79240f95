"""FlowPolicy: a small language-conditioned flow-matching policy that acts in chunks.

Flow matching with straight paths (Lipman et al., 2023): x_t = (1 - t) noise + t actions. The
network predicts the actions; the velocity follows as (predicted - x_t) / (1 - t), so the noise need
not pass through the network. Sampling integrates from t = 0 to 1 with Euler steps.
Letters: B batch, H horizon, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robocache.core.errors import ConfigError, MissingStreamError, PolicyError
from robocache.core.seeding import generator
from robocache.core.statistics import Statistics
from robocache.core.stream import StreamSpec
from robocache.core.window import ActionChunk, Observation, StreamInput, Window
from robocache.datasets.windows import Batch
from robocache.policies.draws import Draws
from robocache.policies.flow.config import Difference, FlowConfig
from robocache.policies.flow.features import Features, safe_scale
from robocache.policies.flow.network import ActionPredictor


class FlowPolicy(nn.Module):
    """The policy with all it needs to act: inputs, statistics, text and image processing.

    Args:
        config: size and behaviour.
        inputs: the streams it reads.
        specs: declaration of each of these streams and of the action stream.
        action: name of the action stream it learns.
        rate_hz: rate of the action clock.
        statistics: of the input and action streams.
    """

    kind = "flow"

    def __init__(
        self,
        config: FlowConfig,
        *,
        inputs: Sequence[StreamInput],
        specs: Mapping[str, StreamSpec],
        action: str,
        rate_hz: float,
        statistics: Statistics,
    ) -> None:
        super().__init__()
        self.config = config
        self.inputs = tuple(inputs)
        self.execute_steps = config.execute_steps
        self.specs = {name: specs[name] for name in [*(v.stream for v in inputs), action]}
        self.action = action
        self.rate_hz = rate_hz
        self.statistics = statistics
        self.action_size = int(np.prod(specs[action].shape))
        self.features = Features(config, inputs, specs, statistics)
        self.network = ActionPredictor(
            config.horizon * self.action_size, self.features.size, config.hidden, config.blocks
        )
        if config.relative_to:
            require_comparable(config.relative_to, action, self.specs)
        stats = statistics[relative_name(action, config.relative_to)]
        self._buffer("action_mean", stats.mean)
        self._buffer("action_scale", safe_scale(stats.std))
        self._buffer("mean_action", statistics[action].mean)
        self.eval()

    @property
    def window(self) -> Window:
        """What a training sample sees and predicts."""
        return Window(self.inputs, self.action, self.rate_hz, self.config.horizon)

    def learned(self) -> dict[str, Tensor]:
        """Name -> tensor of all weights."""
        return self.state_dict()

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in what `learned` gave; RuntimeError where it does not fit."""
        self.load_state_dict(tensors)

    def only_act(self) -> None:
        """Make no gradients from now on."""
        self.requires_grad_(False).eval()

    def loss_weight(self, batch: Batch) -> Tensor:
        """How many actions of the batch are valid."""
        return batch.action_valid.sum()

    def summed_loss(self, batch: Batch, draws: Draws) -> Tensor:
        """Sum over valid actions of the mean squared error of the predicted ones, normalised.

        Args:
            batch: training windows on the policy's device.
            draws: noise and flow times.
        """
        device = self.action_mean.device
        actions = batch.actions.flatten(2) - self._reference(batch.values, batch.valid)
        target = (actions - self.action_mean) / self.action_scale
        noise = draws.normal(target.shape).to(device)
        time_B = draws.uniform([len(target)]).to(device)
        time = time_B[:, None, None]
        text = self.features.encode_text(batch.instructions)
        text = drop_ngrams(text, self.config.text_dropout, draws).to(device)
        features = self.features(batch.values, batch.valid, batch.age_s, text)
        predicted = self.network((1 - time) * noise + time * target, time_B, features)
        error = (predicted - target).square().mean(dim=2)
        total: Tensor = (error * batch.action_valid).sum()
        return total

    @torch.inference_mode()
    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        """One chunk per observation; see `robocache.core.Policy`.

        Raises:
            MissingStreamError: an observation lacks an input.
            PolicyError: not one seed per observation.
        """
        if len(seeds) != len(observations):
            raise PolicyError(f"{len(observations)} observations came with {len(seeds)} seeds")
        chunks: list[ActionChunk] = []
        rows = self.config.batch_rows
        for start in range(0, len(observations), rows):
            part = observations[start : start + rows]
            actions = self._sample(part, seeds[start : start + rows])
            chunks.extend(
                ActionChunk(
                    actions=actions[row],
                    times_s=view.now_s + np.arange(self.config.horizon) / self.rate_hz,
                )
                for row, view in enumerate(part)
            )
        return chunks

    def _sample(self, observations: Sequence[Observation], seeds: Sequence[int]) -> np.ndarray:
        """(rows, H, A) actions for up to `batch_rows` observations, padded with the first."""
        padding = self.config.batch_rows - len(observations)
        padded = [*observations, *[observations[0]] * padding]
        shape = (self.config.horizon, self.action_size)
        noise = np.stack([generator(s, "flow-noise").standard_normal(shape) for s in seeds])
        noise = np.concatenate([noise, np.zeros((padding, *shape))])
        device = self.action_mean.device
        x = torch.from_numpy(noise.astype(np.float32)).to(device)
        values = self._stacked([view.values for view in padded])
        valid = self._stacked([view.valid for view in padded])
        age_s = self._stacked([view.age_s for view in padded]) if self.config.ages else {}
        text = self.features.encode_text([o.instruction for o in padded]).to(device)
        observed = self.network.observe(self.features(values, valid, age_s, text))
        for step in range(self.config.flow_steps):
            time = torch.full((len(x),), step / self.config.flow_steps, device=device)
            predicted = self.network.predict(x, time, observed)
            x = x + (predicted - x) / (self.config.flow_steps - step)
        actions = x * self.action_scale + self.action_mean + self._reference(values, valid)
        return actions.cpu().numpy()

    def _reference(
        self, values: Mapping[str, Tensor], valid: Mapping[str, Tensor]
    ) -> Tensor | float:
        """(B, 1, A) what actions are relative to: the latest sample, or the mean action where there
        is none yet; 0 when actions are absolute."""
        name = self.config.relative_to
        if not name:
            return 0.0
        latest = values[name][:, -1:].float().flatten(2)
        return torch.where(valid[name][:, -1:, None], latest, self.mean_action)

    def _stacked(self, rows: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Tensor]:
        """Input name -> (rows, O, ...) on the policy's device."""
        names = [view.stream for view in self.inputs]
        for name in names:
            if any(name not in row for row in rows):
                have = ", ".join(sorted(rows[0]))
                raise MissingStreamError(f"not observed (streams: {have})", stream=name)
        device = self.action_mean.device
        return {n: torch.from_numpy(np.stack([row[n] for row in rows])).to(device) for n in names}

    def to_json(self) -> dict[str, Any]:
        """Everything but the weights; `from_json` builds the same policy."""
        config = asdict(self.config)
        if not self.config.ages:
            del config["ages"]  # policies from before there was this setting keep their hashes
        return {
            "config": config,
            "inputs": [view.to_json() for view in self.inputs],
            "specs": {name: spec.to_json() for name, spec in self.specs.items()},
            "action": self.action,
            "rate_hz": self.rate_hz,
            "statistics": self.statistics.to_json(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> FlowPolicy:
        """The policy described by `to_json`, with fresh weights."""
        settings = dict(data["config"])
        settings["differences"] = tuple(
            Difference(
                item["stream"],
                tuple(item["columns"]),
                item["reference"],
                tuple(item["reference_columns"]),
            )
            for item in settings["differences"]
        )
        return FlowPolicy(
            FlowConfig(**settings),
            inputs=[StreamInput.from_json(view) for view in data["inputs"]],
            specs={name: StreamSpec.from_json(spec) for name, spec in data["specs"].items()},
            action=data["action"],
            rate_hz=data["rate_hz"],
            statistics=Statistics.from_json(data["statistics"]),
        )

    def _buffer(self, name: str, value: np.ndarray) -> None:
        flat = torch.from_numpy(np.asarray(value, np.float32).reshape(-1))
        self.register_buffer(name, flat, persistent=False)

    action_mean: Tensor
    action_scale: Tensor
    mean_action: Tensor


def relative_name(action: str, reference: str) -> str:
    """Name of the statistics of actions relative to a stream ("": of the actions themselves)."""
    return f"{action} - {reference}" if reference else action


def require_comparable(reference: str, action: str, specs: Mapping[str, StreamSpec]) -> None:
    """Raise ConfigError unless actions can be taken relative to `reference`."""
    if reference not in specs:
        raise ConfigError(f"relative_to={reference} must be one of the policy's inputs")
    if specs[reference].shape != specs[action].shape:
        raise ConfigError(
            f"relative_to={reference}: its samples have shape {specs[reference].shape}, "
            f"those of {action} {specs[action].shape}"
        )


def drop_ngrams(text: Tensor, share: float, draws: Draws) -> Tensor:
    """(B, buckets) instructions, half of which, at random, lack a share of their n-grams."""
    kept = draws.uniform(text.shape) >= share
    whole = draws.uniform([len(text), 1]) < 0.5
    return torch.where(whole, text, text * kept / (1 - share))
