"""Altered CALVIN folders: frames, arrays, pickles and the configuration."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import calvin_folder
import numpy as np
import pytest
from fuzzing import FEW, MANY, Target, fuzz, require_typed
from mutations import Random, altered, altered_tree, altered_yaml

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
FRAME = "episode_0000100.npz"
WORDS = "lang_annotations/auto_lang_ann.npy"
SETTINGS = ".hydra/merged_config.yaml"


def altered_array(whole: bytes, random: Random) -> bytes:
    """A frame whose zip is sound, with one of its arrays altered or gone."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(out, "w") as after:
        chosen = random.choice(before.namelist())
        for name in before.namelist():
            if name != chosen:
                after.writestr(name, before.read(name))
            elif random.random() < 0.9:
                after.writestr(name, altered(before.read(name), random))
    return out.getvalue()


def altered_object(whole: bytes, random: Random) -> bytes:
    """A .npy of objects with other contents, in any protocol; some mean harm."""
    tree = np.load(io.BytesIO(whole), allow_pickle=True).item()
    changed = altered_tree(tree, random)
    if random.random() < 0.1:
        changed = {"language": _Harm()}
    head = whole[: 10 + int.from_bytes(whole[8:10], "little")]
    try:
        return head + pickle.dumps(changed, random.randrange(6))
    except (RecursionError, UnicodeEncodeError):  # what the pickler refuses
        return altered(whole, random)


class _Harm:
    def __reduce__(self) -> Any:
        return os.system, ("exit 3",)


@pytest.mark.parametrize("times", TIMES)
def test_altered_calvin(tmp_path: Path, times: int) -> None:
    root = calvin_folder.write(tmp_path / "calvin", [(100, 104)], [(100, 103, "go", "go")])
    targets = [
        Target(FRAME, altered),
        *[Target(FRAME, altered_array)] * 2,
        Target("ep_start_end_ids.npy", altered),
        Target("ep_lens.npy", altered),
        Target("scene_info.npy", altered),
        Target("scene_info.npy", altered_object),
        Target(WORDS, altered),
        Target(WORDS, altered_object),
        *[Target(SETTINGS, altered_yaml)] * 2,
    ]
    counts = fuzz("calvin", root, targets, times)
    require_typed(counts, times)
