"""lerobot's side of `lerobot_loader.py`: its dataset in torch's DataLoader, in its environment."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peer import serve

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from check_lerobot_official import prepare

prepare()  # before what follows is imported
import numpy as np  # noqa: E402
import torch  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


class GivenRows:
    """A batch sampler that draws what it was told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Side:
    """The one loader of this process."""

    def load(self, backend: str) -> dict[str, Any]:
        """Take one of lerobot's decoders; tells why not where it does not work."""
        self._backend = backend
        try:
            importlib.import_module("torchcodec.decoders" if backend == "torchcodec" else "av")
        except (ImportError, OSError, RuntimeError) as error:
            return {"why_not": str(error).splitlines()[0]}
        return {"why_not": None}

    def open(
        self,
        folder: str,
        size: list[int] | None,
        horizon: int,
        rate_hz: float,
        workers: int,
    ) -> dict[str, Any]:
        """Open the dataset; `size`: pictures are resized as torchvision's `v2.Resize` does."""
        self._rows = GivenRows()
        dataset = LeRobotDataset(
            "local/benchmark",
            root=folder,
            image_transforms=None if size is None else resize_to(size),
            delta_timestamps={"action": [step / rate_hz for step in range(horizon)]},
            video_backend=self._backend,
        )
        self._cameras = list(dataset.meta.camera_keys)
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._rows,
            num_workers=workers,
            persistent_workers=True,
            prefetch_factor=2,
        )
        decoder = "torchcodec" if self._backend == "torchcodec" else "av"
        names = ("lerobot", "torch", decoder)
        return {"samples": len(dataset), **{name: version(name) for name in names}}

    def run(self, batches: list[list[int]]) -> dict[str, Any]:
        """Seconds for these batches, and how many pictures they held."""
        self._rows.batches = batches
        began = time.perf_counter()
        pictures = sum(
            sum(len(batch[name]) for name in self._cameras) for batch in iter(self._loader)
        )
        return {"seconds": time.perf_counter() - began, "pictures": pictures}

    def keep(self, batch: list[int], target: str) -> dict[str, Any]:
        """Write one batch to a file, to be compared."""
        self._rows.batches = [batch]
        (values,) = self._loader
        arrays = {name: value.numpy() for name, value in values.items() if torch.is_tensor(value)}
        np.savez(target, **arrays)
        return {}


def resize_to(size: list[int]) -> Any:
    def resize(picture: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(
            picture[None], size=size, mode="bilinear", antialias=True, align_corners=False
        )[0]

    return resize


if __name__ == "__main__":
    side = Side()
    serve({"load": side.load, "open": side.open, "run": side.run, "keep": side.keep})
