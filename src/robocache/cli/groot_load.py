"""`robocache groot load`: everything that can be known before, then the weights."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape

from robocache.cli.doctor import MARKS
from robocache.cli.findings import Finding
from robocache.cli.machine import GIB, free_memory_bytes
from robocache.cli.output import console
from robocache.core.errors import CheckpointError, ConfigError, RoboCacheError, unknown_name
from robocache.policies.device import require_device
from robocache.policies.groot_n16.checkpoint import (
    LICENSE_NOTICE,
    Checkpoint,
    find_folder,
    read_checkpoint,
)
from robocache.policies.groot_n16.loading import load_pretrained, unfitting
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.needs import LoadingNeeds, bytes_by_dtype, loading_needs
from robocache.policies.groot_n16.parts import parameters_by_part
from robocache.policies.groot_n16.processing.files import CONFIG, read_folder
from robocache.policies.groot_n16.verify import VOCABULARIES

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}


def load(path_or_hub_id: str, device: str, dtype: str | None, dry_run: bool) -> dict[str, Any]:
    """Check a checkpoint, and load it unless something is wrong or only checks are wanted.

    Raises:
        ConfigError: there is no such checkpoint or dtype.
        DownloadError: it is on the hub and did not come.
    """
    if dtype is not None and dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    folder = find_folder(path_or_hub_id)
    findings = []
    for finding in examine(folder, device, None if dtype is None else DTYPES[dtype]):
        findings.append(finding)
        console.print(f"{MARKS[finding.level]} {escape(finding.text)}")
        if finding.advice:
            console.print(f"        -> {finding.advice}", markup=False)
    problems = sum(finding.level == "problem" for finding in findings)
    result: dict[str, Any] = {
        "folder": folder,
        "problems": problems,
        "findings": [finding._asdict() for finding in findings],
        "loaded": None,
    }
    if problems:
        console.print("nothing was loaded")
    elif not dry_run:
        result["loaded"] = _load(folder, device, None if dtype is None else DTYPES[dtype])
    return result


def examine(folder: Path, device: str, dtype: torch.dtype | None) -> Iterator[Finding]:
    """What the headers of a checkpoint say, and whether this machine can hold it."""
    try:
        checkpoint = read_checkpoint(folder)
    except (CheckpointError, ConfigError) as error:
        yield Finding("problem", "config", str(error))
        return
    config = checkpoint.config
    yield Finding(
        "ok",
        "config",
        f"GR00T N1.6 in {folder}: {config.select_layer} language layers, "
        f"{config.diffusion_model_cfg.num_layers} DiT blocks, states up to {config.max_state_dim}, "
        f"actions up to {config.max_action_dim} in {config.action_horizon} steps",
    )
    yield from _weights_findings(checkpoint)
    yield _processor_finding(folder)
    licences = [path.name for path in sorted(folder.glob("LICENSE*"))]
    beside = f" Here: {', '.join(licences)}." if licences else " None is in this folder."
    yield Finding("note", "licence", LICENSE_NOTICE + beside)
    yield from _memory_findings(checkpoint, device, dtype)


def judge_memory(needs: LoadingNeeds, free: int, card: tuple[int, int] | None) -> Iterator[Finding]:
    """Whether weights fit.

    Args:
        needs: of loading, in bytes.
        free: bytes of main memory that this process may still take.
        card: free and all bytes of the graphics card they go to; None: they stay in main memory.
    """
    text = f"loading takes {_gib(needs.host)} of main memory at most, {_gib(free)} are free"
    advice = "close other programs, give --dtype bfloat16, or use a machine with more memory"
    if needs.host > free:
        yield Finding("problem", "memory", text, advice)
    else:
        yield Finding("ok", "memory", text)
    if card is None:
        return
    text = f"the weights take {_gib(needs.weights)} of the card, {_gib(card[0])} of "
    text += f"{_gib(card[1])} are free"
    if needs.weights > card[0]:
        yield Finding("problem", "device", text, "nvidia-smi shows who uses it")
    else:
        yield Finding("ok", "device", text)


def _weights_findings(checkpoint: Checkpoint) -> Iterator[Finding]:
    with torch.device("meta"):
        model = GrootN16(checkpoint.config)
    problems = unfitting(checkpoint, model)
    if problems:
        advice = "it is damaged, or was saved by other code: download it again"
        yield Finding("problem", "keys", f"the weights do not fit: {problems}", advice)
    else:
        text = f"{len(checkpoint.tensors)} tensors, all with the keys and shapes that are expected"
        yield Finding("ok", "keys", text)
    kinds = sorted(bytes_by_dtype(checkpoint).items(), key=lambda item: -item[1])
    told = ", ".join(f"{kind} {_gib(size)}" for kind, size in kinds)
    mixed = " (what was trained is often stored in float32)" if len(kinds) > 1 else ""
    files = len({tensor.file for tensor in checkpoint.tensors.values()})
    yield Finding("ok", "dtypes", f"{told} in {files} file{'s' * (files > 1)}{mixed}")


def _processor_finding(folder: Path) -> Finding:
    if not (folder / CONFIG).is_file():
        text = f"no {CONFIG}: the network can be loaded, but cannot be fine-tuned or act"
        return Finding("note", "processor", text)
    try:
        known = read_folder(folder, {})
    except RoboCacheError as error:
        return Finding("problem", "processor", str(error))
    text = f"embodiments: {', '.join(sorted(known.embodiments)) or 'none yet'}"
    if not any((folder / name).is_file() for name in VOCABULARIES):
        advice = "give policy.network.tokenizer=FOLDER in training: Qwen2's, of any Qwen3 model"
        return Finding("note", "processor", f"{text}; no tokenizer among the files", advice)
    return Finding("ok", "processor", f"{text}; with a tokenizer")


def _memory_findings(
    checkpoint: Checkpoint, device: str, dtype: torch.dtype | None
) -> Iterator[Finding]:
    try:
        found = require_device(device)
    except ConfigError as error:
        yield Finding("problem", "device", str(error), "give --device cpu, or see robocache doctor")
        return
    card = torch.cuda.mem_get_info(found) if found.type == "cuda" else None
    yield from judge_memory(loading_needs(checkpoint, found, dtype), free_memory_bytes(), card)


def _load(folder: Path, device: str, dtype: torch.dtype | None) -> dict[str, Any]:
    on_card = torch.device(device).type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(device)
    before, clock = _peak_rss(), time.perf_counter()
    model = load_pretrained(folder, device=device, dtype=dtype)
    if on_card:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - clock
    parts = parameters_by_part(model)
    width = max(map(len, parts))
    for part, count in parts.items():
        console.print(f"  {part:<{width}}  {count:>13,}")
    whole, peak = sum(parts.values()), _peak_rss()
    console.print(f"  {'parameters':<{width}}  {whole:>13,}")
    console.print(
        f"loaded on {device} in {seconds:.1f} s; the process had {_gib(peak)} of main memory at "
        f"most, {_gib(before)} before"
    )
    card_peak = torch.cuda.max_memory_allocated(device) if on_card else None
    if card_peak is not None:
        console.print(f"on the card {_gib(card_peak)} at most")
    return {
        "parameters": whole,
        "parts": parts,
        "seconds": seconds,
        "peak_host_bytes": peak,
        "host_bytes_before": before,
        "peak_device_bytes": card_peak,
    }


def _peak_rss() -> int:
    """Most memory that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
