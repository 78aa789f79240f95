"""Frames by index, against a plain decode of the whole file."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from robocache.core.errors import CorruptFileError
from robocache.datasets import video
from robocache.datasets.video import VideoFrames


def write_video(
    path: Path,
    count: int,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (48, 64),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    rng = np.random.default_rng(5)
    scene = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for k in range(count):
            frame = np.roll(scene // 2, k, axis=1) + np.uint8(k)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def all_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


KINDS = {
    "h264 with B-frames": ("libx264", {"g": "12", "bf": "3", "preset": "fast"}),
    "h264 open GOP": ("libx264", {"g": "6", "bf": "2", "x264-params": "open-gop=1:keyint=6"}),
    "h264 one keyframe": ("libx264", {"g": "250"}),
    "av1": ("libsvtav1", {"g": "2", "preset": "12"}),
    "mpeg4": ("mpeg4", {"g": "5"}),
}


@pytest.fixture(scope="module", params=KINDS)
def file(request, tmp_path_factory) -> Path:
    codec, options = KINDS[request.param]
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    write_video(path, 41, codec=codec, options=options)
    return path


def test_any_frame_in_any_order(file):
    expected = all_frames(file)
    frames = VideoFrames(file)
    assert frames.shape == expected.shape == (41, 48, 64, 3) and frames.dtype == np.uint8
    for number in [40, 0, 7, 7, 6, 39, 13, 12, 11, 20, -1]:
        np.testing.assert_array_equal(frames[number], expected[number])
    for index in (
        slice(None),
        slice(30, 3, -4),
        slice(5, 5),
        np.array([3, 30, 3, 0, -2]),
        np.array([[8, 1], [40, 8]]),
        np.arange(41) % 9 == 2,
        [4, 2],
    ):
        np.testing.assert_array_equal(frames[index], expected[index])
    np.testing.assert_array_equal(np.asarray(frames), expected)
    for bad in (41, -42, [0, 41]):
        with pytest.raises(IndexError):
            frames[bad]


def test_a_range_of_a_file(file):
    expected = all_frames(file)[9:22]
    frames = VideoFrames(file, 9, 22)
    assert frames.shape == expected.shape
    np.testing.assert_array_equal(frames[[12, 0, -13]], expected[[12, 0, 0]])
    with pytest.raises(IndexError):
        frames[13]
    with pytest.raises(CorruptFileError, match=r"frames 30\.\.50 were asked for"):
        VideoFrames(file, 30, 50)


def test_going_forward_never_seeks_and_going_back_does(tmp_path, monkeypatch):
    path = tmp_path / "v.mp4"
    write_video(path, 30, options={"g": "10", "bf": "2"})
    seeks = []
    seek = video._Decoder._seek
    monkeypatch.setattr(video._Decoder, "_seek", lambda s, k: (seeks.append(k), seek(s, k))[1])
    frames = VideoFrames(path)
    for number in range(30):
        frames[number]
    assert seeks == []
    frames[[25, 2, 21, 4]]
    assert seeks == [0, 2]


def test_pickling_keeps_the_index_and_not_the_decoder(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 20)
    frames = VideoFrames(path, 3)
    frames[4]
    copy = pickle.loads(pickle.dumps(frames))
    np.testing.assert_array_equal(copy[4], frames[4])
    assert len(pickle.dumps(frames)) < 5000


def read_in_child(frames: VideoFrames, number: int, queue) -> None:
    queue.put(frames[number].sum())


def test_works_on_both_sides_of_a_fork(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 30, options={"g": "10"})
    frames = VideoFrames(path)
    expected = all_frames(path)
    np.testing.assert_array_equal(frames[5], expected[5])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(frames, 17, queue))
    child.start()
    np.testing.assert_array_equal(frames[6], expected[6])
    assert queue.get(timeout=20) == expected[17].sum()
    child.join()
    np.testing.assert_array_equal(frames[7], expected[7])


def test_only_so_many_decoders_stay_open(tmp_path):
    paths = [tmp_path / f"{k}.mp4" for k in range(video.OPEN_DECODERS + 3)]
    for path in paths:
        write_video(path, 3)
    for path in paths + paths[:2]:
        VideoFrames(path)[1]
    opened = video._decoders[video.os.getpid()]
    assert len(opened) == video.OPEN_DECODERS and paths[1] in opened and paths[3] not in opened


def test_decoders_that_are_given_up_are_closed_at_once(tmp_path):
    """Not when the garbage collector comes: each holds megabytes."""
    paths = [tmp_path / f"{k}.mp4" for k in range(video.OPEN_DECODERS + 3)]
    for path in paths:
        write_video(path, 3)
    gc.collect()
    gc.disable()
    try:
        for path in 3 * paths:
            VideoFrames(path)[1]
        held = [o for o in gc.get_objects() if type(o).__name__ == "InputContainer"]
        assert len(held) == video.OPEN_DECODERS
    finally:
        gc.enable()


def test_threads_that_take_decoders_from_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "OPEN_DECODERS", 1)
    paths = [tmp_path / f"{k}.mp4" for k in range(4)]
    for k, path in enumerate(paths):
        write_video(path, 6 + k)
    expected = {path: all_frames(path) for path in paths}

    def read(path: Path) -> bool:
        wanted = [5, 0, 3]
        frames = VideoFrames(path)
        return all(np.array_equal(frames[wanted], expected[path][wanted]) for _ in range(20))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, paths * 2))


def test_a_replaced_file_is_read_anew(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 5)
    assert len(VideoFrames(path)) == 5
    VideoFrames(path)[2]
    write_video(path, 9, size=(32, 32))
    assert VideoFrames(path)[8].shape == (32, 32, 3)


@pytest.mark.parametrize("faststart", [False, True])
def test_truncated_files_are_named(tmp_path, faststart):
    path = tmp_path / "v.mp4"
    options = {"movflags": "faststart"} if faststart else {}
    write_video(path, 30, container_options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(CorruptFileError) as error:
        VideoFrames(path)
    assert error.value.file == str(path)


def test_other_bad_files_are_named(tmp_path):
    missing = tmp_path / "missing.mp4"
    with pytest.raises(CorruptFileError, match=r"missing\.mp4: cannot be opened: No such file"):
        VideoFrames(missing)
    for name, content in (("empty.mp4", b""), ("text.mp4", b"hello" * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFileError, match=f"{name}: not a readable video"):
            VideoFrames(tmp_path / name)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(CorruptFileError, match="has no video stream"):
        VideoFrames(sound)


def test_damage_inside_the_file_is_found_when_decoding(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 30, codec="libsvtav1", options={"g": "5", "preset": "12"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 200
    data[begin : begin + len(data) // 3] = bytes(len(data) // 3)
    path.write_bytes(data)
    frames = VideoFrames(path)
    with pytest.raises(CorruptFileError) as error:
        frames[:]
    assert error.value.file == str(path)
