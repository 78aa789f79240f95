"""GR00T trained on Bridge by the command line, and what `groot export` makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import robocache
from numpy.typing import NDArray

from robocache.core.seeding import generator
from robocache.policies import load_policy
from robocache.policies.groot_n16 import GrootInputs, GrootN16
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.samples import Sample
from robocache.policies.groot_n16.tiny import write_tiny
from robocache.runs import RunStore

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("peft", reason="peft is not installed")
pytest.importorskip("cv2", reason="opencv is not installed")

GROUPS = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "base")
    (tmp_path / "base" / "LICENSE.txt").write_text("non-commercial")
    return tmp_path / "base"


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "LoRA"])
def test_an_exported_policy_acts_as_before(
    shared_data: Path, base: Path, tmp_path: Path, lora: bool
) -> None:
    adapters = ("policy.network.lora={rank: 2, whole: [projector]}",) if lora else ()
    said = robocache(
        "train",
        f"dataset={shared_data / 'bridge_rlds'}",
        "dataset_options={split: train}",
        "policy=groot_bridge",
        f"policy.network.base={base}",
        "policy.network.dtype=float32",
        "policy.network.tune_top_llm_layers=1",
        "policy.network.flow_steps=3",
        "trainer.steps=2",
        "trainer.batch_size=2",
        "trainer.learning_rate=0.01",
        "trainer.warmup_steps=0",
        "trainer.ema_decay=0",
        *adapters,
        "--name",
        "bridge",
    )
    assert said.code == 0, said.err
    said = robocache("report", "bridge", "--out", str(tmp_path / "page.html"))
    assert said.code == 0, said.err
    assert "8 × action at 5 Hz" in (tmp_path / "page.html").read_text()
    said = robocache("groot", "export", "bridge", str(tmp_path / "out"), "--json")
    assert said.code == 0, said.out
    result = json.loads(said.out.splitlines()[-1])
    assert result["embodiments"] == ["oxe_widowx"]
    out = tmp_path / "out"
    assert (out / "LICENSE.txt").read_text() == "non-commercial"

    policy = load_policy(RunStore().find_checkpoint("bridge"))
    assert isinstance(policy, GrootPolicy)
    before = policy.predict([sample()], [5])[0]
    model, processor = GrootN16.from_pretrained(out), GrootProcessor.from_pretrained(out)
    after = decoded(model, processor, sample(), 5)
    assert set(after) == set(GROUPS) and after["x"].shape == (8, 1)
    for name in GROUPS:
        if lora:
            np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(after[name], before[name])
    untrained = decoded(GrootN16.from_pretrained(base), processor, sample(), 5)
    assert not np.allclose(untrained["x"], before["x"], rtol=1e-3)
    again = robocache("groot", "export", "bridge", str(out))
    assert again.code == 3 and "nothing is overwritten" in again.err


def test_only_groot_is_exported(
    road: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", str(road))
    said = robocache("groot", "export", "long", str(tmp_path / "out"))
    assert said.code == 3 and "only GR00T is exported" in said.err


def sample() -> Sample:
    random = np.random.default_rng(3)
    return Sample(
        video={"image_0": random.integers(0, 256, (1, 64, 64, 3), np.uint8)},
        state={n: random.normal(size=(1, 1)).astype(np.float32) for n in (*GROUPS, "pad")},
        language="put the cup in the sink",
    )


@torch.inference_mode()
def decoded(
    model: GrootN16, processor: GrootProcessor, one: Sample, seed: int
) -> dict[str, NDArray[Any]]:
    """What a user of the exported folder computes, with the policy's noise."""
    batch: dict[str, Any] = dict(processor.encode([one], "oxe_widowx"))
    del batch["image_sizes"]
    inputs = GrootInputs(**batch)
    shape = (1, model.config.action_horizon, model.config.max_action_dim)
    noise = generator(seed, "groot-noise").standard_normal(shape[1:])[None].astype(np.float32)
    features = model.encode(inputs)
    actions = model.sample(features, inputs.state, inputs.embodiment_id, torch.from_numpy(noise))
    groups = processor.decode_actions(actions, [one["state"]], "oxe_widowx")
    return {name: values[0] for name, values in groups.items()}
