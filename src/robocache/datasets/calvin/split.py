"""A split of CALVIN (`training` or `validation`): what its small files say.

ep_start_end_ids.npy                 (E, 2) first and last frame of each play episode, inclusive
scene_info.npy                       scene -> [first, last frame]
lang_annotations/auto_lang_ann.npy   words, task, first and last frame of each annotated window
.hydra/merged_config.yaml            cameras and control rate
episode_<number>.npz                 one frame
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, CorruptFileError, DataError, TimesError
from robocache.datasets.calvin.arrays import read_npy
from robocache.datasets.calvin.cameras import read_config
from robocache.datasets.cameras import Camera

IDS_FILE = "ep_start_end_ids.npy"
WORDS_FILE = "lang_annotations/auto_lang_ann.npy"
USUAL_RATE_HZ = 30.0
_FRAME = re.compile(r"episode_(\d{1,15})\.npz")


@dataclass(frozen=True)
class Segment:
    """Frames that belong together.

    Attributes:
        first, last: numbers of the frames, both inside.
        words: what was asked; "" in play.
        task: name of the task; "" in play.
    """

    first: int
    last: int
    words: str = ""
    task: str = ""

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, eq=False)
class Split:
    """One folder, looked through without reading frames.

    Attributes:
        folder: where it lies.
        digits: how many digits the names of frames have.
        play: play episodes.
        language: annotated windows, which may overlap; None when there are no annotations.
        scenes: scene -> (first, last frame).
        rate_hz, rate_source: control rate, and where it was found.
        cameras: cameras by name.
        wrong: what is wrong with the small files.
        lost: those of it for which there are fewer segments: kind of segments -> problems.
    """

    folder: Path
    digits: int
    play: tuple[Segment, ...]
    language: tuple[Segment, ...] | None
    scenes: Mapping[str, tuple[int, int]]
    rate_hz: float
    rate_source: str
    cameras: Mapping[str, Camera]
    wrong: tuple[DataError, ...]
    lost: Mapping[str, tuple[DataError, ...]]

    def frame(self, number: int) -> Path:
        """File of a frame, whether it is there or not."""
        return self.folder / f"episode_{number:0{self.digits}d}.npz"

    @cached_property
    def frames(self) -> NDArray[np.int64]:
        """(F,) numbers of all frames in the folder, increasing."""
        names = (_FRAME.fullmatch(entry.name) for entry in os.scandir(self.folder))
        return np.array(sorted(int(name[1]) for name in names if name), np.int64)


def is_split(folder: Path) -> bool:
    return (folder / IDS_FILE).is_file()


def read_split(folder: Path) -> Split:
    """What the small files of a folder say.

    Raises:
        CorruptFileError: no frames, or ep_start_end_ids.npy cannot be used.
    """
    wrong: list[DataError] = []
    rate_hz, cameras = read_config(folder / ".hydra" / "merged_config.yaml", wrong)
    play: list[DataError] = []
    language: list[DataError] = []
    source = "env.control_freq of .hydra/merged_config.yaml"
    if rate_hz is None:
        source = "assumed: the configuration names no control_freq, CALVIN's usual rate is used"
    return Split(
        folder=folder,
        digits=_digits(folder),
        play=_play(folder, play),
        language=_language(folder, wrong, language),
        scenes=_scenes(folder, wrong),
        rate_hz=rate_hz or USUAL_RATE_HZ,
        rate_source=source,
        cameras=cameras,
        wrong=(*wrong, *play, *language),
        lost={"play": tuple(play), "language": tuple(language)},
    )


def _digits(folder: Path) -> int:
    with os.scandir(folder) as entries:
        for entry in entries:
            if name := _FRAME.fullmatch(entry.name):
                return len(name[1])
    raise CorruptFileError("holds no frames (episode_<number>.npz)", file=folder)


def _play(folder: Path, lost: list[DataError]) -> tuple[Segment, ...]:
    path = folder / IDS_FILE
    ids = read_npy(path)
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 2:
        raise CorruptFileError("expected whole numbers of shape (episodes, 2)", file=path)
    if ids.shape[1] != 2:
        raise CorruptFileError(f"expected shape (episodes, 2), got {ids.shape}", file=path)
    segments = []
    for row, (first, last) in enumerate(ids.tolist()):
        if 0 <= first <= last:
            segments.append(Segment(first, last))
        else:
            lost.append(TimesError(f"row {row} is no range of frames: {first}..{last}", file=path))
    return tuple(segments)


def _language(
    folder: Path, wrong: list[DataError], lost: list[DataError]
) -> tuple[Segment, ...] | None:
    path = folder / WORDS_FILE
    if not path.is_file():
        return None
    try:
        told = _only(read_npy(path))
        words, tasks = told["language"]["ann"], told["language"]["task"]
        windows = told["info"]["indx"]
        if not len(words) == len(tasks) == len(windows):
            raise ValueError(f"{len(words)} texts, {len(tasks)} tasks, {len(windows)} windows")
    except DataError as error:
        lost.append(error)
        return ()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        text = f"not CALVIN's annotations ({type(error).__name__}: {error})"
        lost.append(CorruptFileError(text, file=path))
        return ()
    segments = []
    for number, (text, task, window) in enumerate(zip(words, tasks, windows, strict=True)):
        found = _range(window)
        if found is None or not isinstance(text, str) or not isinstance(task, str):
            lost.append(CorruptFileError(f"annotation {number} is no window of words", file=path))
            continue
        if not text.strip():
            wrong.append(CorruptFileError(f"annotation {number} has no words", file=path))
        segments.append(Segment(*found, text.strip(), task))
    return tuple(segments)


def _scenes(folder: Path, wrong: list[DataError]) -> dict[str, tuple[int, int]]:
    path = folder / "scene_info.npy"
    if not path.is_file():
        return {}
    try:
        told = _only(read_npy(path))
    except DataError as error:
        wrong.append(error)
        return {}
    scenes = {}
    for name, window in told.items() if isinstance(told, dict) else [("", None)]:
        found = _range(window)
        if found is None or not isinstance(name, str):
            wrong.append(CorruptFileError(f"scene {name!a} is no range of frames", file=path))
        else:
            scenes[name] = found
    return scenes


def _only(told: Any) -> Any:
    """The item of an array of one object, with or without axes."""
    return told[0] if isinstance(told, list) and len(told) == 1 else told


def _range(window: Any) -> tuple[int, int] | None:
    """First and last frame; None: it is no such thing."""
    if isinstance(window, np.ndarray):
        window = window.tolist()
    if not isinstance(window, list | tuple) or len(window) != 2:
        return None
    first, last = window
    whole = type(first) is int and type(last) is int
    return (first, last) if whole and 0 <= first <= last else None


def find_splits(path: Path) -> dict[str, Path]:
    """Prefix of keys -> folder: of a split itself, or of the splits in a folder.

    Raises:
        ConfigError: there is none.
    """
    if is_split(path):
        return {"": path}
    found = {
        f"{name}/": path / name for name in ("training", "validation") if is_split(path / name)
    }
    if not found:
        raise ConfigError(
            f"{path} is not a CALVIN dataset: expected {IDS_FILE} in it, or in training/ or "
            f"validation/"
        )
    return found
