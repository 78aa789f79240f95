"""Names and units of the numbers of a sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lerobot_folder import add_feature, make_folder

from robocache.core.stream import StreamSpec
from robocache.datasets.dimensions import Dimension, stream_dimensions, told_dimensions
from robocache.datasets.lerobot import LeRobotDataset
from robocache.datasets.rlds.conventions import convention_of
from robocache.datasets.views import Joined, View, rename_streams, select

PARTS = {"action": {"arm": {"start": 0, "end": 2}}}


def folder(root: Path, names: object, parts: object = None) -> LeRobotDataset:
    """Three actions with these `names` in info.json and these parts in modality.json."""
    place = make_folder(root)
    add_feature(place, "action", {"dtype": "float64", "shape": [3], "names": names})
    if parts is not None:
        (place / "meta" / "modality.json").write_text(json.dumps(parts))
    return LeRobotDataset(place)


def names(dataset: object, stream: str = "action") -> list[str]:
    return [one.name for one in told_dimensions(dataset, stream)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "parts", "found"),
    [
        (["x", "y", "g"], None, ["x", "y", "g"]),
        ([["x", "y", "g"]], None, ["x", "y", "g"]),
        ({"motors": ["x", "y", "g"]}, None, ["x", "y", "g"]),
        ({"x": 0, "y": 1, "g": 2}, None, ["x", "y", "g"]),
        (["m_0", "m_1", "m_2"], None, ["m_0", "m_1", "m_2"]),
        (["m_0", "m_1", "m_2"], PARTS, ["arm[0]", "arm[1]", "2"]),
        (["x", "y", "g"], PARTS, ["x", "y", "g"]),
        (None, PARTS, ["arm[0]", "arm[1]", "2"]),
        (["x", "y"], None, []),
        ([1, 2, 3], None, []),
        (None, None, []),
    ],
)
def test_lerobot(tmp_path: Path, declared: object, parts: object, found: list[str]) -> None:
    assert names(folder(tmp_path, declared, parts)) == found


def test_lerobot_parts_and_what_is_not_there(tmp_path: Path) -> None:
    dataset = folder(tmp_path, ["x", "y", "g"], PARTS)
    assert names(dataset, "action.arm") == ["x", "y"]
    assert names(dataset, "nothing") == []


def test_views_pass_names_on_where_they_still_hold(tmp_path: Path) -> None:
    dataset = folder(tmp_path, ["x", "y", "g"])
    assert names(rename_streams(dataset, {"action": "command"}), "command") == ["x", "y", "g"]
    assert names(select(dataset, dataset.keys()[:1])) == ["x", "y", "g"]
    assert names(View(dataset, {"change": 1}, change=lambda episode: episode)) == []
    assert names(Joined([select(dataset, [key]) for key in dataset.keys()[:2]])) == ["x", "y", "g"]


def test_what_is_not_known_is_numbered_in_the_unit_of_the_stream(tmp_path: Path) -> None:
    dataset = folder(tmp_path, ["x", "y", "g"])
    known = stream_dimensions(dataset, "action", StreamSpec((3,), unit="m"))
    assert [str(one) for one in known] == ["x (m)", "y (m)", "g (m)"]
    of_two = stream_dimensions(dataset, "action", StreamSpec((2,), unit="rad"))
    assert of_two == (Dimension("0", "rad"), Dimension("1", "rad"))
    mixed = stream_dimensions(dataset, "action", StreamSpec((3,), unit="m, share open"))
    assert [str(one) for one in mixed] == ["x", "y", "g"]


def test_rlds_by_convention() -> None:
    told = convention_of("bridge_dataset").dimensions["action"]
    assert [str(one) for one in told][2:5] == ["z (m)", "roll (rad)", "pitch (rad)"]
    assert len(told) == 7 and "dimensions" not in repr(convention_of("bridge_dataset"))
