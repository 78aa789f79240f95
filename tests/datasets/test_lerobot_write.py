"""LeRobot v3.0 folders that this project writes: content, files, statistics and rates."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_episodes import CAMERA, FAST, made, smooth
from PIL import Image

from robocache.core import AlignmentPolicy, Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError, TimesError
from robocache.datasets.frames import EncodedFrames
from robocache.datasets.lerobot import LeRobotDataset, VideoSettings, write_lerobot


def test_what_was_written_is_read_again(tmp_path):
    episodes = [made(k, steps=18 + k) for k in range(3)]
    dataset = write_lerobot(iter(episodes), tmp_path / "out", robot_type="arm", video=FAST)
    assert list(dataset.problems()) == []
    assert dataset.keys() == [episode.key for episode in episodes]
    for before, after in zip(episodes, dataset, strict=True):
        after.check()
        assert list(after.streams) == list(before.streams)
        assert after.outcome == before.outcome and after.instruction == before.instruction
        assert after.provenance == before.provenance and after.start_ns == before.start_ns
        for name, stream in before.streams.items():
            other = after.stream(name)
            assert other.spec.to_json() == {**stream.spec.to_json(), "clock": "synthetic"}
            np.testing.assert_array_equal(other.times_s, stream.times_s)
            np.testing.assert_array_equal(other.usable_s(), stream.usable_s())
            if name == CAMERA:
                difference = np.abs(np.subtract(other.values[:], stream.values, dtype=np.int16))
                assert difference.mean() < 6
            else:
                np.testing.assert_array_equal(other.values, stream.values)
    report = dataset.report()
    assert report["robot"] == "arm" and report["resampled"] == {"episodes": 0, "streams": {}}
    assert report["frames"] == 18 + 19 + 20


def schema_of(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_files_are_those_of_the_lerobot_package(tmp_path, shared_data):
    official = shared_data / "lerobot_v30_written"
    write_lerobot(LeRobotDataset(official), tmp_path / "out", robot_type="panda")
    mine = tmp_path / "out"
    names = [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        f"videos/{CAMERA}/chunk-000/file-000.mp4",
    ]
    assert all((mine / name).is_file() and (official / name).is_file() for name in names)
    theirs = schema_of(official / names[0])
    del theirs["observation.images.wrist"]  # a column there, a video here
    assert schema_of(mine / names[0]) == theirs
    listed = {n: t for n, t in schema_of(mine / names[1]).items() if not n.startswith("robocache/")}
    wrist = "videos/observation.images.wrist/"
    assert {n: t for n, t in listed.items() if not n.startswith(wrist)} == schema_of(
        official / names[1]
    )
    infos = [json.loads((root / names[2]).read_text()) for root in (mine, official)]
    assert list(infos[0])[:-1] == list(infos[1])
    for name in ("codebase_version", "fps", "splits", "total_frames", "data_path", "video_path"):
        assert infos[0][name] == infos[1][name]
    assert infos[0]["features"][CAMERA] == infos[1]["features"][CAMERA]
    groups = [pq.ParquetFile(root / names[0]).metadata for root in (mine, official)]
    for ours, theirs in zip(*([g.row_group(k).num_rows for k in range(4)] for g in groups)):
        assert ours == theirs
    hub = [
        json.loads(pq.read_schema(r / names[0]).metadata[b"huggingface"]) for r in (mine, official)
    ]
    told = hub[1]["info"]["features"]
    del told["observation.images.wrist"]
    assert hub[0]["info"]["features"] == told
    tasks = [pq.read_table(root / names[4]).to_pydict() for root in (mine, official)]
    assert tasks[0] == tasks[1]


def test_statistics_follow_the_lerobot_package(tmp_path, shared_data):
    official = shared_data / "lerobot_v30_written"
    write_lerobot(LeRobotDataset(official), tmp_path / "out", cameras="image")
    for row, expected in zip(
        pq.read_table(tmp_path / "out/meta/episodes").to_pylist(),
        pq.read_table(official / "meta/episodes").to_pylist(),
        strict=True,
    ):
        for name in ("observation.state", "action", "timestamp", "index", "task_index"):
            for kind in ("min", "max", "mean", "std", "count"):
                at = f"stats/{name}/{kind}"
                np.testing.assert_allclose(row[at], expected[at], rtol=1e-5, atol=1e-7)
        wrist = "stats/observation.images.wrist"
        for kind in ("min", "max", "mean", "q01", "q50", "q99", "count"):
            mine, theirs = np.array(row[f"{wrist}/{kind}"]), np.array(expected[f"{wrist}/{kind}"])
            assert mine.shape == theirs.shape
            np.testing.assert_allclose(mine, theirs, atol=0.006)
    total = json.loads((tmp_path / "out/meta/stats.json").read_text())["action"]
    theirs = json.loads((official / "meta/stats.json").read_text())["action"]
    for kind in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(total[kind], theirs[kind], rtol=1e-6)


def test_statistics_of_a_hand_example(tmp_path):
    times = np.arange(4) / 10
    values = np.array([[1.0], [2.0], [3.0], [6.0]], np.float32)
    pictures = np.zeros((4, 2, 2, 3), np.uint8)
    pictures[..., 1] = np.array([0, 51, 102, 255])[:, None, None]
    episode = Episode(
        "a",
        {
            "action": Stream(values, times, StreamSpec((1,), rate_hz=10.0)),
            "eye": Stream(pictures, times, StreamSpec((2, 2, 3), "uint8", 10.0)),
        },
    )
    again = Episode("b", episode.streams)
    write_lerobot([episode, again], tmp_path / "out", cameras="image")
    found = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert found["action"]["mean"] == [3.0] and found["action"]["count"] == [8]
    np.testing.assert_allclose(found["action"]["std"], [np.sqrt(14 / 4)])
    np.testing.assert_allclose(found["action"]["q50"], [2.5])
    assert np.array(found["eye"]["mean"]).shape == (3, 1, 1)
    np.testing.assert_allclose(np.ravel(found["eye"]["mean"]), [0, 0.4, 0])
    np.testing.assert_allclose(np.ravel(found["eye"]["max"]), [0, 1, 0])
    np.testing.assert_allclose(np.ravel(found["eye"]["q50"]), [0, 0.2, 0])
    np.testing.assert_allclose(found["eye"]["std"][1], np.std([0, 0.2, 0.4, 1]))


def test_several_clocks_come_to_one_rate(tmp_path):
    steps = 20
    fast, slow = np.arange(10 * steps) / 100, np.arange(steps) / 10
    linear = AlignmentPolicy("linear")
    episode = Episode(
        "a",
        {
            "joints": Stream(
                (2 * fast[:, None]).astype(np.float32),
                fast,
                StreamSpec((1,), rate_hz=100.0, alignment=linear),
            ),
            "eye": Stream(
                smooth(steps, 0), slow, StreamSpec((48, 64, 3), "uint8", 10.0), slow + 0.1
            ),
            "goal": Stream(np.float32([[7.0]]), np.zeros(1), StreamSpec((1,))),
            "action": Stream(
                slow[:, None].astype(np.float32), slow, StreamSpec((1,), rate_hz=10.0), slow + 0.1
            ),
        },
    )
    with pytest.raises(ConfigError, match="joints 100 Hz, eye 10 Hz, goal once, action 10 Hz"):
        write_lerobot([episode], tmp_path / "out")
    dataset = write_lerobot([episode], tmp_path / "out", fps=10, cameras="image")
    assert list(dataset.problems()) == []
    after = dataset[0]
    assert len(after.stream("action")) == steps - 1  # the first picture comes 0.1 s late
    np.testing.assert_allclose(after.stream("joints").values[:, 0], 2 * slow[1:], atol=1e-6)
    np.testing.assert_array_equal(after.stream("action").values[:, 0], slow[1:].astype(np.float32))
    np.testing.assert_array_equal(after.stream("eye").values[:], smooth(steps, 0)[:-1])
    assert (after.stream("goal").values == 7).all()
    assert after.start_ns == 100_000_000
    told = dataset.report()["resampled"]
    assert told["episodes"] == 1 and told["streams"]["joints"] == {
        "method": "linear",
        "from_hz": 100.0,
    }


def test_gaps_are_not_filled(tmp_path):
    times = np.array([0.0, 0.1, 0.2, 0.8, 0.9])
    held = AlignmentPolicy("previous", max_gap_s=0.15)
    gap = Stream(np.ones((5, 1), np.float32), times, StreamSpec((1,), rate_hz=10.0, alignment=held))
    even = np.arange(10) / 10
    action = Stream(np.ones((10, 1), np.float32), even, StreamSpec((1,), rate_hz=10.0))
    with pytest.raises(TimesError, match=r"not all .* known at 0\.400 s") as caught:
        write_lerobot([Episode("a", {"force": gap, "action": action})], tmp_path / "out")
    assert caught.value.episode == "a" and not (tmp_path / "out").exists()


def test_pictures_that_are_encoded_stay_as_they_are(tmp_path):
    def encoded(kind: str) -> list[bytes]:
        cells = []
        for picture in smooth(6, 3):
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, format=kind)
            cells.append(buffer.getvalue())
        return cells

    for kind in ("png", "jpeg"):
        cells = encoded(kind)
        spec = StreamSpec((48, 64, 3), "uint8", 10.0)
        episode = Episode("a", {"eye": Stream(EncodedFrames(cells), np.arange(6) / 10, spec)})
        write_lerobot([episode], tmp_path / kind, cameras="image")
        stored = pq.read_table(tmp_path / kind / "data")["eye"].to_pylist()
        assert [cell["bytes"] for cell in stored] == cells


def test_files_turn_when_they_are_full(tmp_path):
    small = VideoSettings(codec="h264", file_megabytes=0.004)
    episodes = [made(k, steps=80) for k in range(5)]
    dataset = write_lerobot(episodes, tmp_path / "out", video=small)
    files = sorted((tmp_path / "out/videos").rglob("*.mp4"))
    assert len(files) > 1 and list(dataset.problems()) == []
    for before, after in zip(episodes, dataset, strict=True):
        difference = np.subtract(
            after.stream(CAMERA).values[:], before.stream(CAMERA).values, dtype=int
        )
        assert np.abs(difference).mean() < 6


@pytest.mark.parametrize("codec", ["av1", "h264"])
@pytest.mark.parametrize("rate_hz", [10.0, 12.5, 29.97])
def test_codec_rate_and_keyframes(tmp_path, codec, rate_hz):
    episodes = [made(k, steps=7, rate_hz=rate_hz) for k in range(2)]
    settings = VideoSettings(codec=codec)
    dataset = write_lerobot(episodes, tmp_path / "out", video=settings, streams=[CAMERA, "action"])
    assert list(dataset.problems()) == [] and list(dataset[0].streams) == [CAMERA, "action"]
    (path,) = (tmp_path / "out").rglob("*.mp4")
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert len(packets) == 14 and sum(p.is_keyframe for p in packets) >= 7
    assert dataset.source.folder.info.features[CAMERA].codec == codec
    assert json.loads((tmp_path / "out/meta/info.json").read_text())["fps"] == rate_hz


def test_pandas_metadata_names_the_words_as_index(tmp_path):
    write_lerobot([made(0), made(1)], tmp_path / "out", cameras="image")
    schema = pq.read_schema(tmp_path / "out/meta/tasks.parquet")
    told = json.loads(schema.metadata[b"pandas"])
    assert told["index_columns"] == ["__index_level_0__"]
    assert schema.field("task_index").type == pa.int64()
