"""Checkpoints of GR00T N1.6 on disk: written, read, and refused."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_groot import noise_for, small_config, small_inputs, small_model

from robocache.core.errors import (
    CheckpointError,
    ConfigError,
    StorageError,
    UnreachableError,
)
from robocache.policies.groot_n16 import BackboneFeatures, GrootConfig, GrootN16
from robocache.policies.groot_n16.checkpoint import INDEX, read_checkpoint
from robocache.policies.groot_n16.loading import EMBEDDING, HEAD, MASK_TOKEN


@pytest.fixture(scope="module")
def model() -> GrootN16:
    return small_model()


def save(model: GrootN16, folder: Path, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    return folder


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors")


def same_bits(one: GrootN16, other: GrootN16) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("max_shard_bytes", [10**9, 100_000, 1])
def test_round_trip_is_bitwise(model: GrootN16, tmp_path: Path, max_shard_bytes: int) -> None:
    folder = save(model, tmp_path / "a", max_shard_bytes=max_shard_bytes)
    loaded = GrootN16.from_pretrained(folder)
    same_bits(model, loaded)
    assert loaded.config == model.config
    assert not loaded.training
    inputs = small_inputs(model.config)
    with torch.no_grad():
        ours, theirs = (
            net.sample(net.encode(inputs), inputs.state, inputs.embodiment_id, noise_for(inputs))
            for net in (model, loaded)
        )
    assert torch.equal(ours, theirs)


def test_files_are_those_of_the_public_code(model: GrootN16, tmp_path: Path) -> None:
    one = save(model, tmp_path / "one")
    assert {path.name for path in one.iterdir()} == {"config.json", "model.safetensors"}
    many = save(model, tmp_path / "many", max_shard_bytes=100_000)
    index = json.loads((many / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in model.state_dict().values())
    assert set(index["weight_map"]) == set(model.state_dict())
    count = len(list(many.glob("*.safetensors")))
    assert count > 3
    for number in range(1, count + 1):
        path = many / f"model-{number:05d}-of-{count:05d}.safetensors"
        assert {n for n, f in index["weight_map"].items() if f == path.name} == set(load_file(path))
        assert sum(t.nbytes for t in load_file(path).values()) <= 100_000
        assert b'"format":"pt"' in path.read_bytes()[:200]  # without it transformers refuses a file


def test_the_head_is_stored_and_tied(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(stored[HEAD], stored[EMBEDDING])
    language = GrootN16.from_pretrained(folder).backbone.model.language_model
    assert language.lm_head.weight is language.model.embed_tokens.weight


def test_a_head_of_its_own_is_kept_and_one_left_out_is_tied(
    model: GrootN16, tmp_path: Path
) -> None:
    folder = save(model, tmp_path / "own")
    stored = load_file(folder / "model.safetensors")
    stored[HEAD] = stored[HEAD] + 1
    rewrite(folder, stored)
    again = save(GrootN16.from_pretrained(folder), tmp_path / "again")
    assert torch.equal(load_file(again / "model.safetensors")[HEAD], stored[HEAD])
    del stored[HEAD]
    rewrite(folder, stored)
    same_bits(model, GrootN16.from_pretrained(folder))


def test_each_tensor_keeps_its_dtype_or_all_get_one(tmp_path: Path) -> None:
    mixed = small_model()
    mixed.backbone.to(torch.bfloat16)
    mixed.action_head.vlln.half()
    folder = save(mixed, tmp_path / "mixed", max_shard_bytes=50_000)
    assert set(read_checkpoint(folder).dtypes) == {"F32", "BF16", "F16"}
    same_bits(mixed, GrootN16.from_pretrained(folder))
    single = GrootN16.from_pretrained(folder, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in single.state_dict().values()} == {torch.bfloat16}


def test_a_model_of_two_dtypes_acts(tmp_path: Path) -> None:
    """As fine-tuned checkpoints are: what trained is float32, the rest bfloat16."""
    mixed = small_model()
    mixed.backbone.to(torch.bfloat16)
    mixed.backbone.model.language_model.model.layers[-1].float()
    mixed.action_head.model.bfloat16()
    inputs = small_inputs(mixed.config, padding=2)
    with torch.no_grad():
        actions = mixed.sample(
            mixed.encode(inputs), inputs.state, inputs.embodiment_id, noise_for(inputs)
        )
    assert actions.dtype == torch.float32 and actions.isfinite().all()


def test_a_loaded_model_does_not_change_with_its_file(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    loaded = GrootN16.from_pretrained(folder)
    path = folder / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * (path.stat().st_size // 2))
    same_bits(model, loaded)


def test_nothing_is_overwritten(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    with pytest.raises(CheckpointError, match="nothing is overwritten"):
        save(model, folder)


def test_keys_that_do_not_fit_are_listed_by_module(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    stored = load_file(folder / "model.safetensors")
    for number in range(3):
        del stored[f"backbone.model.language_model.model.layers.{number}.mlp.up_proj.weight"]
    del stored["action_head.vlln.bias"]
    stored["action_head.model.transformer_blocks.9.attn1.to_q.bias"] = torch.zeros(2)
    stored["action_head.state_encoder.layer1.W"] = torch.zeros(4, 64, 32)
    rewrite(folder, stored)
    with pytest.raises(CheckpointError) as caught:
        GrootN16.from_pretrained(folder)
    assert str(caught.value).splitlines()[0].endswith("4 keys missing, 1 extra, 1 of another shape")
    assert str(caught.value).splitlines()[1:] == [
        "  action_head.model: extra (1): transformer_blocks.*.attn1.to_q.bias [9]",
        "  action_head.state_encoder: layer1.W has shape (4, 64, 32), expected (4, 16, 32)",
        "  action_head.vlln: missing (1): bias",
        "  backbone.model.language_model: missing (3): model.layers.*.mlp.up_proj.weight [0..2]",
    ]


def test_what_is_not_strict_starts_at_random(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    stored = load_file(folder / "model.safetensors")
    del stored["action_head.vlln.bias"]
    stored["surplus.weight"] = torch.zeros(2)
    rewrite(folder, stored)
    loaded = GrootN16.from_pretrained(folder, strict=False).state_dict()
    assert loaded.pop("action_head.vlln.bias").count_nonzero() == 0
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())
    stored["action_head.vlln.weight"] = torch.zeros(3)
    rewrite(folder, stored)
    with pytest.raises(CheckpointError, match="weight has shape"):
        GrootN16.from_pretrained(folder, strict=False)


class Scale(torch.nn.Module):
    """A module between backbone and action head."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.full((32,), 2.0))

    def forward(self, given: BackboneFeatures) -> BackboneFeatures:
        return BackboneFeatures(given.features * self.gain, given.mask, given.image_mask)


def test_a_fusion_is_new_to_a_stock_checkpoint_and_then_kept(
    model: GrootN16, tmp_path: Path
) -> None:
    stock = save(model, tmp_path / "stock")
    with_fusion = GrootN16.from_pretrained(stock, fusion=Scale())
    assert with_fusion.state_dict().keys() - model.state_dict().keys() == {"fusion.gain"}
    with torch.no_grad():
        with_fusion.get_parameter("fusion.gain").fill_(3.0)
    kept = save(with_fusion, tmp_path / "kept")
    again = GrootN16.from_pretrained(kept, fusion=Scale())
    assert again.get_parameter("fusion.gain").unique().tolist() == [3.0]
    with pytest.raises(CheckpointError, match=r"fusion: extra \(1\): gain"):
        GrootN16.from_pretrained(kept)


def test_state_dropout_may_be_switched_on(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    loaded = GrootN16.from_pretrained(folder, changes={"state_dropout_prob": 0.5})
    assert loaded.state_dict()[MASK_TOKEN].std() > 0
    assert loaded.config.state_dropout_prob == 0.5
    kept = save(loaded, tmp_path / "kept")
    same_bits(loaded, GrootN16.from_pretrained(kept))
    with pytest.raises(ConfigError, match="no such field"):
        GrootN16.from_pretrained(folder, changes={"state_dropout": 0.5})


def truncate(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[-1]
    path.write_bytes(path.read_bytes()[:-10])


def lose_a_shard(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[1].unlink()


def lead_outside(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "../model.safetensors")
    (folder / INDEX).write_text(json.dumps(index))


def repeat_a_key(folder: Path) -> None:
    first, second = sorted(folder.glob("*.safetensors"))[:2]
    save_file({**load_file(second), **load_file(first)}, second)


def quantise(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    save_file({name: tensor.to(torch.int8) for name, tensor in load_file(path).items()}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "is damaged"),
        (lose_a_shard, "lacks model-00002-of-"),
        (lead_outside, "outside of its folder"),
        (repeat_a_key, "lies in model-00001-of-.* and model-00002-of-"),
        (quantise, "dtype I8"),
        (lambda folder: (folder / INDEX).unlink(), "has neither model.safetensors nor"),
        (lambda folder: (folder / INDEX).write_text("{}"), "has no weight_map"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is not there"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "it holds no object"),
    ],
)
def test_damage_is_named(
    model: GrootN16, tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    folder = save(model, tmp_path / "a", max_shard_bytes=100_000)
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        GrootN16.from_pretrained(folder)


def test_what_is_neither_folder_nor_repository(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nothing"), "./nothing", "nothing"):
        with pytest.raises(ConfigError, match="neither a checkpoint folder nor a repository"):
            GrootN16.from_pretrained(name)


def test_a_repository_of_the_hub(
    model: GrootN16, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = save(model, tmp_path / "a")
    asked: list[Any] = []

    def found(repository: str, **options: Any) -> str:
        asked.append(
            (repository, options["revision"], "*.safetensors" in options["allow_patterns"])
        )
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", found)
    same_bits(model, GrootN16.from_pretrained("nvidia/GR00T-N1.6-3B", revision="main"))
    assert asked == [("nvidia/GR00T-N1.6-3B", "main", True)]


def test_the_hub_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    for raised, kind, message in (
        (errors.LocalEntryNotFoundError("no connection"), UnreachableError, "cannot be reached"),
        (errors.HFValidationError("bad name"), ConfigError, "nvidia/x: bad name"),
        (OSError(errno.ENOSPC, "disk full"), StorageError, "cannot be written to the hub's cache"),
    ):

        def fail(*_: Any, raised: Exception = raised, **__: Any) -> str:
            raise raised

        monkeypatch.setattr(hub, "snapshot_download", fail)
        with pytest.raises(kind, match=message):
            GrootN16.from_pretrained("nvidia/x")


def test_a_device_that_is_not_there(model: GrootN16, tmp_path: Path) -> None:
    folder = save(model, tmp_path / "a")
    with pytest.raises(ConfigError, match="device=nonsense"):
        GrootN16.from_pretrained(folder, device="nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="sees no CUDA"):
            GrootN16.from_pretrained(folder, device="cuda")


def test_an_older_checkpoint_is_refused_before_its_weights_are_read(
    model: GrootN16, tmp_path: Path
) -> None:
    folder = save(model, tmp_path / "a")
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="gr00t_n1_5", architectures=["GR00T_N1_5"])
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"N1\.5 checkpoint"):
        GrootN16.from_pretrained(folder)


MEASURE = """
import sys, torch
from pathlib import Path
from robocache.policies.groot_n16 import GrootN16, loading

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024

def growth():
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    GrootN16.from_pretrained(sys.argv[1])
    return peak() - before

GrootN16.from_pretrained(sys.argv[2])  # everything is imported
print(growth())
if "wasteful" in sys.argv:
    read, kept = loading.read_tensors, []
    loading.read_tensors = lambda *args: ((n, kept.append(t.clone()) or t) for n, t in read(*args))
    print(growth())
"""


def measure(*arguments: object) -> list[int]:
    """Bytes that loading takes at its peak, in a process of its own."""
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def large_config() -> GrootConfig:
    small = small_config()
    text = replace(small.text_config, hidden_size=512, intermediate_size=6000, num_hidden_layers=6)
    return replace(small, text_config=text, backbone_embedding_dim=512, select_layer=6)


def test_loading_holds_the_weights_once(model: GrootN16, tmp_path: Path) -> None:
    """225 MB in several files; a loader that keeps what it read misses the limit."""
    torch.manual_seed(0)
    large = save(GrootN16(large_config()), tmp_path / "large", max_shard_bytes=100_000_000)
    small = save(model, tmp_path / "small")
    size = read_checkpoint(large).bytes
    assert size > 2e8 and len(list(large.glob("*.safetensors"))) > 2
    frugal, wasteful = measure(large, small, "wasteful")
    assert frugal < 1.1 * size
    assert wasteful > 1.5 * size


@pytest.mark.slow
def test_loading_the_released_size_holds_it_once(model: GrootN16, tmp_path: Path) -> None:
    """6.6 GB in two files, as the public checkpoint has them."""
    with torch.device("meta"):
        whole = GrootN16(GrootConfig()).to(torch.bfloat16)
    whole.to_empty(device="cpu")
    whole.backbone.model.language_model.tie()
    with torch.no_grad():
        for number, parameter in enumerate(whole.parameters()):
            parameter.fill_(number)
    large, small = save(whole, tmp_path / "large"), save(model, tmp_path / "small")
    del whole
    assert json.loads((large / INDEX).read_text())["metadata"] == {"total_size": 6_573_217_664}
    assert len(list(large.glob("*.safetensors"))) == 2
    assert measure(large, small)[0] < 1.1 * 6_573_217_664
    shutil.rmtree(large)
