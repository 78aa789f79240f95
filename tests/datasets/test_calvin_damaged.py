"""CALVIN's folders that do not hold what they promise, and files that mean harm."""

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

from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
)
from robocache.datasets.calvin import CalvinDataset
from robocache.datasets.calvin.arrays import read_frame, read_npy
from robocache.datasets.calvin.pickles import read_pickle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return calvin_folder.write(tmp_path / "training")


def told(folder: Path) -> list[str]:
    return [str(problem) for problem in CalvinDataset(folder).problems()]


def change(folder: Path, number: int, **arrays: Any) -> None:
    held = {**calvin_folder.frame(number), **arrays}
    calvin_folder.write_frame(
        folder, number, {name: array for name, array in held.items() if array is not None}
    )


def test_missing_frames(folder: Path) -> None:
    for number in (103, 104, 106):
        (folder / f"episode_{number:07d}.npz").unlink()
    with pytest.raises(CorruptFileError, match="the frame is missing") as caught:
        CalvinDataset(folder)["play_0000100_0000107"]
    assert str(caught.value.file).endswith("episode_0000103.npz")
    assert caught.value.episode == "play_0000100_0000107"
    assert len(CalvinDataset(folder)[1].streams["actions"]) == 3
    (problem,) = told(folder)
    assert "3 of 8 frames of episode 100..107 are missing" in problem
    assert "episode_0000103.npz" in problem


def test_damaged_frames(folder: Path) -> None:
    path = folder / "episode_0000102.npz"
    whole = path.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "not a readable .npz file"),
        (b"", "not a readable .npz file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
    ):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=message) as caught:
            CalvinDataset(folder)[0]
        assert caught.value.file == str(path)
        assert len(told(folder)) == 1 and message in told(folder)[0]
    damaged = bytearray(whole)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start = archive.getinfo("rgb_static.npy").header_offset
    damaged[start + 120] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(CorruptFileError, match=r"not a readable \.npz file"):
        CalvinDataset(folder)[0].streams["rgb_static"].values[2]


def test_what_a_frame_lacks_or_has_otherwise(folder: Path) -> None:
    change(folder, 101, robot_obs=np.zeros(14))
    change(folder, 103, depth_static=None)
    change(folder, 105, rgb_static=np.zeros((8, 8, 3), np.uint8))
    change(folder, 109, actions=np.array([np.nan] * 7))
    text = "\n".join(told(folder))
    for part in (
        "episode_0000101.npz, stream robot_obs: (14,) float64, in the first frame (15,) float64",
        "episode_0000103.npz: has no depth_static",
        "episode_0000105.npz, stream rgb_static: the picture is black",
        "episode_0000109.npz, stream actions: is NaN or infinite",
    ):
        assert part in text
    dataset = CalvinDataset(folder)
    with pytest.raises(ShapeError, match=r"0000101\.npz"):
        dataset[0]
    with pytest.raises(NonFiniteError, match=r"109\.npz, episode play_\d*_\d*, stream actions"):
        dataset[1]


def test_repeated_and_spare_frames(folder: Path) -> None:
    again = (folder / "episode_0000104.npz").read_bytes()
    (folder / "episode_0000105.npz").write_bytes(again)
    calvin_folder.write_frame(folder, 500, calvin_folder.frame(500))
    text = told(folder)
    assert "1 frames are in no episode and are not read, first 500" in text[0]
    assert "episode_0000105.npz: the same as frame 104" in text[1]
    assert len(text) == 2


def test_ranges_that_are_none(folder: Path) -> None:
    np.save(folder / "ep_start_end_ids.npy", np.array([[100, 106], [105, 110], [9, 3]]))
    text = "\n".join(told(folder))
    assert "row 2 is no range of frames: 9..3" in text
    assert "episodes 100..106 and 105..110 share frames" in text
    assert "ep_lens.npy: does not agree" in text
    for bad in (np.zeros((2, 3), int), np.zeros(4, int), np.zeros((2, 2))):
        np.save(folder / "ep_start_end_ids.npy", bad)
        with pytest.raises(CorruptFileError, match=r"ids\.npy: expected"):
            CalvinDataset(folder)
    np.save(folder / "ep_start_end_ids.npy", np.array([[0, 2**60]]))
    with pytest.raises(CorruptFileError, match=r"episode_0000000\.npz"):
        CalvinDataset(folder)[0]
    np.save(folder / "ep_start_end_ids.npy", np.array([[100, 2**60]]))
    with pytest.raises(CorruptFileError, match="the frame is missing"):
        CalvinDataset(folder)[0]
    assert any("frames of episode 100.." in text for text in told(folder))


def test_wrong_scenes(tmp_path: Path) -> None:
    scenes: Any = {"calvin_scene_A": [100, 105], "calvin_scene_B": [104, 110]}
    text = told(calvin_folder.write(tmp_path / "a", scenes=scenes))
    assert "scenes 'calvin_scene_A' and 'calvin_scene_B' share frames" in text[0]
    assert "episode 100..107 is in no one scene" in text[1]
    text = told(calvin_folder.write(tmp_path / "b", scenes={"calvin_scene_A": "all"}))
    assert "scene 'calvin_scene_A' is no range of frames" in text[0]


def test_wrong_words(folder: Path) -> None:
    calvin_folder.write_words(
        folder, [(100, 104, "open", "t"), (106, 109, "cross", "t"), (5, "x", "no", "t"),
                 (101, 102, "  ", "t")]
    )  # fmt: skip
    text = "\n".join(told(folder))
    assert "annotation 2 is no window of words" in text
    assert "annotation 3 has no words" in text
    assert "annotation 1 ('cross') is about frames 106..109, which are not in one episode" in text
    assert len(CalvinDataset(folder, segments="language")) == 3
    calvin_folder.write_words(folder, [(100, 104, "open", "t")], info={"indx": []})
    assert "1 texts, 1 tasks, 0 windows" in told(folder)[0]
    calvin_folder.write_words(folder, [(100, 104, "open", "t")], language=3)
    assert "not CALVIN's annotations" in told(folder)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cameras: [unclosed", "not readable as YAML"),
        ("cameras: !!python/object/apply:os.system ['touch harm']", "not readable as YAML"),
        ("a: 2001-99-99", "not readable as YAML"),
        ("[" * 100_000, "not readable as YAML"),
        (f"a: &a {{x: 1}}\nb: {{<<: [{'*a, ' * 9}*a]}}", "aliases are refused"),
        ("env: {control_freq: -1}", "env.control_freq is -1"),
        ("cameras: {static: {fov: 10}}", "camera 'static' cannot be used"),
        ("cameras: {static: {fov: 200, width: 8, height: 8}}", "camera 'static' cannot be used"),
        (calvin_folder.CONFIG.replace("0.0, 1.0, 0.0", "0.0, 0.0, 0.0"), "give no pose"),
        ("version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_wrong_configurations(folder: Path, text: str, message: str) -> None:
    (folder / ".hydra" / "merged_config.yaml").write_text(text)
    problems = told(folder)
    assert message in problems[0] and "merged_config.yaml" in problems[0]
    assert any("the static camera is not described" in problem for problem in problems)
    dataset = CalvinDataset(folder)
    assert dataset[0].streams["actions"].spec.rate_hz == 30.0
    assert not Path("harm").exists()


class _Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_means_harm_is_refused(
    folder: Path, tmp_path: Path, protocol: int, monkeypatch: Any
) -> None:
    harm = tmp_path / "harm"
    payload = pickle.dumps({"language": _Harm(harm)}, protocol)
    with pytest.raises(CorruptFileError, match=r"mentions .*mkdir.*refused"):
        read_pickle(payload, "x.npy")
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
    prefix = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    for name in ("lang_annotations/auto_lang_ann.npy", "scene_info.npy"):
        (folder / name).write_bytes(prefix + payload)
    problems = told(folder)
    assert sum("which is refused" in problem for problem in problems) == 2
    assert CalvinDataset(folder, segments="language").keys() == []
    (folder / "ep_start_end_ids.npy").write_bytes(prefix + payload)
    with pytest.raises(CorruptFileError, match="refused"):
        CalvinDataset(folder)
    assert not harm.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cos\nsystem\n(S'touch harm'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\nndarray\n.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"(i__main__\nX\n.",  # INST
        b"P1\n.",  # PERSID
        b"\x80\x02\x82\x01.",  # EXT1
        b"}.garbage"[:1],
        b"((((.",
        b"0.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"(lp0\n(g0\nI1\nd.",  # a list as a key
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1000000000000\ntcnumpy\ndtype\n(S'f8'\ntR"
        b"I00\nS''\ntb.",
    ],
)
def test_pickles_that_are_not_plain_data(payload: bytes) -> None:
    with pytest.raises(CorruptFileError):
        read_pickle(payload, "x.npy")


def test_a_pickle_that_grows_without_end_ends(monkeypatch: Any) -> None:
    nested = b"\x80\x02)" + b"2\x86" * 200 + b"."  # (x, x) of (x, x) of ...: 2**200 items if walked
    assert isinstance(read_pickle(nested, "x.npy"), tuple)
    with pytest.raises(CorruptFileError, match="a key that is no text or number"):
        read_pickle(b"\x80\x02})" + b"2\x86" * 200 + b"Ns.", "x.npy")
    with pytest.raises(CorruptFileError):
        read_pickle(b"\x80\x02Nr\xff\xff\xff\x7fh\x00.", "x.npy")  # a memo of two thousand million


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_read(protocol: int) -> None:
    data = {
        "text": "öffne", "bytes": b"\x00\xff", "numbers": [1, -2, 2**70, 1.5, True, None],
        "pair": (3, 4), 5: {}, "nested": [[[]], ({"a": (1,)},)],
        "f8": np.arange(6.0).reshape(2, 3), "f4": np.asfortranarray(np.ones((2, 3), "f4")),
        "u1": np.array([1, 2], np.uint8), "bool": np.array([True, False]), "text array":
        np.array(["ab", "c"]), "scalar": np.float64(2.5), "int": np.int32(7), "empty": np.zeros(0),
        "objects": np.array([None, "x"], object),
    }  # fmt: skip
    found = read_pickle(pickle.dumps(data, protocol), "x.npy")
    assert found.keys() == data.keys()
    for name, value in data.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype
        else:
            assert found[name] == (value.tolist() if isinstance(value, np.ndarray) else value)


def test_a_promise_that_the_file_cannot_keep(folder: Path, tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }\n"
    prefix = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "a.npy").write_bytes(prefix + bytes(80))
    with pytest.raises(CorruptFileError, match="80 bytes of data for"):
        read_npy(tmp_path / "a.npy")
    path = folder / "episode_0000100.npz"
    for content in (prefix + bytes(80), prefix.replace(b"<f8", b"|O "), b"\x93NUMPY", b"x" * 500):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("actions.npy", content)
        with pytest.raises(DataError):
            CalvinDataset(folder)[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("actions.npy", bytes(2**27))  # 128 MB of zeros in 130 kB
    with pytest.raises(CorruptFileError, match="promises 134217728 bytes"):
        read_frame(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.npy", b"")
    with pytest.raises(CorruptFileError, match=r"holds '../../outside.npy'"):
        read_frame(path)


def test_without_frames(tmp_path: Path) -> None:
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[0, 1]]))
    with pytest.raises(CorruptFileError, match="holds no frames"):
        CalvinDataset(tmp_path)


def test_a_stream_that_is_not_there(folder: Path) -> None:
    with pytest.raises(MissingStreamError):
        CalvinDataset(folder)[0].stream("rgb_tactile")
