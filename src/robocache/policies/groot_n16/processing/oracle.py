"""Every stage of the processing against stored tensors of the public code.

Error of a stage: max |ours - stored| / max |stored|, without the division where nothing but zeros
is stored; infinite for another shape. Token ids, masks and pictures that were square must be equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from robocache.core.errors import CorruptFileError, DataError
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    EmbodimentConfig,
    ModalityConfig,
)
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.processing.state_action import (
    ScalingOptions,
    StateActionProcessor,
)
from robocache.policies.groot_n16.processing.statistics import read_statistics
from robocache.policies.groot_n16.processing.text import GrootTokenizer
from robocache.policies.groot_n16.stages import Stage

BOUND = 1e-6
GREY_LEVEL = 2 / 255
"""In normalised pixels; a grey level more or less is let pass where a picture was not square."""
KEYS = ("input_ids", "attention_mask", "image_sizes", "embodiment_id", "action_mask")
TOKEN_STAGES = ("processing/input_ids", "processing/attention_mask")
"""What is compared only with the public vocabulary at hand."""

Tensors = Mapping[str, NDArray[Any]]


def processing_stages(folder: Path, tokenizer: GrootTokenizer | None) -> Iterator[Stage]:
    """All stages of an oracle folder.

    Args:
        folder: with full.safetensors, processing.safetensors, their JSON files, and processor/.
        tokenizer: of the public vocabulary; None: `TOKEN_STAGES` are left out.

    Raises:
        CorruptFileError: a file is missing, damaged, or lacks something.
    """
    try:
        for stage in _of_batch(folder, tokenizer or GrootTokenizer.bytes_only()):
            if tokenizer is not None or stage.name not in TOKEN_STAGES:
                yield stage
        yield from _of_cases(folder)
    except KeyError as error:
        raise CorruptFileError(f"the oracle lacks {error}", file=folder) from error


def _of_batch(folder: Path, tokenizer: GrootTokenizer) -> Iterator[Stage]:
    stored, about = _tensors(folder / "full.safetensors"), _json(folder / "full.json")
    network, texts = about["config"], about["text"]
    processor = GrootProcessor.from_pretrained(
        folder / "processor",
        tokenizer=tokenizer,
        compat=Compat.public(),
        max_state_dim=network["max_state_dim"],
        max_action_dim=network["max_action_dim"],
        max_action_horizon=network["action_horizon"],
    )
    (tag,) = processor.embodiments
    samples = [_sample(stored, number, text) for number, text in enumerate(texts)]
    ours: dict[str, Any] = {}
    try:
        batch = processor.encode(samples, tag)
        ours.update({name: value for name, value in batch.items() if name != "pixel_values"})
        ours.update({f"pixel_values.{n}": p for n, p in enumerate(batch["pixel_values"])})
    except DataError:
        pass  # what cannot be encoded is missing, and every stage fails
    views = processor.embodiments[tag].video.modality_keys
    frames = [sample["video"][view] for sample in samples for view in views]
    for name in (*KEYS, *(f"pixel_values.{n}" for n in range(len(frames))), "state", "action"):
        bound = 0.0 if name in KEYS else BOUND
        if name.startswith("pixel_values"):
            height, width = frames[int(name.partition(".")[2])].shape[1:3]
            bound = 0.0 if height == width else GREY_LEVEL * 1.001
            bound = bound if _on_levels(stored.get(f"batch.{name}")) else -1.0
        yield _stage(name, ours.get(name), stored.get(f"batch.{name}"), bound)
    decoded: dict[str, Any] = {}
    try:
        states = [sample["state"] for sample in samples]
        decoded.update(processor.decode_actions(stored["out.action_pred_seed6"], states, tag))
    except DataError:
        pass
    for key in processor.embodiments[tag].action.modality_keys:
        name = f"decoded_action.{key}"
        yield _stage(name, decoded.get(key), stored.get(f"out.{name}"), BOUND)


def _of_cases(folder: Path) -> Iterator[Stage]:
    stored, about = _tensors(folder / "processing.safetensors"), _json(folder / "processing.json")
    config = _case_config(about)
    statistics = read_statistics(about["statistics"])[config.tag]
    for case in about["cases"]:
        percentiles, clip, relative = (part.endswith("1") for part in case.split("_"))
        options = ScalingOptions(percentiles, clip, True, relative)
        numbers = StateActionProcessor(config, statistics, options, Compat.public())
        kinds = {kind: _groups(stored, f"{case}.{kind}.") for kind in ("raw_state", "raw_action")}
        state, given = kinds["raw_state"], _groups(stored, f"{case}.action.")
        ours: dict[str, Any] = {}
        try:
            ours["state"] = numbers.encode_states(state)
            ours["action"] = numbers.encode_actions(kinds["raw_action"], state)
            batched = {key: values[None] for key, values in given.items()}
            back = numbers.decode_actions(batched, [state])
            ours["action_back"] = {key: values[0] for key, values in back.items()}
        except DataError:
            pass
        for kind in ("state", "action", "action_back"):
            for key in about["keys"]:
                name = f"{case}.{kind}.{key}"
                yield _stage(name, ours.get(kind, {}).get(key), stored.get(name), BOUND)


def _stage(name: str, ours: Any, stored: NDArray[Any] | None, bound: float) -> Stage:
    return Stage(f"processing/{name}", _error(ours, stored, exact=bound == 0), bound)


def _error(ours: Any, stored: NDArray[Any] | None, exact: bool) -> float:
    if ours is None or stored is None:
        return float("inf")
    values = np.asarray(ours)
    if values.shape != stored.shape or (exact and values.dtype != stored.dtype):
        return float("inf")
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(stored).max())
        return float(np.abs(values - stored).max()) / (largest or 1.0)


def _on_levels(pixels: NDArray[Any] | None) -> bool:
    """Whether these are grey levels, which all stored pixels must be."""
    if pixels is None:
        return False
    levels = pixels.astype(np.float64) * 127.5 + 127.5
    with np.errstate(invalid="ignore"):
        return bool(np.abs(levels - np.rint(levels)).max() < 1e-3)


def _sample(stored: Tensors, number: int, text: str) -> Sample:
    return Sample(
        video=_groups(stored, f"raw.{number}.image."),
        state=_groups(stored, f"raw.{number}.state."),
        action=_groups(stored, f"raw.{number}.action."),
        language=text,
    )


def _groups(stored: Tensors, prefix: str) -> dict[str, NDArray[Any]]:
    return {n.removeprefix(prefix): t for n, t in stored.items() if n.startswith(prefix)}


def _case_config(about: Mapping[str, Any]) -> EmbodimentConfig:
    keys = tuple(about["keys"])
    how = tuple(_action_config(about["action_configs"][key]) for key in keys)
    return EmbodimentConfig(
        about["tag"],
        video=ModalityConfig((0,), ("none",)),
        state=ModalityConfig(
            (-1, 0), keys, tuple(about["sin_cos_state_keys"]), tuple(about["mean_std_state_keys"])
        ),
        action=ModalityConfig(
            tuple(range(about["horizon"])), keys, None, tuple(about["mean_std_action_keys"]), how
        ),
        language=ModalityConfig((0,), ("none",)),
    )


def _action_config(words: str) -> ActionConfig:
    fields = dict(zip(("rep", "type", "format"), words.split()))
    return ActionConfig.from_json(fields, f"processing.json, {words}")


def _tensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error
    return data
