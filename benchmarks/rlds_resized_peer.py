"""The side of `rlds_tfds.py --size` that runs in the environment of tensorflow_datasets.

Ways to read, all of them giving pictures of one size as uint8, and numbers beside them:

- nested: `for episode in dataset: for step in episode["steps"]`, as TFDS gives it, resized by a map
  over the steps.
- frames: as Octo and OpenVLA read (dlimp): encoded steps are flattened, decoded and resized by a
  parallel map over steps, and batched.
- frames_fast: the same with TensorFlow's quickest settings of JPEG.
- frames_accurate: the same with the accurate transform.
- frames_reduced: as frames_fast, and decoded at a half, a quarter or an eighth where that is still
  large enough, which JPEG allows; other pixels.
- frames_lanczos: as frames, with the filter of Octo, which gives other pixels.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from peer import serve
from rlds_peer import versions

FAST = {"dct_method": "INTEGER_FAST", "fancy_upscaling": False}
JPEG: dict[str, dict[str, Any]] = {
    "frames_fast": FAST,
    "frames_accurate": {"dct_method": "INTEGER_ACCURATE"},
    "frames_reduced": FAST,
}


def timed(
    folder: str,
    size: int,
    cameras: list[str],
    numbers: list[str],
    way: str,
    batches: int,
    batch: int,
) -> dict[str, float]:
    """Seconds of so many batches, those of all threads, and the number of steps."""
    steps = _steps(folder, size, tuple(cameras), tuple(numbers), way, in_order=False)
    ready = steps if way == "nested" else _batched(steps, batch)
    start, cpu_start = time.perf_counter(), time.process_time()
    if way == "nested":
        count = sum(1 for _ in islice(_one_by_one(ready), batches * batch))
    else:
        found = islice(ready.as_numpy_iterator(), batches)
        count = sum(len(values[numbers[0]]) for values in found)
    spent, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"seconds": spent, "cpu_seconds": cpu, "steps": count}


def save(
    folder: str,
    size: int,
    cameras: list[str],
    numbers: list[str],
    way: str,
    target: str,
    pictures_of: int,
) -> dict[str, int]:
    """Write what every step gives, in the order of the files; pictures of the first steps only."""
    steps = _steps(folder, size, tuple(cameras), tuple(numbers), way, in_order=True)
    found = _one_by_one(steps) if way == "nested" else steps.as_numpy_iterator()
    columns: dict[str, list[Any]] = {}
    count = 0
    for step in found:
        for name in (*numbers, *cameras) if count < pictures_of else numbers:
            columns.setdefault(name, []).append(step[name])
        count += 1
    np.savez(target, **{name: np.stack(values) for name, values in columns.items()})
    return {"steps": count}


def _one_by_one(episodes: tf.data.Dataset) -> Iterator[dict[str, Any]]:
    for steps in episodes:
        yield from steps.as_numpy_iterator()


@functools.cache
def _batched(steps: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    return steps.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


@functools.cache
def _steps(
    folder: str,
    size: int,
    cameras: tuple[str, ...],
    numbers: tuple[str, ...],
    way: str,
    in_order: bool,
) -> tf.data.Dataset:
    """Steps with their wanted parts by name; of the way "nested" a dataset of steps per episode.

    They come again and again, unless they are wanted in order.
    """
    builder = tfds.builder_from_directory(folder)
    passes = 1 if in_order else None
    chosen = functools.partial(_chosen, names=(*cameras, *numbers))
    if way == "nested":
        order = tfds.ReadConfig(interleave_cycle_length=1) if in_order else None
        dataset = builder.as_dataset(split="train", read_config=order).repeat(passes)
        resize = functools.partial(_each, cameras=cameras, change=_resizing(size, "bilinear"))
        return dataset.map(lambda episode: episode["steps"].map(lambda s: resize(chosen(s))))
    automatic = tf.data.AUTOTUNE
    reading = tfds.ReadConfig(
        skip_prefetch=True,
        num_parallel_calls_for_decode=automatic,
        num_parallel_calls_for_interleave_files=automatic,
        interleave_cycle_length=1 if in_order else len(list(Path(folder).glob("*.tfrecord*"))),
    )
    encoded = {"steps": tfds.decode.SkipDecoding()}
    episodes = builder.as_dataset(split="train", decoders=encoded, read_config=reading)
    steps = episodes.repeat(passes).map(lambda episode: chosen(episode["steps"]))
    shapes = _shapes(builder, cameras)
    resize = _resizing(size, "lanczos3" if way == "frames_lanczos" else "bilinear")

    def decoded(step: Any) -> Any:
        changed = dict(step)
        for name in cameras:
            ratio = _ratio(shapes[name], size) if way == "frames_reduced" else 1
            decode = functools.partial(
                tf.io.decode_jpeg, channels=3, ratio=ratio, **JPEG.get(way, {})
            )
            if way == "episodes":
                decode = functools.partial(tf.map_fn, decode, fn_output_signature=tf.uint8)
            changed[name] = resize(decode(step[name]))
        return changed

    slices = tf.data.Dataset.from_tensor_slices
    if way == "episodes":
        return steps.map(decoded, num_parallel_calls=automatic).flat_map(slices)
    return steps.flat_map(slices).map(decoded, num_parallel_calls=automatic)


def _chosen(step: Any, names: tuple[str, ...]) -> Any:
    """The wanted parts of a step by their path."""
    return {
        name: functools.reduce(lambda branch, part: branch[part], name.split("/"), step)
        for name in names
    }


def _each(step: Any, cameras: tuple[str, ...], change: Any) -> Any:
    return {name: change(value) if name in cameras else value for name, value in step.items()}


def _resizing(size: int, filter_name: str) -> Any:
    def resize(picture: Any) -> Any:
        resized = tf.image.resize(picture, (size, size), method=filter_name, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    return resize


def _shapes(builder: Any, cameras: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """(height, width) of the pictures as they are declared."""
    features = builder.info.features["steps"].feature
    return {name: _chosen(features, (name,))[name].shape[:2] for name in cameras}


def _ratio(shape: tuple[int, int], size: int) -> int:
    """The largest reduction that JPEG allows and that leaves no side too short."""
    return max(ratio for ratio in (1, 2, 4, 8) if ratio == 1 or min(shape) // ratio >= size)


if __name__ == "__main__":
    serve({"versions": versions, "timed": timed, "save": save})
