"""GR00T acts: the backbone once, steps compiled or not, frozen weights in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import small_robots
from robocache.core import Observation
from robocache.core.errors import ConfigError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.compiled import CompiledVelocity
from robocache.policies.groot_n16.lora import LoraSettings
from robocache.policies.groot_n16.policy import GrootPolicy

DIFFUSION = LoraSettings(rank=2, targets=("vision", "diffusion"), whole=("projector",))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base") / "tiny"


@pytest.fixture(autouse=True)
def compiles_afresh() -> None:
    torch.compiler.reset()


def seen(policy: GrootPolicy, text: str = "pick it up", step: int = 0) -> Observation:
    episode = small_robots.arm_episode(5)
    values = {
        view.stream: np.asarray(episode.streams[view.stream].values)[step : step + 1]
        for view in policy.inputs
    }
    return Observation(values, {}, {}, text, 0.0)


def act(policy: GrootPolicy, *seeds: int, text: str = "pick it up") -> NDArray[np.float32]:
    views = [seen(policy, text, step) for step in range(len(seeds))]
    return np.stack([chunk.actions for chunk in policy.act(views, seeds)])


def counted(policy: GrootPolicy, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often parts of the network run."""
    calls = {"backbone": 0, "keys and values": 0, "velocity": 0}

    def count(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def spy(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, method, spy)

    count(policy.model.backbone, "forward", "backbone")
    count(policy.model.action_head.model, "context", "keys and values")
    count(policy.model.action_head, "velocity", "velocity")
    return calls


def test_the_backbone_runs_once_for_all_steps(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = small_robots.policy(base, flow_steps=3)
    calls = counted(policy, monkeypatch)
    act(policy, 1)
    assert calls == {"backbone": 1, "keys and values": 1, "velocity": 3}
    act(policy, 1, 2)  # rows of one at a time
    assert calls == {"backbone": 3, "keys and values": 3, "velocity": 9}


def test_a_compiled_policy_acts_alike(base: Path) -> None:
    """Traced, and run by torch's own operators: what is compiled is the same network."""
    policy, _ = small_robots.policy(base)
    expected = act(policy, 3)
    policy.actor.velocity = CompiledVelocity(policy.model.action_head, backend="eager")
    found = act(policy, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(act(policy, 3), found)
    assert not np.allclose(act(policy, 4), found, atol=1e-3)
    with torch.no_grad():
        policy.model.action_head.action_decoder.layer2.b += 1  # weights are not frozen in it
    assert not np.allclose(act(policy, 3), found, atol=1e-3)


def test_what_cannot_be_compiled_says_so(base: Path) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no compiler here")

    torch._dynamo.register_backend(broken, "broken_in_a_test")
    policy, _ = small_robots.policy(base)
    policy.actor.velocity = CompiledVelocity(policy.model.action_head, "broken_in_a_test")
    with pytest.raises(ConfigError, match=r"cannot be compiled on cpu .*compile=false"):
        act(policy, 1)


@pytest.mark.slow
def test_a_compiled_policy_acts_alike_through_inductor(base: Path) -> None:
    policy, _ = small_robots.policy(base)
    expected, longer = act(policy, 3), act(policy, 3, text="pick up the other thing")
    compiled, _ = small_robots.policy(base, compile=True)
    found = act(compiled, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(act(compiled, 3), found)
    again = act(compiled, 3, text="pick up the other thing")
    np.testing.assert_allclose(again, longer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"tune_top_llm_layers": 0},
        {"tune_top_llm_layers": 1},
        {"tune_visual": True},
        {"tune_diffusion_model": False},
        {"tune_projector": False},
        {"tune_vlln": False},
        {"lora": LoraSettings(rank=2)},
        {"lora": DIFFUSION},
    ],
)
def test_frozen_bfloat16_weights_train_and_act_beside_float32(
    base: Path, changes: dict[str, Any]
) -> None:
    """And near what float32 gives: bfloat16 has 8 bits."""
    exact, mixture = small_robots.policy(base, **changes)
    policy, _ = small_robots.policy(base, **{**changes, "dtype": "bfloat16"})
    dtypes = {p.requires_grad: p.dtype for p in policy.model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    expected = act(exact, 1)
    spread = exact.processor.statistics["arm"].action["joints"].std.max()
    assert np.abs(act(policy, 1) - expected).max() < 0.1 * spread
    batch = mixture.batch(np.array([0, 20, 36]))
    losses = []
    for one in (exact, policy):
        one.eval()  # no dropout
        for autocast in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                losses.append(one.summed_loss(batch, Draws.seeded(0)))
    for loss in losses[1:]:
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, losses[0], rtol=0.03, atol=0)
    losses[-1].backward()
    gradients = [p.grad for p in policy.parameters() if p.requires_grad]
    assert all(g is None or g.isfinite().all() for g in gradients)
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_a_policy_that_only_acts_has_one_dtype(base: Path) -> None:
    policy, _ = small_robots.policy(base, dtype="bfloat16")
    before = act(policy, 1)
    policy.only_act()
    assert {weight.dtype for weight in policy.parameters()} == {torch.bfloat16}
    assert not policy.learned()
    spread = policy.processor.statistics["arm"].action["joints"].std.max()
    assert np.abs(act(policy, 1) - before).max() < 0.1 * spread
    lora, _ = small_robots.policy(base, dtype="bfloat16", lora=DIFFUSION)
    lora.only_act()
    kinds = {(".lora_" in n, p.dtype) for n, p in lora.model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert np.isfinite(act(lora, 1)).all()


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_it_trains_and_acts_on_cuda(base: Path, compiled: bool) -> None:
    exact, mixture = small_robots.policy(base)
    expected = act(exact, 1)
    policy, _ = small_robots.policy(base, dtype="bfloat16", compile=compiled)
    policy.to("cuda")
    spread = exact.processor.statistics["arm"].action["joints"].std.max()
    for _ in range(2):
        found = act(policy, 1)
        assert np.abs(found - expected).max() < 0.1 * spread
        np.testing.assert_array_equal(act(policy, 1), found)
        batch = mixture.batch(np.array([0, 20, 36])).to(torch.device("cuda"))
        with torch.autocast("cuda", torch.bfloat16):
            policy.train().summed_loss(batch, Draws.seeded(0)).backward()
        policy.eval().only_act()
