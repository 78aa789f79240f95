"""From aligned inputs to one feature vector per window. The same code trains and acts.

Letters: B batch, O offsets, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from robocache.core.errors import ConfigError
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.core.stream import StreamSpec
from robocache.core.window import StreamInput
from robocache.policies.flow.config import Difference, FlowConfig
from robocache.policies.flow.text import hashed_ngrams

AGE_S = 0.1
"""An age of so many seconds is read as 1."""


def is_image(spec: StreamSpec) -> bool:
    """Whether a stream holds images: (H, W) depth in millimetres or (H, W, 3) colour."""
    return len(spec.shape) >= 2 and spec.shape[0] >= 8 and np.dtype(spec.dtype).kind == "u"


class Features(nn.Module):
    """Normalised state, differences, image embeddings, instruction embedding, validity, ages.

    Args:
        config: widths and differences.
        inputs: what is read.
        specs: stream name -> declaration.
        statistics: normalisation of the low-dimensional streams.
    """

    def __init__(
        self,
        config: FlowConfig,
        inputs: Sequence[StreamInput],
        specs: Mapping[str, StreamSpec],
        statistics: Statistics,
    ) -> None:
        super().__init__()
        self.config = config
        self.images = [view.stream for view in inputs if is_image(specs[view.stream])]
        self.states = [view.stream for view in inputs if view.stream not in self.images]
        self._named: dict[str, str] = {}
        size = config.text_features
        for view in inputs:
            offsets = len(view.offsets_s)
            size += 2 * offsets if config.ages else offsets
            if view.stream in self.images:
                size += offsets * config.image_features
                continue
            stats = statistics[view.stream]
            self._constant(f"mean/{view.stream}", stats.mean.reshape(-1))
            self._constant(f"scale/{view.stream}", safe_scale(stats.std.reshape(-1)))
            size += offsets * stats.mean.size
            size += (offsets - 1) * stats.mean.size if config.motion else 0
        for difference in config.differences:
            size += self._add_difference(difference, inputs, statistics)
        self.text = nn.Linear(config.text_buckets, config.text_features)
        nn.init.zeros_(self.text.weight)  # words that training never saw then say nothing
        self.encoders = nn.ModuleList(
            ImageEncoder(specs[name], config, statistics.streams.get(name)) for name in self.images
        )
        self.size = size

    def forward(
        self,
        values: Mapping[str, Tensor],
        valid: Mapping[str, Tensor],
        age_s: Mapping[str, Tensor],
        text: Tensor,
    ) -> Tensor:
        """(B, F) features from inputs (B, O, ...), validity and ages (B, O), text (B, buckets)."""
        # A unit vector over many buckets is scaled up to what a linear layer expects.
        parts = [self.text(text * self.config.text_buckets**0.5)]
        for name in self.states:
            flat = values[name].float().flatten(2)
            normal = (flat - self._get(f"mean/{name}")) / self._get(f"scale/{name}")
            parts.append((normal.clamp(-10, 10) * valid[name][..., None]).flatten(1))
            if self.config.motion:
                parts.append(motion(normal, valid[name]))
        for number, difference in enumerate(self.config.differences):
            parts.append(self._difference(number, difference, values, valid))
        for name, encoder in zip(self.images, self.encoders, strict=True):
            frames = values[name]
            batch, offsets = frames.shape[:2]
            encoded = encoder(frames.flatten(0, 1))
            encoded = encoded.reshape(batch, offsets, -1) * valid[name][..., None]
            parts.append(encoded.flatten(1))
        for name in [*self.states, *self.images]:
            parts.append(valid[name].float())
            if self.config.ages:
                parts.append((age_s[name].float() / AGE_S).clamp(-10, 10).where(valid[name], 0.0))
        return torch.cat(parts, dim=1)

    def encode_text(self, instructions: Sequence[str]) -> Tensor:
        """(B, buckets) hashed instructions."""
        rows = [hashed_ngrams(text, self.config.text_buckets) for text in instructions]
        return torch.from_numpy(np.stack(rows))

    def _add_difference(
        self, difference: Difference, inputs: Sequence[StreamInput], statistics: Statistics
    ) -> int:
        offsets = {view.stream: len(view.offsets_s) for view in inputs}
        for name in (difference.stream, difference.reference):
            if name not in self.states:
                raise ConfigError(f"a difference needs {name!r} among the state inputs")
        if offsets[difference.stream] != offsets[difference.reference]:
            raise ConfigError(
                f"difference of {difference.stream!r} and {difference.reference!r}: "
                f"they are read at {offsets[difference.stream]} and "
                f"{offsets[difference.reference]} offsets; make them equal"
            )
        number = sum(1 for name in self._named if name.startswith("spread/"))
        variance = (
            statistics[difference.stream].std.reshape(-1)[list(difference.columns)] ** 2
            + statistics[difference.reference].std.reshape(-1)[list(difference.reference_columns)]
            ** 2
        )
        self._constant(f"spread/{number}", safe_scale(np.sqrt(variance)))
        return 2 * offsets[difference.stream] * len(difference.columns)

    def _difference(
        self,
        number: int,
        difference: Difference,
        values: Mapping[str, Tensor],
        valid: Mapping[str, Tensor],
    ) -> Tensor:
        ahead = values[difference.stream].float().flatten(2)[..., list(difference.columns)]
        behind = values[difference.reference].float().flatten(2)
        spread = self._get(f"spread/{number}")
        apart = (ahead - behind[..., list(difference.reference_columns)]) / spread
        both = (valid[difference.stream] & valid[difference.reference])[..., None]
        # The second copy resolves the last tenth, where a grasp is decided.
        features = torch.cat([apart.clamp(-10, 10), torch.tanh(8 * apart)], dim=-1)
        return (features * both).flatten(1)

    def _constant(self, name: str, value: np.ndarray) -> None:
        self._named[name] = f"constant_{len(self._named)}"
        self.register_buffer(
            self._named[name], torch.from_numpy(value.astype(np.float32)), persistent=False
        )

    def _get(self, name: str) -> Tensor:
        tensor = getattr(self, self._named[name])
        assert isinstance(tensor, Tensor)
        return tensor


def motion(normal: Tensor, valid: Tensor) -> Tensor:
    """(B, (O - 1) * D) how far (B, O, D) normalised samples moved until the last, times ten."""
    both = (valid[:, -1:] & valid[:, :-1])[..., None]
    return ((10 * (normal[:, -1:] - normal[:, :-1])).clamp(-10, 10) * both).flatten(1)


class ImageEncoder(nn.Module):
    """Convolutions and a spatial soft-argmax: where things are, in a few numbers.

    Levine et al., "End-to-End Training of Deep Visuomotor Policies", 2016, section 5.2.

    Args:
        spec: (H, W) uint16 depth in millimetres (0: no return), or (H, W, C) uint8.
        config: width of the result, and the depth that counts as far.
        statistics: of the stream, per pixel; a depth image is then read as what differs from the
            mean image, in units of the usual difference.
    """

    def __init__(
        self, spec: StreamSpec, config: FlowConfig, statistics: StreamStatistics | None
    ) -> None:
        super().__init__()
        self.depth = len(spec.shape) == 2
        self.far = 1000 * config.max_depth_m
        mean, usual = np.zeros(spec.shape[:2]), self.far
        if self.depth and statistics is not None:
            mean, usual = statistics.mean, float(np.sqrt(np.mean(statistics.std**2)))
        self.scale = max(usual, 1.0)
        pixels = torch.from_numpy(mean.astype(np.float32))
        self.register_buffer("mean", pixels, persistent=False)
        channels = 2 if self.depth else spec.shape[2]
        width = 32
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(16, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.out = nn.Linear(3 * width, config.image_features)

    mean: Tensor

    def forward(self, frames: Tensor) -> Tensor:
        """(N, H, W[, C]) frames -> (N, image_features)."""
        x = frames.float()
        if self.depth:
            seen = (x > 0).float()
            near = (x.clamp(max=self.far) - self.mean) / self.scale
            x = torch.stack([near.clamp(-10, 10) * seen, seen], dim=1)
        else:
            x = x.permute(0, 3, 1, 2) / 255.0
        maps = self.convolutions(x)
        rows, columns = maps.shape[2:]
        weights = maps.flatten(2).softmax(dim=2)
        y = torch.linspace(-1, 1, rows, device=maps.device).repeat_interleave(columns)
        x = torch.linspace(-1, 1, columns, device=maps.device).repeat(rows)
        points = [(weights * y).sum(2), (weights * x).sum(2), maps.flatten(2).amax(2)]
        out: Tensor = self.out(torch.cat(points, dim=1))
        return out


def safe_scale(std: np.ndarray) -> np.ndarray:
    """Standard deviations to divide by, none below 2 % of the largest.

    A joint that hardly moved in training would otherwise turn the smallest change into a large
    number. Where nothing ever moved, 1.
    """
    return np.maximum(std, 0.02 * std.max()) if std.max() > 1e-6 else np.ones_like(std)
