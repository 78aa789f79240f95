"""Every stage of GR00T's processing against tensors of the public code, and each can fail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from robocache.policies.groot_n16.processing import oracle
from robocache.policies.groot_n16.processing.oracle import processing_stages
from robocache.policies.groot_n16.processing.text import GrootTokenizer
from robocache.policies.groot_n16.stages import Stage

pytest.importorskip("cv2", reason="opencv is not installed")
pytest.importorskip("tokenizers", reason="tokenizers is not installed")


@pytest.fixture(scope="module")
def folder() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "groot_n16"
    found = Path(os.environ.get("GROOT_ORACLE", beside))
    if not found.is_dir():
        pytest.skip("no oracle: neither $GROOT_ORACLE nor ../shared/oracles/groot_n16")
    return found


@pytest.fixture(scope="module")
def tokenizer(shared_data: Path) -> GrootTokenizer:
    return GrootTokenizer.from_folder(shared_data / "qwen2_tokenizer")


def stages(folder: Path, tokenizer: GrootTokenizer) -> dict[str, Stage]:
    return {stage.name: stage for stage in processing_stages(folder, tokenizer)}


def test_every_stage_is_within_its_bound(folder: Path, tokenizer: GrootTokenizer) -> None:
    found = stages(folder, tokenizer)
    assert len(found) == 18 + 8 * 18
    assert [stage for stage in found.values() if not stage.passed] == []
    assert {stage.bound for stage in found.values()} == {0.0, 1e-6, 2 / 255 * 1.001}


def compared(name: str) -> bool:
    kinds = ("batch.", "out.decoded_action.")
    return name.startswith(kinds) or any(f".{k}." in name for k in ("state", "action_back"))


@pytest.mark.parametrize("change", [1.0, np.nan])
@pytest.mark.parametrize("actions", [False, True])
def test_each_stage_fails_when_an_element_of_its_tensor_changes(
    folder: Path,
    tokenizer: GrootTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    change: float,
    actions: bool,
) -> None:
    """All tensors at once, but stored actions, which are also what is decoded, by themselves."""
    load = oracle.load_file

    def changed(path: Path) -> dict[str, np.ndarray]:
        tensors = load(path)
        for name, tensor in tensors.items():
            case = name.startswith("percentiles")
            wanted = (case and ".action." in name) if actions else compared(name)
            wanted = wanted and "raw" not in name
            if wanted and not (np.isnan(change) and tensor.dtype.kind == "i"):
                last = tensor.reshape(-1)
                last[-1] += change
        return tensors

    monkeypatch.setattr(oracle, "load_file", changed)
    found = stages(folder, tokenizer)
    passed = {name for name, stage in found.items() if stage.passed}
    if actions:
        of_actions = {
            n for n in found if n.startswith("processing/percentiles") and ".action." in n
        }
        assert not passed & of_actions
        # What was cut while scaling is decoded to the same number, so not all of the others fail.
        assert passed >= {n for n in found if ".state." in n or "percentiles" not in n}
        return
    integers = {f"processing/{name}" for name in oracle.KEYS if name != "action_mask"}
    others = {n for n in found if n.startswith("processing/percentiles") and ".action." in n}
    assert passed == others | (integers if np.isnan(change) else set())


def test_a_small_change_of_a_picture_is_no_grey_level(
    folder: Path, tokenizer: GrootTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = oracle.load_file

    def changed(path: Path) -> dict[str, np.ndarray]:
        tensors = load(path)
        if "batch.pixel_values.3" in tensors:
            tensors["batch.pixel_values.3"][0, 0, 100, 100] += 1e-3
        return tensors

    monkeypatch.setattr(oracle, "load_file", changed)
    failed = [s.name for s in stages(folder, tokenizer).values() if not s.passed]
    assert failed == ["processing/pixel_values.3"]


def test_a_sample_that_cannot_be_encoded_fails_its_stages(
    folder: Path, tokenizer: GrootTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = oracle.load_file

    def changed(path: Path) -> dict[str, np.ndarray]:
        tensors = load(path)
        if "raw.0.state.x" in tensors:
            tensors["raw.0.state.x"][0, 0] = np.nan
        return tensors

    monkeypatch.setattr(oracle, "load_file", changed)
    found = stages(folder, tokenizer)
    assert found["processing/state"].error == float("inf")


def test_a_stage_with_an_unknown_error_fails() -> None:
    assert Stage("x", 0.0, 0.0).passed
    assert not Stage("x", float("nan"), 1.0).passed
