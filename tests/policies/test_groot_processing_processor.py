"""Samples to batches and back, and the processor's files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_groot_processing import (
    HORIZON,
    SETTINGS,
    TAG,
    WIDTHS,
    config,
    processor,
    sample,
    statistics,
)

from robocache.core.errors import (
    CheckpointError,
    ConfigError,
    CorruptFileError,
    DataError,
    MissingStreamError,
    ShapeError,
)
from robocache.core.seeding import generator
from robocache.policies.groot_n16.processing.compat import Compat
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.text import GrootTokenizer

pytest.importorskip("cv2", reason="opencv is not installed")
pytest.importorskip("tokenizers", reason="tokenizers is not installed")


def test_a_batch_has_the_public_shape() -> None:
    batch = processor().encode([sample(0), sample(1)], TAG)
    assert batch["state"].shape == (2, 1, 40)
    assert batch["action"].shape == batch["action_mask"].shape == (2, 6, 36)
    assert batch["embodiment_id"].tolist() == [10, 10]
    assert batch["image_sizes"].tolist() == [[252, 252]] * 4
    assert [tuple(p.shape) for p in batch["pixel_values"]] == [(1, 3, 252, 252)] * 4
    assert (batch["input_ids"] == processor().tokenizer.image_token_id).sum() == 2 * 2 * 81
    dtypes = {name: v.dtype for name, v in batch.items() if isinstance(v, torch.Tensor)}
    integers = {name for name, dtype in dtypes.items() if dtype == torch.int64}
    assert integers == {"input_ids", "attention_mask", "image_sizes", "embodiment_id"}
    assert {dtypes[n] for n in dtypes.keys() - integers} == {torch.float32}


def test_padding_is_zero_and_masked() -> None:
    batch = processor().encode([sample(0)], TAG)
    width = sum(WIDTHS.values())
    assert batch["action_mask"].sum() == HORIZON * width
    assert batch["action_mask"][0, :HORIZON, :width].all()
    assert batch["action"][0, HORIZON:].abs().max() == 0
    assert batch["action"][0, :, width:].abs().max() == 0
    assert batch["state"][0, :, width + 2 :].abs().max() == 0  # sine and cosine of two angles
    assert batch["state"][0, 0, width + 1] != 0


def test_steps_past_the_end_do_not_count() -> None:
    short = {**sample(0), "action_valid": np.array([True, True, False, False])}
    width = sum(WIDTHS.values())
    assert processor().encode([short], TAG)["action_mask"].sum() == 2 * width
    public = processor(Compat.public()).encode([short], TAG)
    assert public["action_mask"].sum() == HORIZON * width
    with pytest.raises(ShapeError, match=r"expected shape \(4,\)"):
        processor().encode([{**short, "action_valid": np.ones(3, bool)}], TAG)


def test_a_sample_does_not_depend_on_the_others() -> None:
    ours = processor()
    samples = [sample(n) for n in range(3)]
    batch, back = ours.encode(samples, TAG), ours.encode(samples[::-1], TAG)
    for name in ("state", "action", "action_mask", "input_ids", "attention_mask"):
        assert torch.equal(batch[name], back[name].flip(0))  # type: ignore[literal-required]
    alone = ours.encode(samples[1:2], TAG)
    assert torch.equal(alone["pixel_values"][1], batch["pixel_values"][3])
    assert torch.equal(back["pixel_values"][0], batch["pixel_values"][4])


def test_wider_padding_changes_nothing_inside() -> None:
    wide = processor(settings=replace(SETTINGS, max_state_dim=64, max_action_dim=64))
    large, small = wide.encode([sample(0)], TAG), processor().encode([sample(0)], TAG)
    assert torch.equal(large["state"][..., :40], small["state"])
    assert torch.equal(large["action"][..., :36], small["action"])
    assert torch.equal(large["action_mask"][..., :36], small["action_mask"])
    assert large["action_mask"].sum() == small["action_mask"].sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_actions_come_back(dtype: torch.dtype) -> None:
    ours = processor()
    samples = [sample(n) for n in range(5)]
    batch = ours.encode(samples, TAG)
    back = ours.decode_actions(batch["action"].to(dtype), [s["state"] for s in samples], TAG)
    assert list(back) == list(WIDTHS)
    for key, values in back.items():
        assert values.dtype == np.float32
        assert values.shape == (5, HORIZON, WIDTHS[key])
        expected = np.stack([s["action"][key] for s in samples])
        np.testing.assert_allclose(values, expected, atol=1e-5, err_msg=key)


def test_frames_are_ordered_by_time_then_view() -> None:
    two = replace(config(), video=replace(config().video, delta_indices=(-1, 0)))
    ours = GrootProcessor(SETTINGS, {TAG: two}, {TAG: statistics()}, GrootTokenizer.bytes_only())
    grey = {"left": (10, 20), "right": (30, 40)}
    video = {
        view: np.stack([np.full((28, 28, 3), level, np.uint8) for level in levels])
        for view, levels in grey.items()
    }
    batch = ours.encode([{**sample(0), "video": video}], TAG)
    levels = [round(float(p.mean()) * 127.5 + 127.5) for p in batch["pixel_values"]]
    assert levels == [10, 30, 20, 40]


def test_training_pictures_follow_from_their_generator() -> None:
    jittering = replace(SETTINGS, color_jitter_params={"brightness": 0.3}, random_rotation_angle=5)
    ours = processor(settings=jittering)
    same = sample(0)
    same["video"] = dict.fromkeys(("left", "right"), same["video"]["left"])

    def encoded(*episodes: int) -> list[torch.Tensor]:
        random = [generator(0, "images", episode) for episode in episodes]
        return ours.encode([same] * len(episodes), TAG, random=random)["pixel_values"]

    first = encoded(7, 8)
    assert torch.equal(first[0], first[1])  # one draw for all views
    assert not torch.equal(first[0], first[2])
    assert torch.equal(encoded(8)[0], first[2])
    assert not torch.equal(ours.encode([same], TAG)["pixel_values"][0], first[0])


def test_several_embodiments_share_a_batch() -> None:
    ours = processor().with_embodiment(config("gr1"), statistics())
    batch = ours.encode([sample(0), sample(1)], [TAG, "gr1"])
    assert batch["embodiment_id"].tolist() == [10, 20]
    with pytest.raises(ConfigError, match="unknown embodiment 'mine'"):
        ours.with_embodiment(config("mine"), statistics())
    known = ours.with_embodiment(config("mine"), statistics(), embodiment_id=31)
    assert known.encode([sample(0)], "mine")["embodiment_id"].tolist() == [31]


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"language": ""}, DataError, "empty"),
        ({"language": "?!"}, DataError, "empty"),
        ({"language": None}, DataError, "expected an instruction"),
        ({"video": {}}, MissingStreamError, "video.left"),
        ({"video": {"left": np.zeros((1, 4, 4))}}, ShapeError, "video.left"),
        ({"video": {"left": [[1, 2], [3]]}}, ShapeError, "video.left"),
        ({"state": {}}, MissingStreamError, "state.arm"),
        ({"state": np.zeros((1, 3))}, DataError, "state.*expected arrays by name, got ndarray"),
        ({"state": {"arm": [[1, 2], [3]]}}, ShapeError, "state.arm"),
        ({"action": {}}, MissingStreamError, "action.arm"),
    ],
)
def test_bad_samples_name_the_embodiment(
    change: dict[str, Any], error: type[DataError], problem: str
) -> None:
    wrong: Any = {**sample(0), **change}
    with pytest.raises(error, match=problem) as raised:
        processor().encode([wrong], TAG)
    assert f"embodiment {TAG}" in str(raised.value)


def test_bad_calls_are_refused() -> None:
    ours = processor()
    with pytest.raises(ConfigError, match="did you mean 'new_embodiment'"):
        ours.encode([sample(0)], "new_embodimen")
    with pytest.raises(ConfigError, match="0 samples"):
        ours.encode([], TAG)
    with pytest.raises(ConfigError, match="1 samples of 2"):
        ours.encode([sample(0)], [TAG, TAG])
    with pytest.raises(ConfigError, match="0 random generators"):
        ours.encode([sample(0)], TAG, random=[])
    with pytest.raises(DataError, match="sample 1 of the batch has no action"):
        ours.encode([sample(0), sample(1, action=False)], TAG)
    assert "action" not in ours.encode([sample(0, action=False)], TAG)
    with pytest.raises(ShapeError, match="at least 4, at least 22"):
        ours.decode_actions(np.zeros((1, 3, 36), np.float32), None, TAG)
    with pytest.raises(ShapeError, match="0 states for 1 actions"):
        ours.decode_actions(np.zeros((1, 6, 36), np.float32), [], TAG)
    narrow = processor(settings=replace(SETTINGS, max_action_dim=21))
    with pytest.raises(ConfigError, match="22 dimensions do not fit"):
        narrow.encode([sample(0)], TAG)
    narrow = processor(settings=replace(SETTINGS, max_state_dim=23))
    with pytest.raises(ShapeError, match="24 dimensions do not fit"):
        narrow.encode([sample(0)], TAG)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_what_is_saved_loads_and_saves_the_same(tmp_path: Path) -> None:
    ours = processor(Compat(letterbox=False))
    ours.save_pretrained(tmp_path / "a")
    again = GrootProcessor.from_pretrained(tmp_path / "a")
    assert again.compat == Compat(letterbox=False)
    assert again.embodiments == ours.embodiments
    again.save_pretrained(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    left, right = (p.encode([sample(0)], TAG) for p in (ours, again))
    assert torch.equal(left["action"], right["action"])
    assert torch.equal(left["input_ids"], right["input_ids"])


def test_public_files_are_kept_as_they_are(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data.parent / "oracles" / "groot_n16" / "processor"
    if not source.is_dir():
        pytest.skip("no oracle: ../shared/oracles/groot_n16")
    tokenizer = GrootTokenizer.bytes_only()
    loaded = GrootProcessor.from_pretrained(source, tokenizer=tokenizer)
    assert loaded.compat == Compat.for_public_weights()
    loaded.save_pretrained(tmp_path)
    for path in source.iterdir():
        assert json.loads(path.read_text()) == json.loads((tmp_path / path.name).read_text())
    changed = GrootProcessor.from_pretrained(source, tokenizer=tokenizer, max_action_dim=32)
    assert changed.settings.max_action_dim == 32
    with pytest.raises(ConfigError, match="did you mean 'max_action_dim'"):
        GrootProcessor.from_pretrained(source, tokenizer=tokenizer, max_action_dims=32)
    with pytest.raises(ConfigError, match="no tokenizer in"):
        GrootProcessor.from_pretrained(source)


def edited(folder: Path, name: str, **fields: Any) -> Path:
    path = folder / "processor_config.json"
    data = json.loads(path.read_text())
    (data if name == "top" else data["processor_kwargs"]).update(fields)
    path.write_text(json.dumps(data))
    return folder


def test_unknown_settings_are_kept_and_absent_ones_not_made_up(tmp_path: Path) -> None:
    processor().save_pretrained(tmp_path / "a")
    config_path = edited(tmp_path / "a", "kwargs", novelty=[1]) / "processor_config.json"
    data = json.loads(config_path.read_text())
    del data["processor_kwargs"]["clip_outliers"]
    config_path.write_text(json.dumps(data))
    GrootProcessor.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    assert json.loads((tmp_path / "b" / "processor_config.json").read_text()) == data


def test_unsupported_augmentation_matters_only_in_training(tmp_path: Path) -> None:
    processor().save_pretrained(tmp_path)
    edited(tmp_path, "kwargs", extra_augmentation_config={"noise": 1})
    loaded = GrootProcessor.from_pretrained(tmp_path)
    loaded.encode([sample(0)], TAG)
    with pytest.raises(ConfigError, match="extra_augmentation_config"):
        loaded.encode([sample(0)], TAG, random=[generator(0, "images")])


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("top", {"processor_class": "Gr00tN1d7Processor"}, "N1, N1.5 and N1.7"),
        ("kwargs", {"image_target_size": [224, 224]}, "image_target_size"),
        ("kwargs", {"use_albumentations": False}, "use_albumentations"),
        ("kwargs", {"max_state_dim": 0}, "max_state_dim"),
        ("kwargs", {"use_percentiles": 1}, "use_percentiles is true or false"),
        ("kwargs", {"crop_fraction": None}, "crop_fraction"),
        ("kwargs", {"shortest_image_edge": None}, "shortest_image_edge"),
    ],
)
def test_other_configurations_are_refused(
    tmp_path: Path, name: str, fields: dict[str, Any], problem: str
) -> None:
    processor().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=problem):
        GrootProcessor.from_pretrained(edited(tmp_path, name, **fields))


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no processor_config\.json"):
        GrootProcessor.from_pretrained(tmp_path)
    processor().save_pretrained(tmp_path)
    for name in ("processor_config.json", "statistics.json", "embodiment_id.json"):
        before = (tmp_path / name).read_text()
        for broken in (before[:-3], "[]"):
            (tmp_path / name).write_text(broken)
            with pytest.raises(CorruptFileError) as raised:
                GrootProcessor.from_pretrained(tmp_path)
            assert raised.value.file == str(tmp_path / name)
        (tmp_path / name).write_text(before)
    (tmp_path / "statistics.json").unlink()
    with pytest.raises(CheckpointError, match=r"no statistics\.json"):
        GrootProcessor.from_pretrained(tmp_path)
    (tmp_path / "embodiment_id.json").write_text('{"gr1": "x"}')
    with pytest.raises(CorruptFileError, match="gr1 has the id 'x'"):
        GrootProcessor.from_pretrained(tmp_path)
