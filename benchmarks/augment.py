"""Pictures augmented in one pass: one thread, against Pillow and PyTorch operation by operation.

    python benchmarks/augment.py [--device cuda]

64 pictures of 224 x 224, uint8 to uint8, each with its own parameters. Pillow changes brightness,
contrast and saturation picture by picture; PyTorch does the same and adds noise to the whole batch
in float32, an operation at a time. On a graphics card the peer is PyTorch and PyTorch compiled.
`memcpy` copies as many bytes as are read and written. Results of ours and PyTorch's are compared
before anything is timed.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from measure import arguments, interleave, publish, ratio
from PIL import Image, ImageEnhance
from torch import Tensor

from robocache.ops import ImageParameters, augment, available_backends
from robocache.ops.augment.tables import tables_for

LUMA = torch.tensor([0.299, 0.587, 0.114])


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    array = rng.integers(80, 160, (args.count, args.side, args.side, 3), np.uint8)
    images = torch.from_numpy(array).to(args.device)
    seconds: dict[str, list[float]] = {}
    table: dict[str, Any] = {}
    for case, parameters in cases(rng, args.count).items():
        sides = sides_of(case, images, array, parameters)
        check(case, sides)
        found = interleave(
            {name: timed(run, images.device) for name, run in sides.items()}, args.rounds
        )
        table[case] = {n: ratio(s, found["ours out"])["median"] for n, s in found.items()}
        seconds |= {f"{case}/{name}": values for name, values in found.items()}
    publish(
        args,
        {
            "measures": "seconds of the whole batch, one thread",
            "backends": available_backends("augment"),
            "times_as_fast_as": table,
            "device": torch.cuda.get_device_name() if images.is_cuda else "cpu",
        },
        seconds=seconds,
        peers={f"{case}/ours out": f"{case}/torch" for case in table if case != "everything"},
    )


def cases(rng: np.random.Generator, count: int) -> dict[str, ImageParameters]:
    def drawn(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, count).astype(np.float32))

    colour = replace(
        ImageParameters.identity(count),
        brightness=drawn(0.7, 1.3),
        contrast=drawn(0.7, 1.3),
        saturation=drawn(0.5, 1.5),
        key=torch.arange(count),
    )
    noisy = replace(colour, gamma=drawn(0.8, 1.25), noise=torch.full((count,), 0.03))
    crop = torch.tensor([0.05, 0.1, 0.85]).repeat(count, 1)
    everything = replace(noisy, crop=crop, hue=drawn(-0.1, 0.1), blur_px=drawn(0.3, 1.0))
    return {"colour": colour, "colour, gamma, noise": noisy, "everything": everything}


def sides_of(
    case: str, images: Tensor, array: np.ndarray, parameters: ImageParameters
) -> dict[str, Callable[[], Any]]:
    tables, out = (
        tables_for(parameters, *images.shape[1:3], images.device),
        torch.empty_like(images),
    )
    other = torch.empty_like(images)
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: augment(images, parameters),
        "ours out": lambda: augment(images, tables, out=out),
        "memcpy": lambda: other.copy_(images),
    }
    if case != "everything":
        sides["torch"] = lambda: eager(images, parameters)
        if images.is_cuda:
            compiled = torch.compile(eager)
            sides["torch compiled"] = lambda: compiled(images, parameters)
    if case == "colour" and not images.is_cuda:
        sides["pillow"] = lambda: pillow(array, parameters)
    return sides


def eager(images: Tensor, p: ImageParameters) -> Tensor:
    """An operation after the other, as libraries of augmentation do."""

    def each(values: Tensor) -> Tensor:
        return values.to(images.device)[:, None, None, None]

    x = images.float() / 255
    x = (x * each(p.brightness)).clamp(0, 1)
    x = ((x - 0.5) * each(p.contrast) + 0.5).clamp(0, 1)
    grey = (x * LUMA.to(images.device)).sum(-1, keepdim=True)
    x = (grey + each(p.saturation) * (x - grey)).clamp(0, 1)
    if float(p.noise.max()) > 0:
        x = x ** each(p.gamma)
        x = (x + each(p.noise) * torch.randn_like(x)).clamp(0, 1)
    return (x * 255 + 0.5).to(torch.uint8)


def pillow(array: np.ndarray, p: ImageParameters) -> np.ndarray:
    changed = []
    grey = Image.new("RGB", array.shape[2:0:-1], (128, 128, 128))
    for picture, b, c, s in zip(
        array, p.brightness.tolist(), p.contrast.tolist(), p.saturation.tolist(), strict=True
    ):
        x = ImageEnhance.Brightness(Image.fromarray(picture)).enhance(b)
        x = ImageEnhance.Color(Image.blend(grey, x, c)).enhance(s)
        changed.append(np.asarray(x))
    return np.stack(changed)


def check(case: str, sides: dict[str, Callable[[], Any]]) -> None:
    """End the script where ours is not what the others make of the same parameters."""
    for name in sides.keys() & {"torch", "pillow"}:
        if case != "colour":
            continue  # the noise is another one
        ours, theirs = (torch.as_tensor(sides[n]()).cpu().int() for n in ("ours", name))
        apart = (ours - theirs).abs().double()
        if float(apart.mean()) > 2:  # Pillow cuts off after each of three steps
            raise SystemExit(f"{case}: {name} is {float(apart.mean())} grey levels away")


def timed(run: Callable[[], Any], device: torch.device) -> Callable[[], float]:
    def seconds() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return seconds


if __name__ == "__main__":
    main()
