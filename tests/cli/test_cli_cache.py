"""Training from a cache: told, recorded, continued and repeated as it was begun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import robocache
from mixed_datasets import MIX, SETTINGS, write_arm, write_hand

from robocache.cli.cache import parse_bytes
from robocache.cli.overlap import FILE
from robocache.core.errors import ConfigError
from robocache.datasets.cache import list_caches
from robocache.runs import RunStore, read_manifest

SEEING = (
    *(text for text in SETTINGS if not text.startswith("policy.inputs")),
    "policy.inputs=[{stream: state}, {stream: camera, size: [8, 8]}]",
    "policy.network.image_features=4",
)


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(write_arm(tmp_path / "arm", range(3)))


def done(*arguments: str) -> str:
    said = robocache(*arguments)
    assert said.code == 0, said.err
    return said.out


def result(*arguments: str) -> dict:
    return json.loads(done(*arguments, "--json").splitlines()[-1])


def left(name: str) -> tuple[bytes, str]:
    run = RunStore().get(name)
    return (run.folder / "trace.bin").read_bytes(), run.metrics["checkpoint"]


def settings(name: str) -> dict:
    return read_manifest(RunStore().get(name).folder)["config"]


def test_training_reads_the_cache_and_says_so(arm: str) -> None:
    plain = done("train", f"dataset={arm}", *SEEING, "--name=plain")
    assert "from the cache" not in plain and "cached" not in settings("plain")
    made = done("data", "cache", f"dataset={arm}", *SEEING, "--quality=90", "--workers=0")
    (cache,) = list_caches()
    assert cache.complete and cache.folder.name in made
    assert cache.about["window"]["inputs"][1]["size"] == [8, 8]
    told = done("train", f"dataset={arm}", *SEEING, "--name=cached")
    assert f"arm is read from the cache {cache.folder.name} (jpeg 90)" in told
    assert settings("cached")["cached"] == 90
    assert left("plain") != left("cached")
    known = [(RunStore().get(name).folder / FILE).read_text() for name in ("plain", "cached")]
    assert known[0] == known[1]
    assert done("train", f"dataset={arm}", *SEEING, "cache=off", "--name=off")
    assert left("off") == left("plain")


def test_a_run_goes_on_with_what_it_was_begun_with(arm: str) -> None:
    whole = ("train", f"dataset={arm}", *SEEING)
    done(*whole, "--name=plain")
    done("data", "cache", f"dataset={arm}", *SEEING, "--workers=0")
    assert "nothing to do" in done(*whole, "--name=plain")
    refused = robocache(*whole, "cache=95", "--name=plain")
    assert refused.code == 3 and "cached" in refused.err
    done(*whole, "--name=cached")
    done("data", "cache", f"--remove={list_caches()[0].folder.name}")
    assert list_caches() == []
    assert "nothing to do" in done(*whole, "--name=cached")
    assert [cache.about["quality"] for cache in list_caches()] == [95]


def test_it_is_repeated_from_a_cache_that_is_made_again(arm: str) -> None:
    done("train", f"dataset={arm}", *SEEING, "cache=85", "--name=first")
    done("data", "cache", f"--remove={list_caches()[0].folder.name}")
    assert "identical" in done("reproduce", "first")


def test_without_pictures_a_cache_changes_nothing(arm: str) -> None:
    done("train", f"dataset={arm}", *SETTINGS, "--name=plain")
    done("data", "cache", f"dataset={arm}", *SETTINGS, "--workers=0")
    told = done("train", f"dataset={arm}", *SETTINGS, "--name=cached", "seeds=[0]")
    assert "nothing in it is lossy" in told
    assert "cached" not in settings("cached")
    assert left("plain") == left("cached")


def test_a_mixture_is_cached_as_it_is_trained_on(arm: str, tmp_path: Path) -> None:
    write_hand(tmp_path / "hand", range(10, 13))
    made = result("data", "cache", MIX, *SEEING, "--workers=0")
    assert [one["dataset"] for one in made["caches"]] == ["arm", "hand"]
    told = done("train", MIX, *SEEING, "--name=mixed")
    assert told.count("is read from the cache") == 2
    assert settings("mixed")["cached"] == {"arm": 95, "hand": 95}
    known = json.loads((RunStore().get("mixed").folder / FILE).read_text())
    assert sorted(known.values()) == ["arm/arm-0", "arm/arm-1", "arm/arm-2"] + [
        f"hand/hand-{number}" for number in (10, 11, 12)
    ]
    for cache in list_caches():
        done("data", "cache", f"--remove={cache.folder.name}")
    assert "identical" in done("reproduce", "mixed")


def test_episodes_of_a_cache_are_refused_as_validation(arm: str) -> None:
    done("data", "cache", f"dataset={arm}", *SEEING, "--workers=0")
    said = robocache("train", f"dataset={arm}", *SEEING, f"validation={arm}")
    assert said.code == 3 and "3 of 3 episodes of arm were trained on" in said.err


def test_listed_with_what_they_hold(arm: str) -> None:
    assert "there are no caches" in done("data", "cache", "--list")
    done("data", "cache", f"dataset={arm}", *SEEING, "hold_out=[arm-1]", "--workers=0")
    listed = done("data", "cache", "--list")
    assert "8x8" in listed and "95" in listed
    (cache,) = result("data", "cache", "--list")["caches"]
    assert cache["episodes"] == 2 and cache["complete"] and cache["bytes"] > 1000
    told = done("train", f"dataset={arm}", *SEEING, "hold_out=[arm-1]", "--name=two")
    assert "is read from the cache" in told
    told = done("train", f"dataset={arm}", *SEEING, "--name=three")
    assert "is read from the cache" not in told


def test_what_cannot_be_is_refused(arm: str) -> None:
    for arguments, words in (
        (("cache=always",), "auto, off, or a quality"),
        (("cache=101",), "quality of JPEG must lie in 1..100"),
    ):
        said = robocache("train", f"dataset={arm}", *SEEING, *arguments)
        assert said.code == 3 and words in said.err, said.err
    said = robocache("data", "cache", "--remove=nothing")
    assert said.code == 3 and "cache" in said.err
    said = robocache("data", "cache", f"dataset={arm}", *SEEING, "--limit=1kB", "--workers=0")
    assert said.code == 3 and "larger limit" in said.err
    assert parse_bytes("1.5GB") == 1_500_000_000 and parse_bytes("20 M") == 20_000_000
    with pytest.raises(ConfigError, match="is not a size"):
        parse_bytes("many")
