"""`robocache groot tiny | load | memory`, and the presets of GR00T."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Said, robocache
from safetensors.torch import load_file, save_file

from processes import ROOT
from robocache.cli import groot_load
from robocache.cli.configuration import load
from robocache.cli.groot_load import judge_memory
from robocache.cli.train_config import TrainConfig
from robocache.policies.groot_n16 import GrootConfig
from robocache.policies.groot_n16.checkpoint import Checkpoint, StoredTensor, read_checkpoint
from robocache.policies.groot_n16.needs import LoadingNeeds, loading_needs
from robocache.policies.groot_n16.settings import GrootSettings
from robocache.policies.groot_n16.tiny import write_tiny

pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("tokenizers", reason="tokenizers is not installed")

GIB = 2**30
PRESETS = {
    "groot": ("new_embodiment", 16),
    "groot_gr1": ("gr1", 16),
    "groot_libero": ("libero_panda", 16),
    "groot_bridge": ("oxe_widowx", 8),
    "groot_robocasa": ("robocasa_panda_omron", 16),
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_tiny_says_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / "made here"
    said = robocache("groot", "tiny", str(folder), "--state-size", "20", "--action-size", "8")
    assert said.code == 0, said.err
    config = read_checkpoint(folder).config
    assert (config.max_state_dim, config.max_action_dim) == (20, 8)
    assert "policy=groot_gr1" in said.out and f"policy.network.base='{folder}'" in said.out
    again = robocache("groot", "tiny", str(folder))
    assert again.code == 3 and "nothing is overwritten" in again.err


def test_load(tiny: Path) -> None:
    result = asked("groot", "load", str(tiny))
    loaded = result["loaded"]
    assert result["problems"] == 0 and loaded["parameters"] == sum(loaded["parts"].values())
    assert loaded["parts"]["DiT"] > 0 and loaded["seconds"] > 0
    assert loaded["peak_host_bytes"] >= loaded["host_bytes_before"] > 0
    topics = [finding["topic"] for finding in result["findings"]]
    assert topics == ["config", "keys", "dtypes", "processor", "licence", "memory"]


def test_only_the_checks(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groot_load, "load_pretrained", never)
    said = robocache("groot", "load", str(tiny), "--dry-run")
    assert said.code == 0 and "non-commercial" in said.out and "parameters" not in said.out


def test_other_keys_are_listed_by_module_and_nothing_is_loaded(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(tiny / "model.safetensors")
    del weights["action_head.vlln.bias"]
    weights["backbone.model.mlp1.9.weight"] = torch.zeros(2)
    weights["action_head.position_embedding.weight"] = torch.zeros(3, 32)
    save_file(weights, tiny / "model.safetensors")
    monkeypatch.setattr(groot_load, "load_pretrained", never)
    said = robocache("groot", "load", str(tiny))
    assert said.code == 4 and "nothing was loaded" in said.out
    assert "1 keys missing, 1 extra, 1 of another shape" in said.out
    assert "action_head.vlln: missing (1): bias" in said.out
    assert "backbone.model.mlp1: extra (1): 9.weight" in said.out
    assert "(3, 32), expected (64, 32)" in said.out
    assert "free" in said.out  # the other checks were made all the same


@pytest.mark.parametrize(
    ("config", "generation"),
    [
        ({"model_type": "gr00t_n1_5", "architectures": ["GR00T_N1_5"]}, "N1.5"),
        ({"model_type": "Gr00tN1d7", "architectures": ["Gr00tN1d7"]}, "N1.7"),
        ({"model_type": "gr00t_n1", "architectures": ["GR00T_N1"]}, "N1"),
    ],
)
def test_other_generations_are_refused(tiny: Path, config: dict[str, Any], generation: str) -> None:
    (tiny / "config.json").write_text(json.dumps(config))
    said = robocache("groot", "load", str(tiny), "--dry-run")
    assert said.code == 4
    assert f"this is a GR00T {generation} checkpoint" in said.out and "What to do" in said.out


def test_what_is_not_there(tmp_path: Path) -> None:
    said = robocache("groot", "load", str(tmp_path / "nothing"))
    assert said.code == 3 and "neither a checkpoint folder nor a repository" in said.err
    said = robocache("groot", "load", str(tmp_path), "--dtype", "bfloat17")
    assert said.code == 3 and "bfloat16" in said.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_card_that_is_not_there(tiny: Path) -> None:
    said = robocache("groot", "load", str(tiny), "--device", "cuda")
    assert said.code == 4 and "torch sees no CUDA device" in said.out


def test_memory_is_judged_before_loading() -> None:
    needs = LoadingNeeds(weights=6 * GIB, host=7 * GIB)
    assert [found.level for found in judge_memory(needs, 8 * GIB, None)] == ["ok"]
    assert [found.level for found in judge_memory(needs, 5 * GIB, None)] == ["problem"]
    levels = [found.level for found in judge_memory(needs, 8 * GIB, (4 * GIB, 24 * GIB))]
    assert levels == ["ok", "problem"]


def test_what_loading_takes() -> None:
    """The head is the embedding: it is compared, and not loaded."""
    prefix = "backbone.model.language_model."
    shapes = {
        f"{prefix}model.embed_tokens.weight": (1000, 50),
        f"{prefix}lm_head.weight": (1000, 50),
        "action_head.vlln.weight": (10,),
    }
    tensors = {name: StoredTensor(Path("a"), shape, "BF16") for name, shape in shapes.items()}
    checkpoint = Checkpoint(Path(), GrootConfig(), tensors)
    mapped = 8 * 2**20
    needs = loading_needs(checkpoint, torch.device("cpu"))
    assert needs == LoadingNeeds(100_020, 100_020 + 100_000 + mapped)
    needs = loading_needs(checkpoint, torch.device("cpu"), torch.float32)
    assert needs == LoadingNeeds(200_040, 200_040 + 200_000 + mapped)
    assert loading_needs(checkpoint, torch.device("cuda")).host == 100_000 + mapped


def test_memory_of_the_released_size() -> None:
    result = asked("groot", "memory", "--views", "2")
    assert result["parameters"] == 2_975_968_192 and result["training"] == 1_619_968_000
    assert sum(result["terms"].values()) == result["total"]
    assert result["fits"] == {"24 GB": False, "40 GB": True, "80 GB": True}
    assert any("not measured" in text for text in result["assumptions"])


def test_memory_of_settings(tiny: Path) -> None:
    small = ("--base", str(tiny), "policy.network.tune_top_llm_layers=1")
    assert asked("groot", "memory", *small)["setting"]["batch"] == 1
    more = (*small, "policy=groot_libero", "policy.network.gradient_checkpointing=true")
    more = (*more, "trainer.batch_size=64", "trainer.accumulate=4", "trainer.ema_decay=0")
    result = asked("groot", "memory", *more, "policy.network.state_dropout=0")
    assert result["setting"]["batch"] == 16 and result["setting"]["views"] == 2
    assert result["setting"]["gradient_checkpointing"] and not result["setting"]["ema"]
    assert result["terms"]["average"] == 0
    both = asked("groot", "memory", *small, "policy=groot_gr1_bridge")
    assert both["setting"]["views"] == 1
    lora = asked("groot", "memory", *small, "policy.network.lora={rank: 2}", "trainer.device=cuda")
    assert lora["setting"]["lora"]["rank"] == 2 and lora["training"] < 20_000


def test_memory_of_what_is_no_groot(tmp_path: Path) -> None:
    said = robocache("groot", "memory", "policy=flow")
    assert said.code == 3
    said = robocache("groot", "memory", "--base", str(tmp_path))
    assert said.code == 3 and "cannot be read as a config.json" in said.err
    said = robocache("groot", "memory", "policy.network.tune_top_llm_layers=40")
    assert said.code == 3 and "must lie in 0..16" in said.err


def test_the_memory_table_is_printed(tiny: Path) -> None:
    said = robocache("groot", "memory", "--base", str(tiny), "policy.network.tune_top_llm_layers=1")
    for words in ("optimizer", "kept: DiT", "total", "fits into cards of 24 GB", "assumed:"):
        assert words in said.out


AGAIN = "policy.network.gradient_checkpointing=true"
WITH_HEAD = "policy.network.lora={rank: 16, whole: [projector, vlln]}"


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ("1.62 of 2.98 billion", ()),
        ("`lora={rank: 16}` |", ("policy.network.lora={rank: 16}",)),
        ("`lora={rank: 16, whole", (WITH_HEAD, AGAIN)),
    ],
)
def test_the_table_of_the_documentation(row: str, settings: tuple[str, ...]) -> None:
    page = (ROOT / "docs" / "groot" / "README.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("|") and row in line]
    told = [float(cell) for cell in line.strip("|").split("|")[1:]]
    for batch, total in zip((1, 8, 32), told, strict=True):
        batches = ("--batch", str(batch), "--views", "2")
        result = asked("groot", "memory", "trainer=groot", *batches, *settings)
        assert result["total"] / 1e9 == pytest.approx(total, abs=0.06)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve(name: str) -> None:
    overrides = [f"policy={name}", "policy.network.base=somewhere", "dataset=data"]
    config, _ = load("train", TrainConfig, overrides)
    assert config.policy is not None and isinstance(config.policy.network, GrootSettings)
    tag, horizon = PRESETS[name]
    ((known, robot),) = config.policy.network.embodiments.items()
    assert (known, robot.horizon) == (tag, horizon)
    streams = {view.stream for view in config.policy.inputs}
    from_streams = (group.stream for group in robot.state.values() if group.stream)
    read = {*robot.video.values(), *from_streams}
    assert streams == read
    made = robot.config(tag)
    assert made.horizon == horizon and made.state.modality_keys == tuple(sorted(robot.state))
    columns = sorted(group.columns or (0, 0) for group in robot.action.values())
    assert all(first[1] <= second[0] for first, second in pairwise(columns))


def asked(*arguments: str) -> dict[str, Any]:
    said: Said = robocache(*arguments, "--json")
    assert said.code == 0, said.out
    result: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    return result


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing may be loaded")
