"""Training on recordings of every format, and the refusal to judge on what was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robocache.cli import convert
from robocache.cli.open_loop import evaluate_recordings
from robocache.cli.overlap import FILE
from robocache.cli.reproduce import reproduce
from robocache.cli.train import last_checkpoint, train_all
from robocache.core import Episode, Outcome, Stream, StreamSpec
from robocache.core.errors import ConfigError
from robocache.datasets import open_dataset
from robocache.datasets.shards import write_shard
from robocache.runs import RunStore

TINY = (
    "trainer.steps=2",
    "trainer.batch_size=8",
    "trainer.threads=1",
    "policy.network.hidden=8",
    "policy.network.blocks=1",
    "policy.network.text_buckets=16",
    "policy.network.text_features=4",
)
OWN = (
    "policy=flow_lerobot",
    "policy.rate_hz=10",
    "policy.network.horizon=2",
    "policy.network.execute_steps=1",
    "policy.inputs=[{stream: observation.state, offsets_s: [0.0]}, {stream: action}]",
)


def write_dataset(folder: Path, names: dict[str, int], dtype: str = "float64") -> Path:
    """Episodes key -> number; equal numbers have equal content."""
    episodes = []
    for key, number in names.items():
        random = np.random.default_rng(number)
        times = np.arange(12) / 10
        spec = StreamSpec((2,), dtype, 10.0)
        streams = {
            name: Stream(random.normal(size=(12, 2)).astype(dtype), times, spec)
            for name in ("observation.state", "action")
        }
        episodes.append(Episode(key, streams, "go", Outcome(steps=12)))
    folder.mkdir()
    write_shard(folder / "0.episodes.parquet", episodes)
    return folder


@pytest.fixture
def demos(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "demos", {"a": 1, "b": 2, "c": 3})


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("bridge_rlds", ("policy=flow_bridge", "dataset_options={split: train}")),
        ("robomimic_hdf5/low_dim.hdf5", ("policy=flow_lift", "dataset_options.filter=train")),
        ("calvin", ("policy=flow_calvin",)),
        ("gr1_lerobot_v20", ("policy=flow_lerobot", "hold_out=[episode_000001,episode_000002]")),
    ],
)
def test_every_format_trains(shared_data: Path, path: str, settings: tuple[str, ...]) -> None:
    (run,) = train_all([f"dataset={shared_data / path}", *settings, *TINY], None)
    assert run.complete and last_checkpoint(run).is_dir()


def test_bridge_is_not_judged_on_its_own_training_episodes(shared_data: Path) -> None:
    bridge = f"dataset={shared_data / 'bridge_rlds'}"
    training = [bridge, "dataset_options={split: train}", "policy=flow_bridge", *TINY]
    (run,) = train_all(training, "bridge")
    judging = [bridge, "dataset_options.split=val", "samples=1", "stride=20"]
    with pytest.raises(ConfigError, match=r"25 of 25 .* val/000003 \(= train/000000\)"):
        evaluate_recordings(RunStore(), run.id, judging)
    evaluate_recordings(RunStore(), run.id, [*judging, "allow_training_episodes=true"])
    validation = [
        f"validation={shared_data / 'bridge_rlds'}",
        "validation_options={split: val}",
    ]
    with pytest.raises(ConfigError, match=r"25 of 25 .* val/000003 \(= train/000000\)"):
        train_all([*training, *validation], "refused")
    assert [record.id for record in RunStore().runs(run_id="refused")] == []


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_numbers_of_any_kind_are_learned_from(tmp_path: Path, dtype: str) -> None:
    demos = write_dataset(tmp_path / "demos", {"a": 1, "b": 2}, dtype)
    (run,) = train_all([f"dataset={demos}", *OWN, *TINY], None)
    assert run.complete


def test_what_was_trained_on_is_known_by_content(demos: Path, tmp_path: Path) -> None:
    (run,) = train_all([f"dataset={demos}", "hold_out=[c]", *OWN, *TINY], "first")
    known = json.loads((run.folder / FILE).read_text())
    assert sorted(known.values()) == ["a", "b"] and all(len(name) == 64 for name in known)

    other = write_dataset(tmp_path / "other", {"x": 2, "y": 4})  # x is b by another name
    with pytest.raises(ConfigError, match=r"1 of 2 episodes of other .*x \(= b\)"):
        evaluate_recordings(RunStore(), "first", [f"dataset={other}"])
    _, result = evaluate_recordings(RunStore(), "first", [f"dataset={other}", "episodes=[y]"])
    assert result.windows.sum() > 0
    evaluate_recordings(RunStore(), "first", [f"dataset={demos}", "episodes=[c]"])
    with pytest.raises(ConfigError, match=r"1 of 1 .*: b\. Judge"):
        evaluate_recordings(RunStore(), "first", [f"dataset={demos}", "episodes=[b]"])


def test_what_a_start_checkpoint_was_trained_on_counts(demos: Path, tmp_path: Path) -> None:
    train_all([f"dataset={demos}", *OWN, *TINY], "first")
    other = write_dataset(tmp_path / "other", {"x": 7})
    again = [text for text in TINY if text.startswith("trainer")]
    train_all([f"dataset={other}", "init_from=first", *again], "second")
    with pytest.raises(ConfigError, match="3 of 3"):
        evaluate_recordings(RunStore(), "second", [f"dataset={demos}"])


def test_a_checkpoint_of_unknown_training_is_judged_with_a_word(
    demos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (run,) = train_all([f"dataset={demos}", *OWN, *TINY], "first")
    copied = shutil.copytree(last_checkpoint(run), tmp_path / "away" / "copy")
    with pytest.raises(ConfigError, match="3 of 3"):  # its maker is known here
        evaluate_recordings(RunStore(), str(copied), [f"dataset={demos}"])
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path / "other-home"))
    evaluate_recordings(RunStore(), str(copied), [f"dataset={demos}", "samples=1"])
    assert "not known: which episodes" in capsys.readouterr().out


def test_validation_judges_checkpoints_and_is_found_again(demos: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", {"x": 7, "y": 8})
    settings = [f"dataset={demos}", f"validation={other}", *OWN, *TINY]
    (run,) = train_all([*settings, "trainer.evaluate_every=1"], "judged")
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    judged = [line for line in lines if "validation_policy" in line]
    assert [line["step"] for line in judged] == [1, 2]
    kept = RunStore().get("judged").metrics
    assert kept["validation_policy"] == judged[-1]["validation_policy"]
    _, result = evaluate_recordings(RunStore(), "judged", [f"dataset={other}", "samples=4"])
    assert result.overall()["policy"] == pytest.approx(kept["validation_policy"])
    assert result.overall()["mean"] == pytest.approx(kept["validation_mean"])
    assert reproduce("judged", None, keep=False).identical


def test_options_of_a_reader_are_kept_and_found_again(shared_data: Path) -> None:
    path = shared_data / "robomimic_hdf5" / "low_dim.hdf5"
    settings = [f"dataset={path}", "policy=flow_lift", *TINY]
    (part,) = train_all([*settings, "dataset_options.filter=train"], "part")
    (whole,) = train_all(settings, "whole")
    assert part.record.config["dataset_options"] == {"filter": "train"}
    assert "dataset_options" not in whole.record.config
    assert len(json.loads((part.folder / FILE).read_text())) == 2
    assert reproduce("part", None, keep=False).identical


def test_options_that_a_reader_does_not_have_are_refused(demos: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not take these options.*split"):
        train_all([f"dataset={demos}", "dataset_options.split=train", *OWN, *TINY], None)


def test_pictures_are_read_and_float_depth_is_refused(shared_data: Path) -> None:
    path = shared_data / "robomimic_hdf5" / "image_depth.hdf5"
    settings = [f"dataset={path}", "policy=flow_lift", *TINY]
    seeing = "policy.inputs=[{stream: obs/agentview_image}]"
    assert train_all([*settings, seeing], None)[0].complete
    with pytest.raises(ConfigError, match=r"'obs/agentview_depth', float32 \(84, 84, 1\)"):
        train_all([*settings, "policy.inputs=[{stream: obs/agentview_depth}]"], None)


def test_one_recording_is_split_in_time(shared_data: Path, tmp_path: Path) -> None:
    calvin = str(shared_data / "calvin")
    convert.trim(calvin, str(tmp_path / "early"), end=0.5, to="episodes")
    convert.trim(calvin, str(tmp_path / "late"), start=0.81, to="episodes")
    (run,) = train_all([f"dataset={tmp_path / 'early'}", "policy=flow_calvin", *TINY], None)
    judging = [f"dataset={tmp_path / 'late'}", "samples=1"]
    _, result = evaluate_recordings(RunStore(), run.id, judging)
    samples = [len(open_dataset(tmp_path / n)[0].stream("rel_actions")) for n in ("early", "late")]
    assert sum(samples) <= 40 and result.windows[0] == samples[1] - 1
