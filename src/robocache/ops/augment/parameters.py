"""What is done to each picture or range scan: plain tensors, one row a sample, to be replayed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.arguments import described

CURVE_STEPS = 1024
"""Steps of the tone curve; a power of two, so that no gamma leaves every value as it is."""
LUMA = (0.299, 0.587, 0.114)
"""Rec. 601, as in Pillow."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Rows:
    """Tensors with samples as their first axis.

    Attributes:
        key: (N,) int64, of the noise.
        frame: (N,) int64 in [0, 2**32), number of the frame: each has noise of its own.
    """

    key: Tensor
    frame: Tensor

    def check_rows(self) -> None:
        """Raise ShapeError unless each tensor has a row for each sample."""
        count, shapes = len(self.key), self._shapes()
        for one in fields(self):
            found, whole = getattr(self, one.name), one.name in ("key", "frame")
            wanted = (count, *shapes.get(one.name, ()))
            if (
                not isinstance(found, Tensor)
                or tuple(found.shape) != wanted
                or (found.dtype != torch.int64 if whole else found.is_complex())
            ):
                raise ShapeError(
                    f"{one.name} of {type(self).__name__} must be a tensor {wanted} of "
                    f"{'int64' if whole else 'numbers'}, got {described(found)}"
                )

    def check_finite(self) -> None:
        """Raise ConfigError where a number is not finite."""
        for one in fields(self):
            if not bool(torch.isfinite(getattr(self, one.name)).all()):
                raise ConfigError(f"parameters of augmentation must be finite: {one.name} is not")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample, where it is not a number."""
        return {}

    def __len__(self) -> int:
        return len(self.key)

    def each(self, times: int) -> Self:
        """Every sample so many times in a row, as frames 0, 1, ...: the same but for the noise."""
        rows = torch.arange(len(self)).repeat_interleave(times)
        numbers = torch.arange(times, device=self.frame.device).repeat(len(self))
        many = self.rows(rows)
        return replace(many, frame=many.frame + numbers)

    def at_frame(self, frame: int) -> Self:
        """The same, with the noise of another frame."""
        return replace(self, frame=torch.full_like(self.frame, frame))

    def rows(self, index: slice | Tensor) -> Self:
        """Some of the samples."""
        return replace(self, **{one.name: getattr(self, one.name)[index] for one in fields(self)})


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageParameters(_Rows):
    """Of N pictures; float32 unless said. `ImageParameters.identity(N)` changes nothing.

    In this order: out of focus and moved (`blur_px`, `motion_px`), the crop brought to the size of
    the picture (bilinear), lit, its colours changed, covered by boxes, made noisy.

    Attributes:
        crop: (N, 3) top and left edge and side of what is seen, as shares of height and width; what
            lies outside of the picture repeats its border.
        blur_px: (N,) standard deviation of a Gaussian, pixels.
        motion_px: (N, 2) how far the camera moved during the exposure, down and right, pixels.
        gradient: (N, 2) light: from 1 - g at one border to 1 + g at the other, down and right.
        brightness: (N,) factor.
        contrast: (N,) factor on the distance from middle grey.
        saturation: (N,) factor on the distance from the grey of the same luma.
        hue: (N,) turns, of the colours about grey at the same luma.
        gamma: (N,) exponent, above 0.
        boxes: (N, K, 4) top, left, bottom, right of what covers the view, shares; later ones lie on
            top.
        box_colours: (N, K, 3) in [0, 1].
        noise: (N,) standard deviation, as a share of the range of values.
    """

    crop: Tensor
    blur_px: Tensor
    motion_px: Tensor
    gradient: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    gamma: Tensor
    boxes: Tensor
    box_colours: Tensor
    noise: Tensor

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        covers = self.boxes.shape[1] if self.boxes.ndim == 3 else 0
        boxes = {"boxes": (covers, 4), "box_colours": (covers, 3)}
        return {"crop": (3,), "motion_px": (2,), "gradient": (2,), **boxes}

    @staticmethod
    def identity(count: int) -> ImageParameters:
        """Parameters that leave pictures as they are; `dataclasses.replace` what is to change."""
        zero, one = torch.zeros(count), torch.ones(count)
        whole = torch.tensor([0.0, 0.0, 1.0]).repeat(count, 1)
        number = torch.zeros(count, dtype=torch.int64)
        return ImageParameters(
            crop=whole,
            blur_px=zero,
            motion_px=torch.zeros(count, 2),
            gradient=torch.zeros(count, 2),
            brightness=one,
            contrast=one,
            saturation=one,
            hue=zero,
            gamma=one,
            boxes=torch.zeros(count, 0, 4),
            box_colours=torch.zeros(count, 0, 3),
            noise=zero,
            key=number,
            frame=number,
        )

    def colour_matrices(self) -> Tensor:
        """(N, 3, 4) float32: what red, green, blue and 1 are multiplied by; rows give new ones.

        Hue turns the chroma plane of YIQ (NTSC, 1953), saturation scales it.
        """
        to_yiq = torch.tensor(
            [LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)],
            dtype=torch.float64,
        )
        angle = 2 * math.pi * self.hue.double().cpu()
        chroma = self.saturation.double().cpu()
        turn = torch.zeros(len(self), 3, 3, dtype=torch.float64)
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = chroma * angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -chroma * angle.sin(), chroma * angle.sin()
        contrast = self.contrast.double().cpu()
        factor = (contrast * self.brightness.double().cpu())[:, None, None]
        linear = torch.linalg.inv(to_yiq) @ turn @ to_yiq
        same = (self.hue.cpu() == 0) & (self.saturation.cpu() == 1)
        linear[same] = torch.eye(3, dtype=torch.float64)
        offset = (0.5 * (1 - contrast))[:, None, None].expand(-1, 3, 1)
        return torch.cat([factor * linear, offset], dim=2).float()

    def tone_curves(self) -> Tensor:
        """(N, CURVE_STEPS + 1) float32, values ** gamma at equal steps from 0 to 1."""
        steps = torch.arange(CURVE_STEPS + 1, dtype=torch.float64) / CURVE_STEPS
        return (steps ** self.gamma.double().cpu()[:, None]).float()

    def taps(self) -> tuple[Tensor, Tensor]:
        """(N, K, K) float32 weights of the pixels around one, and (N,) int32 their radius.

        A Gaussian cut at three standard deviations, and a line along the motion, each of sum 1, and
        the two one after the other.
        """
        kernels = [
            _kernel(sigma, down, right)
            for sigma, (down, right) in zip(
                self.blur_px.tolist(), self.motion_px.tolist(), strict=True
            )
        ]
        radius = [len(kernel) // 2 for kernel in kernels]
        most = max(radius, default=0)
        taps = torch.zeros(len(kernels), 2 * most + 1, 2 * most + 1)
        for row, (kernel, r) in enumerate(zip(kernels, radius, strict=True)):
            taps[row, most - r : most + r + 1, most - r : most + r + 1] = kernel
        return taps, torch.tensor(radius, dtype=torch.int32)


@dataclass(frozen=True, eq=False, kw_only=True)
class RangeParameters(_Rows):
    """Of N depth images or LiDAR scans; each (N,) float32 unless said.

    Attributes:
        dropout: share of the returns that are lost.
        noise_m: standard deviation of the range, metres.
        noise_share: standard deviation of the range, as a share of it, on top.
        outliers: share of the returns that come from elsewhere,
        outlier_low_m, outlier_high_m: from a range between these, metres.
    """

    dropout: Tensor
    noise_m: Tensor
    noise_share: Tensor
    outliers: Tensor
    outlier_low_m: Tensor
    outlier_high_m: Tensor

    @staticmethod
    def identity(count: int) -> RangeParameters:
        """Parameters that change nothing."""
        zero, number = torch.zeros(count), torch.zeros(count, dtype=torch.int64)
        return RangeParameters(
            key=number,
            frame=number,
            dropout=zero,
            noise_m=zero,
            noise_share=zero,
            outliers=zero,
            outlier_low_m=zero,
            outlier_high_m=zero,
        )


def _kernel(sigma: float, down: float, right: float) -> Tensor:
    """(2r + 1, 2r + 1) float32."""
    kernel = torch.ones(1, 1, dtype=torch.float64)
    if sigma > 0:
        reach = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, dtype=torch.float64)
        line = torch.exp(-0.5 * (reach / sigma) ** 2)
        kernel = line[:, None] * line
    if down or right:
        kernel = torch.nn.functional.conv2d(
            kernel[None, None],
            _line(down, right)[None, None],
            padding=2 * (len(_line(down, right)) // 2),
        )[0, 0]
    return (kernel / kernel.sum()).float()


def _line(down: float, right: float) -> Tensor:
    """A segment about the middle, its points spread over the four pixels around each."""
    length = math.hypot(down, right)
    radius = math.ceil(max(abs(down), abs(right)) / 2)
    kernel = torch.zeros(2 * radius + 2, 2 * radius + 2, dtype=torch.float64)
    count = max(2, math.ceil(4 * length)) + 1
    share = torch.linspace(-0.5, 0.5, count, dtype=torch.float64)
    y, x = radius + share * down, radius + share * right
    row, column = y.floor().long(), x.floor().long()
    for dy, wy in ((0, 1 - (y - row)), (1, y - row)):
        for dx, wx in ((0, 1 - (x - column)), (1, x - column)):
            kernel.index_put_((row + dy, column + dx), wy * wx, accumulate=True)
    return kernel[:-1, :-1]
