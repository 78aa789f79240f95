"""Pictures in messages: raw, compressed, depth, and those that cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_bags import compressed, encoded, header, make, open_rows

from robocache.core.errors import CorruptFileError, ShapeError
from robocache.core.stream import Stream


def streams(tmp_path: Path, *rows: tuple[str, Any]) -> dict[str, Stream]:
    return dict(open_rows(tmp_path, *rows)[0].streams)


def raw(pixels: bytes, encoding: str, *, step: int, big: int = 0, height: int = 2) -> Any:
    return make(
        "sensor_msgs/msg/Image",
        header=header(1),
        height=height,
        width=3,
        encoding=encoding,
        is_bigendian=big,
        step=step,
        data=np.frombuffer(pixels, np.uint8),
    )


def test_raw_pictures(tmp_path: Path) -> None:
    colours = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    padded = np.zeros((2, 16), np.uint8)
    padded[:, :9] = colours.reshape(2, 9)
    depth = np.array([[1, 2, 700], [4, 5, 60000]], np.uint16)
    metres = np.array([[0.5, 1, np.nan], [2, 3, 4]], np.float32)
    found = streams(
        tmp_path,
        ("/rgb", raw(padded.tobytes(), "rgb8", step=16)),
        ("/bgr", raw(colours[:, :, ::-1].tobytes(), "bgr8", step=9)),
        ("/mono", raw(colours[:, :, 0].tobytes(), "mono8", step=3)),
        ("/depth", raw(depth.astype(">u2").tobytes(), "16UC1", step=6, big=1)),
        ("/metres", raw(metres.tobytes(), "32FC1", step=12)),
    )
    np.testing.assert_array_equal(found["/rgb"].values[0], colours)
    np.testing.assert_array_equal(found["/bgr"].values[0], colours)
    np.testing.assert_array_equal(found["/mono"].values[0], colours[:, :, 0])
    np.testing.assert_array_equal(found["/depth"].values[:], depth[None])
    np.testing.assert_array_equal(found["/metres"].values[0], metres)
    assert (found["/depth"].spec.unit, found["/metres"].spec.unit) == ("mm", "m")
    assert found["/depth"].spec.dtype == "uint16"


def test_raw_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    dataset = open_rows(
        tmp_path,
        ("/bayer", raw(bytes(6), "bayer_rggb8", step=3)),
        ("/short", raw(bytes(10), "rgb8", step=9)),
        ("/narrow", raw(bytes(18), "rgb8", step=5)),
        ("/empty", raw(b"", "rgb8", step=0, height=0)),
        ("/grows", raw(bytes(18), "rgb8", step=9)),
        ("/grows", raw(bytes(27), "rgb8", step=9, height=3)),
    )
    assert not dataset[0].streams
    problems = {problem.stream: str(problem) for problem in dataset.problems()}
    assert "Bayer pattern: convert it to rgb8" in problems["/bayer"]
    assert "2 x 3 rgb8 cannot be in 10 bytes with rows of 9" in problems["/short"]
    assert "rows of 5" in problems["/narrow"]
    assert "0 x 3 rgb8" in problems["/empty"]
    assert "pictures change" in problems["/grows"]


def test_compressed_pictures(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    depth = np.arange(16, dtype=np.uint16).reshape(4, 4) * 1000
    quantised = np.array([[0, 100], [200, 65535]], np.uint16)
    a, b = 150.0, 0.5
    head = np.array([0], "<i4").tobytes()
    found = streams(
        tmp_path,
        ("/png", compressed(1, encoded(rgb), "rgb8; png compressed bgr8")),
        (
            "/depth/compressedDepth",
            compressed(1, bytes(12) + encoded(depth), "16UC1; compressedDepth png"),
        ),
        (
            "/metres",
            compressed(
                1,
                head + np.array([a, b], "<f4").tobytes() + encoded(quantised),
                "32FC1; compressedDepth",
            ),
        ),
    )
    np.testing.assert_array_equal(found["/png"].values[0], rgb)
    np.testing.assert_array_equal(found["/depth/compressedDepth"].values[0], depth)
    expected = [[np.nan, a / (100 - b)], [a / (200 - b), a / (65535 - b)]]
    np.testing.assert_allclose(found["/metres"].values[0], expected, rtol=1e-6)
    assert found["/metres"].spec.unit == "m"


def test_a_picture_that_is_broken_names_its_place(tmp_path: Path) -> None:
    good = encoded(np.zeros((16, 16, 3), np.uint8), "JPEG")
    larger = encoded(np.zeros((16, 32, 3), np.uint8), "JPEG")
    rows = [("/camera", compressed(at, data)) for at, data in enumerate([good, b"junk", larger])]
    stream = open_rows(tmp_path, *rows)[0].streams["/camera"]
    with pytest.raises(CorruptFileError, match=r"bag\.mcap.*/camera.*picture 1"):
        stream.values[1]
    with pytest.raises(ShapeError, match="picture 2"):
        stream.values[2]
