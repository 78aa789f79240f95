"""When features of the backbone may be kept, where they lie, and how long each row of them is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.datasets import Mixture, WindowTable
from robocache.datasets.cache.key import FEATURES, VERSION, caches_folder
from robocache.policies.groot_n16.feature_store import FeatureStore
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.parts import part_of
from robocache.policies.groot_n16.processing.images import image_tokens

if TYPE_CHECKING:
    from robocache.policies.groot_n16.policy import GrootPolicy


def training_parts(model: GrootN16) -> list[str]:
    """Parts of the backbone of which something trains."""
    parameters = model.backbone.named_parameters(prefix="backbone")
    return sorted({part_of(name) for name, parameter in parameters if parameter.requires_grad})


def open_feature_cache(
    policy: GrootPolicy, windows: WindowTable | Mixture, samples: str, device: str
) -> FeatureStore:
    """Where the features of these windows are kept.

    Args:
        policy: whose backbone makes them.
        windows: what is trained on.
        samples: hash of all that decides what is in the windows.
        device: that makes them; others round differently.

    Raises:
        ConfigError: something of the backbone trains, or pictures change from epoch to epoch.
        StorageError: there is no room.
        DataError: an instruction cannot be used.
    """
    settings, config = policy.settings, policy.model.config
    reasons = [f"the {part} trains" for part in training_parts(policy.model)]
    if settings.augment:
        reasons.append("augment=true changes pictures every time they are seen")
    if not config.use_alternate_vl_dit:
        reasons.append("the base's use_alternate_vl_dit=false makes padding count")
    if reasons:
        raise ConfigError(
            f"policy.network.feature_cache=true needs features that stay the same, but "
            f"{', '.join(reasons)}; set tune_top_llm_layers=0, tune_llm=false, "
            f"tune_visual=false, augment=false, and give LoRA no target but diffusion"
        )
    kind = torch.device(device).type
    about = {
        "version": VERSION,
        "base_sha256": settings.base_sha256,
        "samples": samples,
        "processor": _processing(policy),
        "dtype": settings.dtype,
        "torch": torch.__version__,
        "device": kind,
        "threads": torch.get_num_threads() if kind == "cpu" else 0,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    folder = caches_folder(FEATURES) / f"groot-{digest[:16]}"
    width, dtype = config.backbone_embedding_dim, getattr(torch, settings.dtype)
    return FeatureStore(folder, about, prompt_lengths(policy, windows), width, dtype)


def prompt_lengths(policy: GrootPolicy, windows: WindowTable | Mixture) -> NDArray[np.int64]:
    """(N,) tokens of the prompt of each window, pictures included."""
    known: dict[tuple[str, str], int] = {}
    lengths = []
    for tag, table in _tables(windows, policy.settings.first):
        of_episode = []
        for text in table.aligned.instructions:
            if (tag, text) not in known:
                known[tag, text] = _prompt_length(policy, tag, text)
            of_episode.append(known[tag, text])
        lengths.append(np.array(of_episode, np.int64)[table.episode_of])
    return np.concatenate(lengths)


def _tables(windows: WindowTable | Mixture, first: str) -> Iterator[tuple[str, WindowTable]]:
    if isinstance(windows, WindowTable):
        yield first, windows
        return
    for source, table in zip(windows.sources.values(), windows.tables, strict=True):
        yield source.embodiment or first, table


def _prompt_length(policy: GrootPolicy, tag: str, text: str) -> int:
    streams, encoder = policy.streams[tag], policy.processor.encoder(tag)
    times = {view.stream: len(view.offsets_s) for view in streams.inputs}
    video = {
        view: np.zeros((times[stream], *streams.specs[stream].shape), np.uint8)
        for view, stream in policy.settings.embodiments[tag].video.items()
    }
    sample: Any = {"video": video, "language": text}
    sizes = [picture.shape[:2] for picture in encoder.pictures(sample, None)]
    tokens = [image_tokens(*size) for size in sizes]
    ids, _ = policy.processor.tokenizer.encode([encoder.text(sample)], [tokens])
    return int(ids.shape[1])


def _processing(policy: GrootPolicy) -> dict[str, Any]:
    """What decides pixels and tokens, beside the samples."""
    processor = policy.processor
    return {
        "settings": processor.settings.to_json(),
        "letterbox": processor.compat.letterbox,
        "tokens": processor.tokenizer.digest(),
        "views": {
            tag: [
                [view, robot.video[view]] for view in processor.embodiments[tag].video.modality_keys
            ]
            for tag, robot in sorted(policy.settings.embodiments.items())
        },
    }
