"""Training on several datasets at once: what is recorded, stopped, repeated and refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from command import Said, robocache
from mixed_datasets import MIX, SETTINGS, numbers, write_arm, write_hand
from scipy.spatial.transform import Rotation

import processes
import tiny
from robocache.cli.mixture import read_members, seen, take_mixture_file
from robocache.cli.overlap import FILE
from robocache.datasets import open_dataset
from robocache.policies import load_policy
from robocache.runs import RunStore, latest_checkpoint, list_checkpoints, read_manifest
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE

TRAIN = ("train", MIX, *SETTINGS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two datasets, and a home with a run on them."""
    folder = tmp_path_factory.mktemp("mixed")
    write_arm(folder / "arm", range(3))
    write_hand(folder / "hand", range(10, 15))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder / "home"))
        patch.chdir(folder)
        said = robocache(*TRAIN, "--name=mixed")
        assert said.code == 0, said.err
        assert "3 of 3 episodes of arm, 5 of 5 episodes of hand" in said.out
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    copied = shutil.copytree(trained, tmp_path / "mixed")
    monkeypatch.setenv("ROBOCACHE_HOME", str(copied / "home"))
    monkeypatch.chdir(copied)
    return copied


def run_folder(name: str = "mixed") -> Path:
    return RunStore().get(name).folder


def refused(*arguments: str) -> str:
    said = robocache(*arguments)
    assert said.code == 3, said
    return said.err


def left(name: str) -> tuple[bytes, bytes, str]:
    """The trace of a run, its raw weights, and the identity of its policy."""
    folder = run_folder(name)
    last = latest_checkpoint(folder)
    assert last is not None
    weights = (last / "training" / "weights.safetensors").read_bytes()
    identity = RunStore().get(name).metrics["checkpoint"]
    return (folder / "trace.bin").read_bytes(), weights, identity


def test_the_manifest_names_datasets_by_content_and_where_they_were(folder: Path) -> None:
    manifest = read_manifest(run_folder())
    prints = {name: open_dataset(folder / name).fingerprint for name in ("arm", "hand")}
    assert manifest["datasets"] == prints
    assert manifest["sources"] == {"mixture.arm": "arm", "mixture.hand": "hand"}
    mixture = manifest["config"]["mixture"]
    assert mixture["arm"] == {"dataset": prints["arm"], "weight": 3.0, "embodiment": "left arm"}
    assert mixture["hand"]["dataset"] == prints["hand"] and mixture["hand"]["weight"] == 1.0
    assert mixture["hand"]["transforms"][1] == {"gripper": {"kind": "closed"}}
    assert "dataset" not in manifest["config"] and manifest["metrics"]["windows"] == 8 * 12
    known = json.loads((run_folder() / FILE).read_text())
    assert sorted(known.values())[:4] == ["arm/arm-0", "arm/arm-1", "arm/arm-2", "hand/hand-10"]


def test_statistics_are_of_the_samples_that_are_drawn(folder: Path) -> None:
    """Three quarters of them are of the arm, and all are in its convention."""
    last = latest_checkpoint(run_folder())
    assert last is not None
    found = load_policy(last).statistics
    for place, stream in enumerate(("state", "action")):
        arm, hand = (
            np.concatenate([numbers(seed)[place] for seed in seeds])
            for seeds in (range(3), range(10, 15))
        )
        drawn = np.concatenate([np.repeat(arm, 5, axis=0), hand])  # 180 and 60 samples
        np.testing.assert_allclose(found[stream].mean, drawn.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(found[stream].std, drawn.std(axis=0), atol=1e-6)
        np.testing.assert_allclose(found[stream].minimum, drawn.min(axis=0), atol=1e-6)
        assert found[stream].count == 8 * 12


def test_it_is_shown_and_reported(folder: Path, tmp_path: Path) -> None:
    shown = robocache("runs", "show", "mixed")
    assert shown.code == 0 and "arm (" in shown.out and "hand (" in shown.out
    page = tmp_path / "page.html"
    assert robocache("report", "mixed", "--out", str(page)).code == 0
    assert "training on arm, hand" in page.read_text()
    assert robocache("runs", "check", "mixed").code == 0


def test_it_is_reproduced(folder: Path) -> None:
    said = robocache("reproduce", "mixed")
    assert said.code == 0 and "identical: 12 steps" in said.out, said


def test_a_changed_dataset_of_it_is_named(folder: Path) -> None:
    assert robocache(*TRAIN, "--name=here").code == 0
    shutil.rmtree(folder / "hand")
    assert "mixture.hand 'hand' (fingerprint" in refused("reproduce", "here")
    write_hand(folder / "hand", range(10, 14))
    said = robocache("reproduce", "here")
    assert said.code == 4 and "mixture.hand hand, fingerprint" in said.out, said


def test_neither_kills_nor_workers_nor_the_order_of_names_change_a_bit(folder: Path) -> None:
    settings = (*SETTINGS, "policy.inputs=[{stream: state}, {stream: camera}]", "trainer.steps=8")
    said = robocache("train", MIX, *settings, "--name=whole")
    assert said.code == 0, said.err
    arm, hand = MIX.removeprefix("mixture={").removesuffix("}").split(", hand: ")
    turned = f"mixture={{hand: {hand}, {arm}}}"
    killed = ("train", turned, *settings, "--name=killed")
    stopped = {CRASH_VARIABLE: "checkpoint-unrecorded"}
    assert processes.run(killed, folder / "home", variables=stopped).code == CRASH_STATUS
    assert list(list_checkpoints(run_folder("killed"))) == [4]
    ended = processes.run((*killed, "workers=1"), folder / "home")
    assert ended.code == 0, ended.output
    assert left("killed") == left("whole")
    configs = [read_manifest(run_folder(name))["config_hash"] for name in ("killed", "whole")]
    assert configs[0] == configs[1]


def test_a_file_says_the_same_and_the_command_goes_over_it(folder: Path) -> None:
    (folder / "mix.yaml").write_text(
        """
        arm: {dataset: arm, weight: 3, embodiment: left arm}
        hand:
          dataset: hand
          embodiment: hand
          rename: {observation.state: state, observation.images.front: camera}
          transforms:
            - scale: {factor: 0.001, columns: [0, 1]}
            - gripper: {kind: closed}
            - columns: {stream: state, columns: [1, 0]}
        """
    )
    said = robocache("train", "mixture=mix.yaml", *SETTINGS, "--name=mixed")
    assert said.code == 0 and "run mixed is complete" in said.out
    err = refused("train", "mixture=mix.yaml", "mixture.arm.weight=2", *SETTINGS, "--name=mixed")
    assert "mixture.arm.weight = 3.0, now 2.0" in err


def test_a_transform_may_come_from_outside(folder: Path) -> None:
    (folder / "outside_of_robocache.py").write_text(
        "from dataclasses import replace\n"
        "def called(name):\n"
        "    return lambda episode: replace(episode, instruction=name)\n"
    )
    for called, code in (("called", 0), ("caled", 3)):
        change = f"{{'outside_of_robocache:{called}': {{name: go}}}}"
        (folder / "mix.yaml").write_text(f"arm: {{dataset: arm, transforms: [{change}]}}")
        said = robocache("train", "mixture=mix.yaml", *SETTINGS, f"--name={called}")
        assert said.code == code, said
    assert "did you mean 'called'" in said.err
    assert robocache("reproduce", "called").code == 0


def test_policies_go_on_from_a_mixture_and_to_one(folder: Path) -> None:
    own = [text for text in SETTINGS if text.startswith("trainer")]
    said = robocache("train", MIX, *own, "init_from=mixed", "--name=more")
    assert said.code == 0, said.err
    assert robocache("reproduce", "more").code == 0
    assert len(json.loads((run_folder("more") / FILE).read_text())) == 8
    assert robocache("train", "dataset=arm", *own, "init_from=mixed", "--name=arm").code == 0


def test_episodes_of_any_dataset_of_it_are_refused_as_validation(folder: Path) -> None:
    write_hand(folder / "other", range(14, 16))  # 14 is trained on
    write_arm(folder / "arms", range(2, 4))  # 2 is trained on
    more = (*SETTINGS, "--name=judged", "trainer.evaluate_every=6")
    err = refused("train", MIX, *more, "validation=other", "validation_as=hand")
    assert "1 of 2 episodes of other were trained on: hand-14 (= hand/hand-14)" in err
    assert "arm-2 (= arm/arm-2)" in refused("train", MIX, *more, "validation=arms")
    assert "arm-2 (= arm/arm-2)" in refused("eval", "mixed", "--open-loop", "dataset=arms")

    write_hand(folder / "new", range(20, 22))
    said = robocache("train", MIX, *more, "validation=new", "validation_as=hand")
    assert said.code == 0, said.err
    assert robocache("reproduce", "judged").code == 0
    (judged,) = evaluated("judged", "dataset=new", "seen_as=hand", "samples=4")
    metrics = RunStore().get("judged").metrics
    assert judged == pytest.approx(metrics["validation_policy"])


def evaluated(run: str, *settings: str) -> Iterable[float]:
    said = robocache("eval", run, "--open-loop", *settings, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out.splitlines()[-1])
    assert robocache("reproduce", result["run"]).code == 0
    return [result["overall"]["absolute"]["policy"]]


def test_recordings_are_judged_as_those_of_a_dataset_of_it(folder: Path) -> None:
    """The same episodes in both conventions have the same errors."""
    write_hand(folder / "hands", range(30, 32))
    write_arm(folder / "arms", range(30, 32))
    (as_hand,) = evaluated("mixed", "dataset=hands", "seen_as=hand", "samples=1")
    written = MIX[MIX.index("transforms: [") : MIX.rindex("]") + 1].replace(": [", "=[", 1)
    (by_hand,) = evaluated(
        "mixed", "dataset=hands", "rename={observation.state: state}", written, "samples=1"
    )
    assert as_hand == by_hand
    assert "stream state: not recorded" in refused("eval", "mixed", "--open-loop", "dataset=hands")
    err = refused("eval", "mixed", "--open-loop", "dataset=hands", "seen_as=hamd")
    assert "did you mean 'hand'" in err


@pytest.mark.parametrize(
    ("mixture", "reason"),
    [
        ((), "either dataset or mixture must be given: add dataset="),
        (("dataset=arm", MIX), "either dataset or mixture"),
        ((MIX, "hold_out=[arm-0]"), "give hold_out and options inside"),
        (("mixture={arm: {datasset: arm}}",), "mixture.arm: .*did you mean 'dataset'"),
        (("mixture={arm: {}}",), 'mixture.arm: .*missing value for field "dataset"'),
        (("mixture={arm: arm}",), "mixture.arm: should be settings such as"),
        (("mixture={arm: {dataset: armm}}",), "armm"),
        (("mixture={arm: {dataset: arm, weight: 0}}",), "weight of arm must be a positive number"),
        (("mixture={arm: {dataset: arm, options: {splitt: x}}}",), "does not take these options"),
        (
            ("mixture={arm: {dataset: arm, hold_out: [arm-9]}}",),
            "unknown episode of arm to hold out 'arm-9'",
        ),
        (("mixture={arm: {dataset: arm, hold_out: [arm-0, arm-1, arm-2]}}",), "no episode left"),
        (("mixture={arm: {dataset: arm, rename: {stat: x}}}",), "stream stat"),
        (("mixture=nowhere.yaml",), "mixture=nowhere.yaml: .*No such file"),
        (("mixture=list.yaml",), "list.yaml: should hold name"),
        (("mixture=open.yaml",), "mixture=open.yaml: "),
        ((MIX, "validation_as=hamd"), "did you mean 'hand'"),
    ],
)
def test_mistakes_are_named(folder: Path, mixture: tuple[str, ...], reason: str) -> None:
    (folder / "list.yaml").write_text("- arm\n")
    (folder / "open.yaml").write_text("{arm: [\n")
    assert_matches(robocache("train", *mixture, *SETTINGS), reason)


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ("{gripperr: {kind: closed}}", "unknown transform 'gripperr'; did you mean 'gripper'"),
        ("{gripper: {kind: close}}", "unknown meaning of a gripper 'close'; did you mean 'closed'"),
        ("{gripper: {kynd: closed}}", "transform 'gripper': .*did you mean 'kind'"),
        (
            "{actions: {columns: {position: [0]}, meaning: absolut, to: delta}}",
            "unknown meaning 'absolut'; did you mean 'absolute'",
        ),
        (
            "{rotation: {stream: state, columns: {position: [0]}, to: rot6}}",
            "unknown to 'rot6'; did you mean 'rot6d'",
        ),
        ("{gripper: {kind: closed}, scale: {factor: 2}}", "one name with its arguments"),
        ("{columns: {columns: [7]}}", r"stream action: .*do not have the columns \[7\]"),
        ("{columns: {columns: [0, 1]}}", r"action: arm has float64 \(3,\), hand has float32"),
    ],
)
def test_mistakes_in_transforms_are_named(folder: Path, transform: str, reason: str) -> None:
    added = MIX.replace("transforms: [", f"transforms: [{transform}, ")
    if "columns: [0, 1]" in transform:
        added = added.replace("{gripper: {kind: closed}}, ", "")
    assert_matches(robocache("train", added, *SETTINGS), reason)


def assert_matches(said: Said, reason: str) -> None:
    assert said.code == 3 and re.search(reason, said.err.replace("\n", " ")), said


def test_two_robots_are_mixed_as_the_documentation_says(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other formats, rates, poses, grippers and sizes of pictures: Bridge and robomimic's Lift."""
    (tmp_path / "data").symlink_to(shared_data)
    example = processes.ROOT / "docs" / "bridge_lift.yaml"
    lift = "robomimic_hdf5/image_depth.hdf5"
    settings = (
        f"mixture={example}",
        f"mixture.lift.dataset=data/{lift}",
        *SETTINGS,
        "policy.inputs=[{stream: state}, {stream: camera, size: [16, 16]}]",
        "policy.network.relative_to=state",
        "policy.rate_hz=5",
        "trainer.steps=3",
    )
    said = robocache("train", *settings, "--name=robots")
    assert said.code == 0, said.err
    assert robocache("reproduce", "robots").code == 0

    member = read_members(take_mixture_file(settings[:1])[1]["mixture"])["lift"]
    raw = open_dataset(shared_data / lift)[0]
    made = seen(open_dataset(shared_data / lift), member.rename, member.transforms)[0]
    assert made.instruction == "lift the cube"
    given, reached = np.asarray(raw.stream("action").values), made.stream("action").values
    here = np.asarray(raw.stream("obs/robot0_eef_pos").values)
    np.testing.assert_allclose(reached[:, :3], here + 0.05 * given[:, :3], atol=1e-6)
    turned = Rotation.from_quat(np.asarray(raw.stream("obs/robot0_eef_quat").values))
    matrix = (Rotation.from_rotvec(0.5 * given[:, 3:6]) * turned).as_matrix()
    columns = np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], axis=1)
    np.testing.assert_allclose(reached[:, 3:9], columns, atol=1e-6)
    np.testing.assert_array_equal(reached[:, 9], given[:, 6] < 0)  # -1 opens


def test_collections_are_mixed_by_their_names(
    road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(road, tmp_path / "road")
    monkeypatch.setenv("ROBOCACHE_HOME", str(home))
    mixture = "mixture={point: {dataset: demos}}"
    said = robocache("train", mixture, *tiny.POLICY, "trainer.steps=3", "--name=mixed")
    assert said.code == 0, said.err
    demos = RunStore().get("demos").metrics["fingerprint"]
    assert RunStore().get("mixed").config["mixture"]["point"]["dataset"] == demos
    assert robocache("reproduce", "mixed").code == 0
    assert "mixed" in refused("runs", "rm", "demos")  # it rests on them
