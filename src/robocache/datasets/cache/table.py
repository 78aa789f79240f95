"""The whole of a cache: its parts' numbers as files that are mapped, and where its pictures lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError
from robocache.core.stream import StreamSpec
from robocache.datasets.aligned import AlignedEpisodes
from robocache.datasets.cache.part import ACTIONS
from robocache.datasets.cache.pictures import codec_of, stored_frames
from robocache.datasets.window_column import Column, FrameColumn
from robocache.ops.resample import ResamplePlan
from robocache.runs import atomic_directory, sha256_file

TABLE, PARTS = "table", "parts"
DAMAGED = "is not what was written; remove the cache and make it again"
PER_EPISODE = ("keys", "instructions", "sources", "content")


@dataclass(frozen=True, eq=False)
class CachedEpisodes:
    """What a cache holds.

    Attributes:
        episodes: for a `WindowTable`.
        content: key -> content hash of the episode it was made of, as it lies on disk.
        quality: of JPEG.
    """

    episodes: AlignedEpisodes
    content: dict[str, str]
    quality: int


def write_table(folder: Path, parts: Sequence[str], quality: int) -> None:
    """Join the numbers of all parts of the cache in `folder`; one part is in memory at a time."""
    paths = [folder / PARTS / part for part in parts]
    about = [json.loads((path / "part.json").read_bytes()) for path in paths]
    with atomic_directory(folder / TABLE) as made:
        _join_numbers(paths, about, made)
        table = {
            **{name: about[0][name] for name in ("inputs", "action", "specs", "methods")},
            **{name: [value for one in about for value in one[name]] for name in PER_EPISODE},
            "pictures": about[0]["pictures"],
            "quality": quality,
            "parts": list(parts),
            "counts": {
                name: [one["samples"][name] for one in about] for name in about[0]["samples"]
            },
            "sha256": {path.name: sha256_file(path) for path in sorted(made.glob("*.npy"))},
        }
        text = json.dumps(table)
        digest = hashlib.sha256(text.encode()).hexdigest()
        (made / "table.json").write_text(f"{digest}\n{text}")


def read_table(folder: Path) -> CachedEpisodes:
    """What the complete cache in `folder` holds; numbers are mapped, pictures stay on disk.

    Raises:
        CorruptFileError: a file is missing or is not what was written.
    """
    made, about = folder / TABLE, table_text(folder)
    numbers = {name[: -len(".npy")]: _mapped(made / name, about) for name in about["sha256"]}
    specs = {name: StreamSpec.from_json(spec) for name, spec in about["specs"].items()}

    def column(name: str, spec: StreamSpec) -> Column:
        plan = ResamplePlan(
            *(torch.from_numpy(numbers[f"{name}.{kind}"]) for kind in ResamplePlan.__annotations__)
        )
        if name not in about["pictures"]:
            values = torch.from_numpy(numbers[f"{name}.values"])
            return Column(spec, about["methods"][name], plan, values, None)
        frames = [stored_frames(folder / PARTS / part / name, spec) for part in about["parts"]]
        read = FrameColumn(spec, frames, numbers[f"{name}.left"], numbers[f"{name}.valid"])
        return Column(spec, about["methods"][name], plan, None, read)

    lossy = any(
        codec_of(specs[stream]) == "jpeg"
        for number, stream in enumerate(about["inputs"])
        if str(number) in about["pictures"]
    )
    episodes = AlignedEpisodes(
        keys=about["keys"],
        instructions=about["instructions"],
        sources=about["sources"],
        specs=specs,
        now_s=numbers["now_s"],
        episode_of=numbers["episode_of"],
        inputs={
            stream: column(str(number), specs[stream])
            for number, stream in enumerate(about["inputs"])
        },
        actions=column(ACTIONS, specs[about["action"]]),
        loss=f"jpeg {about['quality']}" if lossy else "",
    )
    content = dict(zip(about["keys"], about["content"], strict=True))
    return CachedEpisodes(episodes, content, about["quality"])


def _join_numbers(paths: Sequence[Path], about: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Every array of all parts as one, samples and episodes counted over all of them."""
    joined = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy",
            mode="w+",
            dtype=dtype,
            shape=(sum(one["arrays"][name][1][0] for one in about), *shape[1:]),
        )
        for name, (dtype, shape) in about[0]["arrays"].items()
    }
    ends = dict.fromkeys(joined, 0)
    samples = dict.fromkeys(about[0]["samples"], 0)
    episodes = 0
    for path, one in zip(paths, about, strict=True):
        with np.load(path / "numbers.npz") as numbers:
            for name, array in numbers.items():
                column, _, kind = name.partition(".")
                before = samples[column] if kind in ("left", "right") else 0
                before = episodes if name == "episode_of" else before
                joined[name][ends[name] : ends[name] + len(array)] = array
                if before:
                    joined[name][ends[name] : ends[name] + len(array)] += before
                ends[name] += len(array)
        episodes += len(one["keys"])
        for column, count in one["samples"].items():
            samples[column] += count
    for array in joined.values():
        array.flush()


def table_text(folder: Path) -> dict[str, Any]:
    """What `table.json` of the cache in `folder` says; its first line is the hash of the rest.

    Raises:
        CorruptFileError: it is missing or is not what was written.
    """
    path = folder / TABLE / "table.json"
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise CorruptFileError(DAMAGED, file=path)
    about: dict[str, Any] = json.loads(text)
    return about


def _mapped(path: Path, about: Mapping[str, Any]) -> NDArray[Any]:
    try:
        if sha256_file(path) != about["sha256"][path.name]:
            raise CorruptFileError(DAMAGED, file=path)
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error
    return array
