"""A run again from its manifest: identical, or the first thing that differs is named."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Said, robocache
from safetensors.numpy import load_file, save_file

import tiny
from robocache.core import Episode
from robocache.datasets import EpisodeStore, write_shard
from robocache.runs import Ledger, RunStore, config_hash, read_manifest

STEER = "examples.point_policy:Steer"
PLAN = (tiny.TASKS, "episodes=3", "workers=0")


@pytest.fixture(scope="module")
def made(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run of every verb."""
    folder = tmp_path_factory.mktemp("made") / "home"
    shutil.copytree(road, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        patch.chdir(folder.parent)
        for arguments in (
            ("collect", *PLAN, "--name=few"),
            tiny.SHORT,
            ("eval", "short", *PLAN, "--name=judged"),
            ("eval", "short", *PLAN, "device=cpu:0", "--name=named-device"),
            ("eval", STEER, *PLAN, "--name=steer"),
            ("eval", "short", "--open-loop", "dataset=few", "samples=1", "--name=recorded"),
        ):
            said = robocache(*arguments)
            assert said.code == 0, said.err
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That home, which no test may change; what is begun in a scratch home is seen in `scratch`."""
    monkeypatch.setenv("ROBOCACHE_HOME", str(made))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return made


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies the folder of a run, as if it were brought from elsewhere."""

    def copy(run: str) -> Path:
        return Path(shutil.copytree(home / "runs" / run, tmp_path / f"from-elsewhere-{run}"))

    return copy


def again(text: object, *arguments: str) -> tuple[Said, dict[str, Any]]:
    said = robocache("reproduce", str(text), *arguments)
    machine = robocache("reproduce", str(text), *arguments, "--json")
    assert machine.code == said.code, machine
    return said, json.loads(machine.out.splitlines()[-1])


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def first(text: object, *arguments: str) -> tuple[str, Any, Any]:
    """Where it differs, and both values."""
    said = robocache("reproduce", str(text), *arguments, "--json")
    assert said.code == 4, said
    found = json.loads(said.out.splitlines()[-1])["difference"]
    return found["place"], found["was"], found["now"]


@pytest.mark.parametrize(
    ("run", "compared"),
    [
        ("few", "3 episodes, 4 final figures compared"),
        ("short", "24 steps, 72 figures on the way, 4 checkpoints, 3 final figures compared"),
        ("judged", "3 episodes, 11 final figures compared"),
        ("named-device", "3 episodes, 11 final figures compared"),
        ("steer", "3 episodes, 11 final figures compared"),
        ("recorded", "29 figures, 14 final figures compared"),
    ],
)
def test_identical(home: Path, tmp_path: Path, run: str, compared: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    said = robocache("reproduce", run)
    assert said.code == 0, said
    assert said.out.endswith(f"identical: {compared}\n"), said.out
    assert list((tmp_path / "scratch").iterdir()) == []
    kept = (path for path in home.rglob("*") if path.is_file() and "robocache.db" not in path.name)
    assert all(before.get(path) == path.stat().st_mtime_ns for path in kept)


def test_a_device_that_was_named_is_part_of_the_run(home: Path) -> None:
    assert "device" not in read_manifest(home / "runs" / "judged")["config"]
    assert read_manifest(home / "runs" / "named-device")["config"]["device"] == "cpu:0"


def test_it_can_be_kept(home: Path, tmp_path: Path) -> None:
    said = robocache("reproduce", "few", "--keep")
    assert said.code == 0
    (kept,) = (tmp_path / "scratch").iterdir()
    assert said.out.endswith(f"the new run is kept in {kept}\n")
    assert EpisodeStore(kept / "runs" / "few" / "episodes").keys()


def test_other_threads_are_named(home: Path) -> None:
    said, found = again("short", "--threads", "2")
    assert ["threads.torch", 1, 2] in [list(one.values()) for one in found["environment"]]
    assert re.search(r"threads.torch +was 1 +now 2", said.out)
    assert said.code == (0 if found["identical"] else 4)
    refused = robocache("reproduce", "few", "--threads", "2")
    assert refused.code == 3 and "uses one thread for each worker" in refused.err


def test_a_changed_package_in_a_manifest_is_named(copied: Callable[[str], Path]) -> None:
    folder = copied("steer")
    changed(folder / "manifest.json", lambda manifest: manifest["packages"].update(numpy="2.0.7"))
    said, found = again(folder / "manifest.json")
    assert said.code == 0 and "although code or machine changed" in said.out
    assert found["environment"] == [
        {"place": "packages.numpy", "was": "2.0.7", "now": np.__version__}
    ]
    assert re.search(rf"packages.numpy +was 2.0.7 +now {np.__version__}", said.out)


def test_a_manifest_alone(copied: Callable[[str], Path], tmp_path: Path) -> None:
    file = Path(shutil.move(copied("short") / "manifest.json", tmp_path / "lonely.json"))
    said = robocache("reproduce", str(file))
    assert said.code == 0 and said.out.endswith("identical: 3 final figures compared\n")
    other = "0" * 64
    changed(file, lambda manifest: manifest["metrics"].update(checkpoint=other))
    assert first(file)[:2] == ("final figure.checkpoint", other)


def test_one_setting(home: Path, copied: Callable[[str], Path]) -> None:
    folder = copied("short")

    def other(manifest: dict[str, Any]) -> None:
        manifest["config"]["trainer"]["learning_rate"] = 0.02

    changed(folder / "manifest.json", other)
    assert first(folder) == ("config.trainer.learning_rate", 0.01, 0.02)
    changed(folder / "manifest.json", lambda manifest: manifest.update(config_hash="0" * 64))
    place, was, _ = first(folder)
    assert (place, was) == ("config", f"sha256 {'0' * 12}"), "no run here has that configuration"


def trace(folder: Path) -> np.ndarray[Any, Any]:
    record = [("step", "<u4"), ("batch", "<u4"), ("loss", "<f4"), ("norm", "<f4")]
    return np.memmap(folder / "trace.bin", np.dtype(record), "r+")


def test_one_batch(copied: Callable[[str], Path]) -> None:
    folder = copied("short")
    trace(folder)["batch"][6] ^= 1
    trace(folder)["loss"][8] += 1
    place, was, now = first(folder)
    assert place == "batch 7" and was != now and re.fullmatch(r"rows with crc32 [0-9a-f]{8}", now)


@pytest.mark.parametrize(("field", "name"), [("loss", "loss"), ("norm", "gradient norm")])
def test_one_step(copied: Callable[[str], Path], field: str, name: str) -> None:
    folder = copied("short")
    true = trace(folder)[field][19]
    trace(folder)[field][19] = np.nextafter(true, np.float32(9))
    place, was, now = first(folder)
    assert place == f"step 20, {name}"
    assert np.float32(now) == true and np.float32(was) == np.nextafter(true, np.float32(9))


def test_one_tensor(copied: Callable[[str], Path]) -> None:
    folder = copied("short")
    for step in ("18", "12"):  # the first is named
        file = folder / "checkpoints" / f"step-000000{step}" / "policy.safetensors"
        tensors = load_file(file)
        name = next(name for name in sorted(tensors) if tensors[name].ndim == 2)
        tensors[name][1, 2] = 7.5
        save_file(tensors, file)
    place, was, now = first(folder)
    assert place == f"checkpoint of step 12, policy.safetensors, tensor {name}[1, 2]"
    assert was == 7.5 and now != 7.5


def test_a_training_without_a_trace(copied: Callable[[str], Path]) -> None:
    """It was made before there were any: what it logged is compared."""
    folder = copied("short")
    (folder / "trace.bin").unlink()
    file = folder / "metrics.jsonl"
    lines = file.read_text().splitlines()
    line = json.loads(lines[4])
    lines[4] = json.dumps({**line, "loss": 0.125})
    file.write_text("\n".join(lines) + "\n")
    assert first(folder) == ("step 5, loss", 0.125, line["loss"])


def rewritten(folder: Path, number: int, change: Callable[[Episode], Episode]) -> str:
    """Change an episode of a run folder, with hashes that fit; its key."""
    store = EpisodeStore(folder / "episodes")
    episodes = list(store)
    episodes[number] = change(episodes[number])
    shutil.rmtree(folder / "episodes")
    (folder / "episodes").mkdir()
    write_shard(folder / "episodes" / "other.episodes.parquet", episodes)
    return episodes[number].key


@pytest.mark.parametrize("run", ["few", "judged"])
def test_one_sample_of_an_episode(copied: Callable[[str], Path], run: str) -> None:
    folder = copied(run)

    def bent(episode: Episode) -> Episode:
        streams = dict(episode.streams)
        for name, sample in (("action", 2), ("point", 5)):
            values = streams[name].values[:].copy()
            values[sample, 1] = 42
            streams[name] = replace(streams[name], values=values)
        return replace(episode, streams=streams)

    true = list(EpisodeStore(folder / "episodes"))[1].stream("action").values[2, 1]
    key = rewritten(folder, 1, bent)
    place, was, now = first(folder)
    assert place == f"episode {key}, stream action, sample 2 at 0.2 s, value[1]"
    assert was == 42 and np.float32(now) == true


def test_an_outcome_alone(copied: Callable[[str], Path]) -> None:
    folder = copied("few")

    def lied(episode: Episode) -> Episode:
        return replace(episode, outcome=replace(episode.outcome, success=False))

    key = rewritten(folder, 2, lied)
    assert first(folder) == (f"episode {key}, outcome.success", False, True)


def test_an_episode_that_is_shorter(copied: Callable[[str], Path]) -> None:
    folder = copied("few")

    def cut(episode: Episode) -> Episode:
        point = episode.stream("point")
        short = replace(point, values=point.values[:3], times_s=point.times_s[:3])
        return replace(episode, streams={**episode.streams, "point": short})

    whole = len(next(iter(EpisodeStore(folder / "episodes"))).stream("point"))
    key = rewritten(folder, 0, cut)
    place, was, now = first(folder)
    assert (place, was, now) == (f"episode {key}, stream point, number of samples", 3, whole)


def test_one_figure_of_open_loop(copied: Callable[[str], Path]) -> None:
    folder = copied("recorded")
    file = folder / "open_loop.json"
    true = json.loads(file.read_text())["absolute"]["policy"][1][0]
    changed(file, lambda result: result["absolute"]["policy"][1].__setitem__(0, 9.0))
    assert first(folder) == ("absolute.policy[1][0]", 9.0, true)


def test_one_number_of_a_trajectory(copied: Callable[[str], Path]) -> None:
    folder = copied("recorded")
    file = folder / "trajectories.json"
    true = json.loads(file.read_text())["episodes"][1]["predicted"][2][0]
    changed(file, lambda kept: kept["episodes"][1]["predicted"][2].__setitem__(0, 9.0))
    assert first(folder) == ("episodes[1].predicted[2][0]", 9.0, true)


def test_open_loop_of_before_there_were_trajectories(copied: Callable[[str], Path]) -> None:
    folder = copied("recorded")
    later = ("first_step", "dimensions", "trajectories")

    def forget(settings: dict[str, Any], names: Sequence[str]) -> None:
        for name in names:
            del settings[name]

    def older(manifest: dict[str, Any]) -> None:
        forget(manifest["config"], ("chunk", "steps", "plots"))
        forget(manifest["metrics"], ("first_step", "trajectories"))
        manifest["config_hash"] = config_hash(manifest["config"])

    (folder / "trajectories.json").unlink()
    changed(folder / "manifest.json", older)
    changed(folder / "open_loop.json", lambda result: forget(result, later))
    said, told = again(folder)
    assert said.code == 0, said
    assert told["identical"] and told["compared"] == {"figures": 13, "final figures": 6}
    changed(folder / "open_loop.json", lambda result: forget(result, ["windows"]))
    assert first(folder)[0] == "windows"


def test_a_run_here_must_be_what_it_was(made: Path, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    folder = Path(shutil.copytree(made, tmp_path / "altered"))
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    trace(folder / "runs" / "short")["loss"][3] = 0
    said = robocache("reproduce", "short")
    assert said.code == 3 and "trace.bin is altered" in said.err


def test_missing_inputs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "poor"))
    monkeypatch.setenv("ROBOCACHE_HOME", str(folder))
    shutil.rmtree(folder / "runs" / "demos" / "episodes")
    said = robocache("reproduce", "short")
    fingerprint = RunStore().get("demos").metrics["fingerprint"]
    assert said.code == 3
    assert f"dataset 'demos' (fingerprint {fingerprint[:12]})" in said.err
    assert "is missing" in said.err and str(folder) in said.err
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path / "empty"))
    said = robocache("reproduce", str(folder / "runs" / "judged"))
    assert said.code == 3
    assert re.search(r"checkpoint \w{12}, which run 'judged' read, is missing", said.err)


def test_a_dataset_that_is_another(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded by its folder; found there, but it holds other episodes now."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "runs" / "demos" / "episodes", "copied")
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path / "other"))
    assert robocache(*tiny.SHORT, "dataset=copied").code == 0
    assert robocache("reproduce", "short").code == 0
    before = EpisodeStore("copied").fingerprint
    (folder := Path("copied")).rename("away")
    shutil.copytree(home / "runs" / "few" / "episodes", folder)
    place, was, now = first("short")
    assert place == "dataset copied, fingerprint"
    assert (was, now) == (before, EpisodeStore("copied").fingerprint)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_policy_from_outside_that_was_edited(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = "robocache.policies.files.inspect.getsource"
    monkeypatch.setattr(real, lambda module: "edited")
    place, was, now = first("steer")
    assert place == f"source of {STEER}" and was != now


def test_other_versions_of_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from examples.point_env import PointEnv

    made = PointEnv.__init__

    def newer(self: PointEnv, max_steps: int = 40) -> None:
        made(self, max_steps)
        self.spec = replace(self.spec, version="point 2")

    monkeypatch.setattr(PointEnv, "__init__", newer)
    said, found = again("few")
    assert said.code == 0, "the same episodes all the same"
    assert found["environment"][0] == {
        "place": "environment version", "was": "point 1", "now": "point 2"
    }  # fmt: skip


def test_manifests_of_version_1(copied: Callable[[str], Path]) -> None:
    """They hold settings where later ones hold a plan, and no word of sources and assets."""
    from robocache.runs import config_hash

    folder = copied("few")

    def older(manifest: dict[str, Any]) -> None:
        plan = manifest["config"]["plan"]
        for name in ("sources", "assets", "artifacts", "resources"):
            del manifest[name]
        names = ("tasks", "episodes", "seed", "expert_noise", "steps_after_success")
        config = {name: plan[name] for name in names}
        config.update(env={}, sensors={"clock_jitter_s": 0.0, "latency": {}})
        config["environment"] = plan["env_version"]
        manifest.update(schema_version=1, config=config, config_hash=config_hash(config))

    changed(folder / "manifest.json", older)
    said = robocache("reproduce", str(folder))
    assert said.code == 0, said
    assert "identical: 3 episodes" in said.out


def test_what_cannot_be_reproduced(home: Path, copied: Callable[[str], Path]) -> None:
    assert "did you mean 'short'" in robocache("reproduce", "shrt").err
    folder = copied("short")
    changed(folder / "manifest.json", lambda manifest: manifest.update(status="interrupted"))
    said = robocache("reproduce", str(folder))
    assert said.code == 3 and "is interrupted: finish it first" in said.err
    changed(folder / "manifest.json", lambda manifest: manifest.update(verb="dream"))
    assert "unknown verb that can be reproduced 'dream'" in robocache("reproduce", str(folder)).err
    (folder / "manifest.json").write_text("{")
    said = robocache("reproduce", str(folder))
    assert said.code == 3 and "not a manifest" in said.err


def test_two_runs(home: Path, copied: Callable[[str], Path]) -> None:
    said = robocache("runs", "diff", "short", "long")
    assert said.code == 0, said.err
    assert re.search(r"trainer.steps +24 +400", said.out)
    assert re.search(r"keep_at +\[\] +\[1\]", said.out)
    assert "inputs: the same" in said.out and "code and machine: the same" in said.out
    assert re.search(r"windows +(\d+) +\1\n", said.out)
    assert re.search(r"content: first difference at step \d+, loss: A [\d.]+, B [\d.]+\n", said.out)

    found = json.loads(robocache("runs", "diff", "judged", "steer", "--json").out)
    policies = [
        read_manifest(home / "runs" / name)["config"]["policy"] for name in ("judged", "steer")
    ]
    assert found["inputs"] == [{"place": "parents[0]", "was": policies[0], "now": policies[1]}]
    assert "stream action, sample 0 at 0 s" in found["content"]["place"]

    assert "content: no difference (3 episodes" in robocache("runs", "diff", "few", "few").out
    said = robocache("runs", "diff", "short", "few")
    assert said.code == 0 and "two different verbs are not compared" in said.out
    folder = copied("short")
    changed(folder / "manifest.json", lambda manifest: manifest["threads"].update(torch=8))
    said = robocache("runs", "diff", "short", str(folder))
    assert re.search(r"code and machine: 1 difference\n +threads.torch +1 +8\n", said.out)
    assert Ledger(RunStore().engine, "few").rows(), "the home was only read"
