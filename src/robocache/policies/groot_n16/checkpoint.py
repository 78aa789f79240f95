"""What lies in a checkpoint folder, read from its headers; no tensor is loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from robocache.core.errors import CheckpointError, ConfigError
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.generations import require_n16_weights

LICENSE_NOTICE = (
    "The weights of GR00T N1.6 are NVIDIA's, under the NVIDIA research licence: for "
    "non-commercial use only, and so is what is fine-tuned from them. Their licence file is beside "
    "them; this package holds none of them."
)
"""To be shown to whoever loads public weights."""

SIZES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
"""Bytes of an element, by the names of dtypes in safetensors files."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        file: of the checkpoint.
        shape: of the tensor.
        dtype: "F32", "BF16", "F16" or "F64".
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Size on disk."""
        count = SIZES[self.dtype]
        for side in self.shape:
            count *= side
        return count


@dataclass(frozen=True)
class Checkpoint:
    """A GR00T N1.6 checkpoint on disk.

    Attributes:
        folder: holds config.json and the weights.
        config: what config.json says.
        tensors: state-dict key -> where it lies.
    """

    folder: Path
    config: GrootConfig
    tensors: Mapping[str, StoredTensor]

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(tensor.bytes for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """How many tensors there are of each dtype."""
        return dict(Counter(tensor.dtype for tensor in self.tensors.values()))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """State-dict key -> shape."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read config.json and the headers of the weights.

    Raises:
        CheckpointError: something is missing or damaged, or it is no GR00T N1.6.
        ConfigError: a value in config.json cannot be used.
    """
    data = _read_json(folder / "config.json")
    config = GrootConfig.from_json(data)
    tensors: dict[str, StoredTensor] = {}
    for path in _weight_files(folder):
        for name, tensor in _read_header(path).items():
            if name in tensors:
                raise CheckpointError(f"{name} lies in {tensors[name].file.name} and {path.name}")
            tensors[name] = tensor
    checkpoint = Checkpoint(folder, config, tensors)
    require_n16_weights(checkpoint.shapes)
    return checkpoint


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        names = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            raise CheckpointError(f"{folder / INDEX} has no weight_map")
        files = sorted(set(names.values()))
        outside = [name for name in files if Path(name).name != name]
        if outside:
            raise CheckpointError(f"{folder / INDEX} names files outside of its folder: {outside}")
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder} lacks {', '.join(missing)}, which {INDEX} names; copy or download it "
                f"again"
            )
        return [folder / name for name in files]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    hint = (
        f"; {pickled[0]} is a pickle, which is not read: save it as safetensors" if pickled else ""
    )
    raise CheckpointError(f"{folder} has neither {SINGLE} nor {INDEX}{hint}")


def _read_header(path: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {
                name: StoredTensor(path, tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    other = sorted({tensor.dtype for tensor in found.values()} - SIZES.keys())
    if other:
        raise CheckpointError(
            f"{path} holds tensors of dtype {', '.join(other)}; read are {', '.join(SIZES)}. "
            f"Quantised weights have to be converted first"
        )
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"{path} is not there; give the folder of a GR00T N1.6 checkpoint"
        ) from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is damaged: it holds no object")
    return data


def find_folder(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """A folder here, or the copy of a repository on the Hugging Face hub in its own cache.

    Args:
        path_or_hub_id: a folder, or `owner/name`.
        revision: branch, tag or commit on the hub.

    Raises:
        ConfigError: there is no such folder, repository or revision.
        DownloadError: it did not come.
        MissingDependencyError: huggingface_hub is not installed.
    """
    path = Path(path_or_hub_id)
    text = str(path_or_hub_id)
    if path.is_dir():
        return path
    if path.exists() or text.count("/") != 1 or text.startswith(("/", ".", "~")):
        raise ConfigError(
            f"{text} is neither a checkpoint folder nor a repository of the hub (owner/name)"
        )
    from robocache.policies.groot_n16.hub import download

    return download(text, revision)
