"""Pictures at another size: the filter, the same offline and live."""

from __future__ import annotations

import numpy as np
import pytest
from picture_episodes import picture_episode
from PIL import Image

from robocache.core import Samples, Stream, StreamInput, StreamSpec, Window
from robocache.core.errors import ConfigError, ShapeError
from robocache.datasets import LiveAligner, WindowTable
from robocache.datasets.resize import ResizedFrames, resize

SIZED = Window((StreamInput("camera", (-0.1, 0.0), size=(3, 2)),), "action", 10.0, 2)


def test_colours_are_averaged_over_the_area():
    frame = np.zeros((1, 4, 4, 3), np.uint8)
    frame[0, :2] = 200
    frame[0, :, :, 2] = 100
    assert resize(frame, (1, 1)).tolist() == [[[[100, 100, 100]]]]
    random = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    for size in ((30, 20), (48, 20), (96, 64), (7, 80)):
        picture = Image.fromarray(random[1]).resize(size[::-1], Image.Resampling.BILINEAR)
        assert np.abs(resize(random, size)[1].astype(int) - np.asarray(picture)).max() <= 1
        grey = Image.fromarray(random[1, ..., 0]).resize(size[::-1], Image.Resampling.BILINEAR)
        assert np.abs(resize(random[..., 0], size)[1].astype(int) - np.asarray(grey)).max() <= 1
    assert resize(random[:0], (5, 6)).shape == (0, 5, 6, 3)


def test_a_picture_is_the_same_whatever_it_comes_with():
    random = np.random.default_rng(0).integers(0, 256, (17, 50, 60, 3), np.uint8)
    whole = resize(random, (21, 33))
    for at in range(17):
        assert np.array_equal(resize(random[[at]], (21, 33))[0], whole[at])


def test_depth_takes_the_nearest_and_makes_nothing_up():
    depth = np.array([[[1, 1, 9, 9], [1, 1, 9, 9]]], np.uint16)
    assert resize(depth, (1, 2)).tolist() == [[[1, 9]]]
    assert set(np.unique(resize(depth, (5, 7)))) == {1, 9}
    assert np.isnan(resize(np.full((1, 4, 4), np.nan, np.float32), (2, 2))).all()


def test_frames_are_resized_when_they_are_asked_for():
    random = np.random.default_rng(0).integers(0, 256, (6, 8, 4, 3), np.uint8)
    frames = ResizedFrames(random, (4, 2))
    whole = resize(random, (4, 2))
    assert frames.shape == (6, 4, 2, 3)
    for index in (2, slice(1, 4), [5, 0], np.array([[0, 1], [2, 3]])):
        assert np.array_equal(frames[index], whole[index])


def test_the_same_offline_and_live():
    episode = picture_episode("a", 6)
    camera = episode.streams["camera"]
    table = WindowTable([episode], SIZED)
    assert table.specs["camera"].shape == (3, 2, 3)
    aligner = LiveAligner(SIZED.inputs, {"camera": camera.spec})
    for step, now in enumerate(camera.times_s):
        aligner.push("camera", Samples(camera.values[[step]], np.array([now])))
        live, offline = aligner.observe(now, ""), table.observation(step)
        assert live.values["camera"].shape == (2, 3, 2, 3)
        assert np.array_equal(live.values["camera"], offline.values["camera"])
        assert np.array_equal(live.valid["camera"], offline.valid["camera"])


def test_episodes_of_several_cameras_fit_when_they_are_brought_to_one_size():
    first, second = picture_episode("a", 5), picture_episode("b", 5)
    wide = np.zeros((5, 9, 9, 3), np.uint8)
    spec = StreamSpec((9, 9, 3), "uint8", 10.0)
    second.streams["camera"] = Stream(wide, np.arange(5) / 10, spec)
    assert len(WindowTable([first, second], SIZED)) == 10
    with pytest.raises(ShapeError, match="expected uint8"):
        WindowTable([first, second], Window((StreamInput("camera"),), "action", 10.0, 2))


def test_only_pictures_have_a_size():
    with pytest.raises(ConfigError, match="only"):
        StreamInput("state", size=(2, 2)).seen(StreamSpec((3,)))
    with pytest.raises(ConfigError, match="only"):
        LiveAligner([StreamInput("cloud", size=(2, 2))], {"cloud": StreamSpec((4, 4, 3))})
    with pytest.raises(ValueError, match="height and a width"):
        StreamInput("camera", size=(0, 2))
    view = StreamInput("camera", size=(3, 2))
    assert StreamInput.from_json(view.to_json()) == view
