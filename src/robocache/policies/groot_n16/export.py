"""A fine-tuned policy as a checkpoint in the public format."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from robocache.core.errors import StorageError
from robocache.policies.groot_n16.checkpoint import find_folder
from robocache.policies.groot_n16.lora import has_lora, merge_lora
from robocache.policies.groot_n16.policy import GrootPolicy


def export(policy: GrootPolicy, folder: Path, max_shard_bytes: int = 5_000_000_000) -> None:
    """Write weights, configuration, processor and tokenizer, which the public code can load.

    Adapters are merged into the policy's own weights, rounded to the dtype of these. Executed steps
    and names of streams have no place in the format; Euler steps have. The licence of the base goes
    along.

    Args:
        policy: is changed where it has adapters: it then has merged weights.
        folder: made if it is not there; must hold no checkpoint.
        max_shard_bytes: a file of weights holds at most this much, but at least one tensor.

    Raises:
        CheckpointError: there is a checkpoint in the folder already.
        StorageError: it cannot be written.
    """
    model = policy.model
    if has_lora(model):
        merge_lora(model)
    model.config = replace(model.config, num_inference_timesteps=policy.settings.flow_steps)
    model.save_pretrained(folder, max_shard_bytes)
    try:
        policy.processor.save_pretrained(folder)
        for licence in sorted(find_folder(policy.settings.base).glob("LICENSE*")):
            shutil.copyfile(licence, folder / licence.name)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error}") from error
