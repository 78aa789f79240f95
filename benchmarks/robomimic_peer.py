"""robomimic's own SequenceDataset with torch's DataLoader. Runs in an environment of its own.

Answers `benchmarks/robomimic_fusion.py`; see `peer.py`. As in robomimic's configurations for
pictures, numbers are kept in memory (hdf5_cache_mode "low_dim") and pictures are read from the
file. A sequence has the observations of all its steps, of which a policy reads the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import robomimic
import torch
from peer import serve
from robomimic.utils import obs_utils
from robomimic.utils.dataset import SequenceDataset

_kept: dict[str, Any] = {}


def setup(
    path: str, images: list[str], depths: list[str], vectors: list[str], steps: int, horizon: int
) -> dict[str, str]:
    """Open the file, with all numbers in memory."""
    torch.set_num_threads(1)
    modalities = {"rgb": images, "depth": depths, "low_dim": vectors}
    obs_utils.initialize_obs_utils_with_obs_specs([{"obs": modalities}])
    _kept["dataset"] = SequenceDataset(
        path,
        [*images, *depths, *vectors],
        ["actions"],
        frame_stack=steps,
        seq_length=horizon,
        get_pad_mask=True,
        hdf5_cache_mode="low_dim",
        load_next_obs=False,
    )
    _kept["steps"] = steps
    return {
        "robomimic": robomimic.__version__,
        "torch": torch.__version__,
        "h5py": h5py.__version__,
    }


def epoch(rows: list[int], batch_size: int, clock: str) -> dict[str, float]:
    """Seconds for these samples, in batches."""
    now: Callable[[], float] = getattr(time, clock)
    began = now()
    for _ in _batches(rows, batch_size):
        continue
    return {"seconds": now() - began}


def write(rows: list[int], file: str) -> dict[str, str]:
    """What a batch of these samples holds of observations up to now and actions from now on."""
    (batch,) = _batches(rows, len(rows))
    steps = _kept["steps"]
    seen = {name: value[:, :steps].numpy() for name, value in batch["obs"].items()}
    np.savez(file, actions=batch["actions"][:, steps - 1 :].numpy(), **seen)
    return {"file": file}


def _batches(rows: list[int], batch_size: int) -> torch.utils.data.DataLoader[Any]:
    return torch.utils.data.DataLoader(_kept["dataset"], batch_size, sampler=rows)


if __name__ == "__main__":
    serve({"setup": setup, "epoch": epoch, "write": write})
