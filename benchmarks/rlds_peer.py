"""The side of `rlds_tfds.py` that runs in the environment of tensorflow_datasets.

Ways to read, all of them giving every number and every decoded picture of every step:

- nested: `for episode in dataset: for step in episode["steps"]`, as TFDS gives it.
- frames: as Octo and OpenVLA read (dlimp): steps are not decoded when the episode is read, then
  flattened, and pictures are decoded by a parallel map over steps.
- frames_fast: the same with TensorFlow's quickest settings; pixels differ from those of the others.
- frames_accurate: the same with the accurate transform; pixels equal Pillow's.
- episodes: as frames, but decoded by a parallel map over whole episodes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from peer import serve

JPEG = {
    "frames": {},
    "frames_fast": {"dct_method": "INTEGER_FAST", "fancy_upscaling": False},
    "frames_accurate": {"dct_method": "INTEGER_ACCURATE"},
    "episodes": {},
}


def versions() -> dict[str, str]:
    return {"tensorflow": tf.__version__, "tensorflow_datasets": tfds.__version__}


def timed(folder: str, way: str, passes: int) -> dict[str, float]:
    """Seconds of some passes over all steps, those of all threads, and the number of steps."""
    dataset = _dataset(folder, way, passes, in_order=False)
    start, cpu_start = time.perf_counter(), time.process_time()
    count = sum(1 for _ in _steps(dataset, way))
    spent, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"seconds": spent, "cpu_seconds": cpu, "steps": count}


def save(folder: str, way: str, target: str, pictures_of: int) -> dict[str, int]:
    """Write what every step gives, in the order of the files; pictures of the first steps only."""
    columns: dict[str, list[Any]] = {}
    cameras = {"/".join(path) for path in _cameras(folder)}
    count = 0
    for step in _steps(_dataset(folder, way, 1, in_order=True), way):
        for name, value in _flat(step).items():
            if isinstance(value, bytes) or (name in cameras and count >= pictures_of):
                continue
            columns.setdefault(name, []).append(value)
        count += 1
    np.savez(target, **{name: np.stack(values) for name, values in columns.items()})
    return {"steps": count}


@functools.cache
def _dataset(folder: str, way: str, passes: int, in_order: bool) -> tf.data.Dataset:
    builder = tfds.builder_from_directory(folder)
    if way == "nested":
        order = tfds.ReadConfig(interleave_cycle_length=1) if in_order else None
        return builder.as_dataset(split="train", read_config=order).repeat(passes)
    automatic = tf.data.AUTOTUNE
    reading = tfds.ReadConfig(
        skip_prefetch=True,
        num_parallel_calls_for_decode=automatic,
        num_parallel_calls_for_interleave_files=automatic,
        interleave_cycle_length=1 if in_order else len(list(Path(folder).glob("*.tfrecord*"))),
    )
    dataset = builder.as_dataset(
        split="train", decoders={"steps": tfds.decode.SkipDecoding()}, read_config=reading
    )
    steps = dataset.repeat(passes).map(lambda episode: episode["steps"])
    decode = functools.partial(tf.io.decode_jpeg, channels=3, **JPEG[way])
    if way == "episodes":
        decode = functools.partial(tf.map_fn, decode, fn_output_signature=tf.uint8)
    else:
        steps = steps.flat_map(tf.data.Dataset.from_tensor_slices)
    decoded = functools.partial(_with_pictures, cameras=_cameras(folder), decode=decode)
    return steps.map(decoded, num_parallel_calls=automatic).prefetch(automatic)


def _steps(dataset: tf.data.Dataset, way: str) -> Iterator[dict[str, Any]]:
    """Every step as nested numpy arrays."""
    if way == "nested":
        for episode in dataset:
            yield from episode["steps"].as_numpy_iterator()
    elif way == "episodes":
        for episode in dataset.as_numpy_iterator():
            for number in range(len(episode["is_first"])):
                yield tf.nest.map_structure(lambda rows, number=number: rows[number], episode)
    else:
        yield from dataset.as_numpy_iterator()


def _with_pictures(step: Any, cameras: list[tuple[str, ...]], decode: Any) -> Any:
    """A step whose encoded pictures are decoded."""
    decoded = tf.nest.map_structure(lambda value: value, step)
    for *above, name in cameras:
        inner = functools.reduce(lambda branch, part: branch[part], above, decoded)
        inner[name] = decode(inner[name])
    return decoded


@functools.cache
def _cameras(folder: str) -> list[tuple[str, ...]]:
    """Paths of the pictures below a step."""
    features = tfds.builder_from_directory(folder).info.features["steps"].feature
    found = []

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, tfds.features.FeaturesDict):
            for name, child in node.items():
                walk(child, (*path, name))
        elif isinstance(node, tfds.features.Image):
            found.append(path)

    walk(features, ())
    return found


def _flat(step: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in step.items():
        inner = f"{path}{name}"
        flat |= _flat(value, f"{inner}/") if isinstance(value, dict) else {inner: value}
    return flat


if __name__ == "__main__":
    serve({"versions": versions, "timed": timed, "save": save})
