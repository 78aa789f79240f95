"""Features of a frozen backbone that are kept: the same losses, whole rows or none, bounded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import small_robots
from robocache.core.errors import ConfigError, CorruptFileError, ShapeError, StorageError
from robocache.datasets import Mixture
from robocache.datasets.cache import list_caches, remove_cache
from robocache.datasets.cache.space import make_room
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.feature_cache import open_feature_cache, prompt_lengths
from robocache.policies.groot_n16.feature_store import FeatureStore
from robocache.policies.groot_n16.lora import LoraSettings
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.trainable import mean_loss

ABOUT = {"version": 1, "dtype": "float32"}
LENGTHS = np.array([3, 1, 4])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base") / "tiny"


@pytest.fixture
def frozen(base: Path) -> tuple[GrootPolicy, Mixture]:
    return small_robots.policy(base, **small_robots.FROZEN)


def store(folder: Path, dtype: torch.dtype = torch.float32) -> FeatureStore:
    return FeatureStore(folder, ABOUT, LENGTHS, 5, dtype)


def row(length: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(length)
    features = torch.randn(length, 5, generator=random).to(dtype)
    return features, torch.arange(length) % 2 == 0


def losses(policy: GrootPolicy, mixture: Mixture, epochs: int = 2) -> list[float]:
    """Of a short training with dropout, in two orders of the windows."""
    policy.train()
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    found = []
    for epoch in range(epochs):
        order = mixture.order(3, epoch)
        for start in range(0, 21, 7):
            torch.manual_seed(start)
            loss = mean_loss(policy, mixture.batch(order[start : start + 7]), Draws.seeded(start))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found


def count_backbone(policy: GrootPolicy, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    forward = policy.model.backbone.forward

    def counted(ids: torch.Tensor, *rest: Any) -> Any:
        calls.append(len(ids))
        return forward(ids, *rest)

    monkeypatch.setattr(policy.model.backbone, "forward", counted)
    return calls


def test_losses_have_the_same_bits(
    frozen: tuple[GrootPolicy, Mixture], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of other lengths, and a window of which only some is there already."""
    plain, mixture = frozen
    expected = losses(plain, mixture)
    for begun in range(2):
        policy, _ = small_robots.policy(base, **small_robots.FROZEN)
        policy.feature_store = open_feature_cache(policy, mixture, "samples", "cpu")
        seen = policy.feature_store.filled
        calls = count_backbone(policy, monkeypatch)
        assert losses(policy, mixture) == expected
        rows = {int(r) for epoch in range(2) for r in mixture.order(3, epoch)[:21]}
        assert policy.feature_store.filled == len(rows)
        assert len(calls) == len(rows) - seen and set(calls) <= {1}
        assert seen == (len(rows) if begun else 0)


def test_pictures_are_not_read_once_all_is_there(
    frozen: tuple[GrootPolicy, Mixture], base: Path
) -> None:
    policy, mixture = frozen
    policy.feature_store = open_feature_cache(policy, mixture, "samples", "cpu")
    policy.train()
    batch = mixture.batch(np.array([0, 20, 36]))
    torch.manual_seed(0)
    expected = policy.summed_loss(batch, Draws.seeded(1))
    for window in batch.windows():
        for name, value in window.values.items():
            if value.dtype == torch.uint8:
                window.values[name] = value[..., :0]  # type: ignore[index]
    torch.manual_seed(0)
    assert torch.equal(policy.summed_loss(batch, Draws.seeded(1)), expected)


def test_rows_are_as_long_as_the_prompts(frozen: tuple[GrootPolicy, Mixture]) -> None:
    policy, mixture = frozen
    lengths = prompt_lengths(policy, mixture)
    assert len(lengths) == len(mixture) and len(set(lengths.tolist())) > 2
    batch = mixture.batch(np.array([0, 20, 36]))
    robots = [policy.robots[tag] for tag in batch.embodiments]
    for window, robot, length in zip(batch.windows(), robots, lengths[[0, 20, 36]], strict=True):
        values = {name: value[0].numpy() for name, value in window.values.items()}
        sample = robot.sample(values, window.instructions[0])
        assert policy.processor.encode([sample], robot.tag)["input_ids"].shape == (1, length)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_comes_back_as_it_was(tmp_path: Path, dtype: torch.dtype) -> None:
    kept = store(tmp_path / "s", dtype)
    assert kept.get(0) is None and kept.filled == 0
    for number in (2, 0):
        kept.put(number, *row(int(LENGTHS[number]), dtype))
    for one in (kept, store(tmp_path / "s", dtype)):
        assert one.filled == 2 and one.get(1) is None
        for number in (0, 2):
            found, expected = one.get(number), row(int(LENGTHS[number]), dtype)
            assert found is not None
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert kept.bytes == 8 * 5 * dtype.itemsize + 8 + 3 * 8
    files = (tmp_path / "s" / f"{name}.bin" for name in ("features", "image_mask", "marks"))
    assert sum(file.stat().st_size for file in files) == kept.bytes


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f, m: (f[:-1], m[:-1]),
        lambda f, m: (f[:, :-1], m),
        lambda f, m: (f.double(), m),
    ],
)
def test_a_row_of_another_kind_is_refused(tmp_path: Path, wrong: Callable[..., Any]) -> None:
    kept = store(tmp_path / "s")
    with pytest.raises(ShapeError, match=r"features of window 0 are .* expected torch.float32"):
        kept.put(0, *wrong(*row(3)))
    assert kept.get(0) is None


@pytest.mark.parametrize("place", ["features", "image_mask", "marks"])
def test_a_row_that_is_not_what_was_written_is_not_there(tmp_path: Path, place: str) -> None:
    """As after a power cut: marks may reach the disk before the rest."""
    store(tmp_path / "s").put(0, *row(3))
    path = tmp_path / "s" / f"{place}.bin"
    data = bytearray(path.read_bytes())
    data[1] ^= 1
    path.write_bytes(data)
    again = store(tmp_path / "s")
    assert again.get(0) is None
    again.put(0, *row(3))
    found = again.get(0)
    assert found is not None and torch.equal(found[0], row(3)[0])


def test_a_process_that_is_killed_leaves_no_half_row(tmp_path: Path) -> None:
    """It dies after the features, before the mark."""
    kept = store(tmp_path / "s")
    kept.put(1, *row(1))
    child = os.fork()
    if not child:
        places = FeatureStore._places

        def dying(self: FeatureStore, number: int) -> Any:
            (features, place), _ = places(self, number)
            features[place] = bytes(place.stop - place.start)
            os._exit(9)

        FeatureStore._places = dying  # type: ignore[method-assign]
        try:
            kept.put(1, *row(1))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert kept.get(1) is None and store(tmp_path / "s").get(1) is None


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    store(tmp_path / "s").close()
    path = tmp_path / "s" / "features.bin"
    path.write_bytes(b"")
    with pytest.raises(CorruptFileError, match=r"features\.bin.*remove the cache"):
        store(tmp_path / "s")
    path.unlink()
    with pytest.raises(CorruptFileError, match="remove the cache"):
        store(tmp_path / "s")


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(StorageError, match=r"features of 3 windows take .* 64 bytes each.*left"):
        store(tmp_path / "s")
    assert not list((tmp_path / "s").glob("*.bin"))
    monkeypatch.undo()
    assert store(tmp_path / "s").filled == 0

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="the disk is full"):
        store(tmp_path / "other")


def test_it_is_listed_bounded_and_removed(frozen: tuple[GrootPolicy, Mixture]) -> None:
    policy, mixture = frozen
    kept = open_feature_cache(policy, mixture, "samples", "cpu")
    (found,) = list_caches("features")
    assert found.folder == kept.folder and not found.complete
    assert list_caches("windows") == [] and list_caches() == [found]
    assert found.about["rows"] == len(mixture) and found.about["bytes"] == kept.bytes
    assert found.size_bytes() >= kept.bytes
    with pytest.raises(ConfigError, match="is in use"):
        remove_cache(found.folder.name)
    with pytest.raises(StorageError, match="more than the limit"):
        make_room(10, kept.folder, share=1.0)
    kept.close()
    make_room(10, kept.folder.with_name("other"), share=1.0)
    assert list_caches() == []


def test_another_content_lies_elsewhere(base: Path, frozen: tuple[GrootPolicy, Mixture]) -> None:
    policy, mixture = frozen
    folders = {open_feature_cache(policy, mixture, name, "cpu").folder for name in ("a", "b", "a")}
    assert len(folders) == 2
    policy.processor.settings = policy.processor.settings.changed(crop_fraction=0.9)
    folders.add(open_feature_cache(policy, mixture, "a", "cpu").folder)
    assert len(folders) == 3
    about = json.loads(
        (open_feature_cache(policy, mixture, "a", "cpu").folder / "about.json").read_text()
    )
    assert about["base_sha256"] == policy.settings.base_sha256 != ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tune_top_llm_layers": 1}, "the language model trains"),
        ({"tune_visual": True}, "the projector of images trains, the vision tower trains"),
        ({"augment": True}, "augment=true changes pictures every time they are seen"),
        ({"lora": LoraSettings(rank=2)}, "the language model trains"),
        ({"lora": LoraSettings(rank=2, targets=("diffusion",))}, ""),
    ],
)
def test_what_changes_features_is_named(base: Path, changes: dict[str, Any], reason: str) -> None:
    policy, mixture = small_robots.policy(base, **{**small_robots.FROZEN, **changes})
    if not reason:
        assert open_feature_cache(policy, mixture, "samples", "cpu").filled == 0
        return
    with pytest.raises(ConfigError, match=f"{reason}; set tune_top_llm_layers=0"):
        open_feature_cache(policy, mixture, "samples", "cpu")
    assert list_caches() == []
