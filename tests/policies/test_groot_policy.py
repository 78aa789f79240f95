"""GR00T N1.6 as a policy: streams in, chunks out, losses that add up, saved and restored."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import arm_recordings
from robocache.core import Observation, StreamInput, Window
from robocache.core.errors import (
    CheckpointError,
    ConfigError,
    MissingStreamError,
    NonFiniteError,
    PolicyError,
)
from robocache.datasets import Batch, WindowTable, compute_statistics
from robocache.policies import load_policy, save_policy
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.beginning import begin
from robocache.policies.groot_n16.lora import LoraSettings
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.settings import (
    ActionGroup,
    EmbodimentSettings,
    GrootSettings,
    StateGroup,
)
from robocache.policies.groot_n16.streams import steps_before
from robocache.policies.groot_n16.tiny import write_tiny
from robocache.policies.trainable import mean_loss

HORIZON = 6
ARM = EmbodimentSettings(
    video={"front": "camera"},
    state={"joints": StateGroup("state", (0, 3)), "hand": StateGroup("state", (3, 4))},
    action={"joints": ActionGroup((0, 3), "RELATIVE"), "hand": ActionGroup((3, 4))},
    horizon=HORIZON,
    projector=10,
)
INPUTS = (StreamInput("camera"), StreamInput("state"))
RATE = arm_recordings.RATE_HZ


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_tiny(folder, state_size=8, action_size=8)
    return folder


@pytest.fixture(scope="module")
def table() -> WindowTable:
    window = Window(INPUTS, "action", RATE, HORIZON)
    return WindowTable([arm_recordings.episode(n, 12) for n in range(3)], window)


def make(
    base: Path, table: WindowTable, arm: Mapping[str, Any] = {}, **changes: Any
) -> GrootPolicy:
    settings: dict[str, Any] = {
        "base": str(base),
        "embodiments": {"arm": dataclasses.replace(ARM, **arm)},
        "execute_steps": 3,
        "tune_top_llm_layers": 1,
        "dtype": "float32",
        **changes,
    }
    torch.manual_seed(0)
    policy, _ = begin(
        GrootSettings(**settings),
        inputs=INPUTS,
        specs=table.specs,
        action="action",
        rate_hz=RATE,
        statistics=compute_statistics(
            [arm_recordings.episode(n, 12) for n in range(3)], ["action"], "data"
        ),
        data={"arm": [(table, 1.0)]},
    )
    return policy


@pytest.fixture(scope="module")
def policy(base: Path, table: WindowTable) -> GrootPolicy:
    return make(base, table)


def observations(table: WindowTable, count: int = 5) -> list[Observation]:
    return [table.observation(row) for row in range(0, 3 * count, 3)]


def test_an_answer_depends_on_its_observation_and_seed_alone(
    policy: GrootPolicy, table: WindowTable
) -> None:
    seen, seeds = observations(table), [3, 1, 4, 1, 5]
    together = policy.act(seen, seeds)
    for view, seed, chunk in zip(seen, seeds, together, strict=True):
        (alone,) = policy.act([view], [seed])
        assert alone.actions.tobytes() == chunk.actions.tobytes()
        np.testing.assert_allclose(alone.times_s, view.now_s + np.arange(HORIZON) / RATE)
    other = policy.act(seen, [seed + 1 for seed in seeds])
    assert all((a.actions != b.actions).any() for a, b in zip(together, other, strict=True))
    assert together[0].actions.shape == (HORIZON, 4)
    assert together[0].actions.dtype == np.float32


def test_blocks_of_several_rows(base: Path, table: WindowTable) -> None:
    """Texts of two lengths, blocks that have to be filled up: still every answer by itself."""
    policy = make(base, table, batch_rows=4)
    seen = observations(table)
    assert len({view.instruction for view in seen}) == 2
    together = policy.act(seen, range(5))
    for number, view in enumerate(seen):
        (alone,) = policy.act([view], [number])
        assert alone.actions.tobytes() == together[number].actions.tobytes()


def test_relative_groups_move_with_the_state(policy: GrootPolicy, table: WindowTable) -> None:
    """What the network gives is added to where the joints are; the hand's is not."""
    (view,) = observations(table, 1)
    (sample,) = [policy.robot.sample(view.values, view.instruction)]
    actions = torch.zeros(1, policy.model.config.action_horizon, policy.model.config.max_action_dim)
    found = policy.processor.decode_actions(actions, [sample["state"]], "arm")
    low, high = (
        getattr(policy.processor.statistics["arm"].relative_action["joints"], name)
        for name in ("minimum", "maximum")
    )
    expected = view.values["state"][-1, :3] + (low + high) / 2
    np.testing.assert_allclose(found["joints"][0], expected, atol=1e-6)
    hand = policy.processor.statistics["arm"].action["hand"]
    middle = np.tile((hand.minimum + hand.maximum) / 2, (HORIZON, 1))
    np.testing.assert_allclose(found["hand"][0], middle, atol=1e-6)


def test_statistics_by_hand(policy: GrootPolicy) -> None:
    episodes = [arm_recordings.episode(n, 12) for n in range(3)]
    statistics = policy.processor.statistics["arm"]
    joints = np.concatenate([e.streams["state"].values[:, :3] for e in episodes])
    np.testing.assert_allclose(statistics.state["joints"].maximum, joints.max(axis=0))
    np.testing.assert_allclose(statistics.state["joints"].mean, joints.mean(axis=0), atol=1e-6)
    moves = np.concatenate(
        [
            [
                e.streams["action"].values[n : n + HORIZON, :3] - e.streams["state"].values[n, :3]
                for n in range(12 - HORIZON + 1)
            ]
            for e in episodes
        ]
    )
    relative = statistics.relative_action["joints"]
    np.testing.assert_allclose(relative.minimum, moves.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(relative.std, moves.std(axis=0), atol=1e-6)


def test_losses_of_rows_add_up(policy: GrootPolicy, table: WindowTable) -> None:
    """Also where steps past the end of an episode do not count."""
    rows = np.array([0, 5, 10, 11, 23, 30])
    batch = table.batch(rows)
    counted = int(batch.action_valid.sum())
    assert counted < batch.action_valid.numel()
    assert policy.loss_weight(batch).item() == counted * 4
    whole = policy.summed_loss(batch, Draws.seeded(7))
    parts = [
        policy.summed_loss(part, Draws.seeded(7, first=n, total=6))
        for n, part in enumerate(batch.split(6))
    ]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, rtol=1e-5, atol=1e-5)


def test_it_learns(base: Path, table: WindowTable) -> None:
    policy = make(base, table, augment=False).train()
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    batch = table.batch(np.arange(0, 36, 2))
    losses = []
    for step in range(80):
        torch.manual_seed(step)
        loss = mean_loss(policy, batch, Draws.seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2, whole=("projector",))])
def test_saved_and_restored_to_the_bit(
    base: Path, table: WindowTable, tmp_path: Path, lora: LoraSettings | None
) -> None:
    policy = make(base, table, lora=lora, state_dropout=0.3)
    with torch.no_grad():
        for weight in policy.learned().values():
            weight += 0.05 * torch.randn_like(weight)
    save_policy(tmp_path, policy, policy.learned())
    again = load_policy(tmp_path)
    assert isinstance(again, GrootPolicy)
    assert again.settings == policy.settings and again.to_json() == policy.to_json()
    assert again.learned().keys() == policy.learned().keys()
    assert ("lora" in next(iter(policy.learned()))) == (lora is not None)
    seen = observations(table)
    for one, two in zip(policy.act(seen, range(5)), again.act(seen, range(5)), strict=True):
        assert one.actions.tobytes() == two.actions.tobytes()


def test_only_what_trains_is_kept(base: Path, table: WindowTable) -> None:
    policy = make(base, table, lora=LoraSettings(rank=2))
    assert all(".lora_" in name for name in policy.learned())
    frozen = make(base, table, tune_top_llm_layers=0, tune_diffusion_model=False)
    assert not any(name.startswith("backbone") for name in frozen.learned())
    assert any(name.startswith("action_head.state_encoder") for name in frozen.learned())


def test_another_base_is_refused(base: Path, table: WindowTable, tmp_path: Path) -> None:
    own = tmp_path / "base"
    write_tiny(own, state_size=8, action_size=8)
    policy = make(own, table)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_policy(folder, policy, policy.learned())
    load_policy(folder)
    shutil.rmtree(own)
    write_tiny(own, state_size=8, action_size=8, seed=1)
    with pytest.raises(CheckpointError, match="is not the base that the policy was trained from"):
        load_policy(folder)


def test_columns_that_no_group_has_get_the_mean(base: Path, table: WindowTable) -> None:
    policy = make(base, table, {"action": {"joints": ActionGroup((0, 3))}})
    (chunk,) = policy.act(observations(table, 1), [0])
    mean = policy.statistics["action"].mean
    np.testing.assert_array_equal(chunk.actions[:, 3], np.float32(mean[3]))
    assert not np.isclose(chunk.actions[:, :3], np.float32(mean[:3])).all()


def test_pictures_matter(policy: GrootPolicy, table: WindowTable) -> None:
    (view,) = observations(table, 1)
    other = {**view.values, "camera": 255 - view.values["camera"]}
    (one,), (two,) = (
        policy.act([dataclasses.replace(view, values=values)], [0])
        for values in (view.values, other)
    )
    assert (one.actions != two.actions).any()


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"video": {"front": "kamera"}}, "video.front: kamera is none of the policy's inputs"),
        ({"video": {"front": "state"}}, r"video.front: state is float32 \(4,\), not uint8"),
        ({"state": {"joints": StateGroup("state", (0, 5))}}, r"columns \[0, 5\] of a stream of 4"),
        ({"action": {"hand": ActionGroup((3, 3))}}, r"action.hand: columns \[3, 3\]"),
        (
            {"action": {"joints": ActionGroup((0, 3)), "hand": ActionGroup((2, 4))}},
            "action.hand: shares columns with another group",
        ),
        ({"projector": None}, "give its projector="),
        ({"statistics": "pretrained"}, "statistics=pretrained needs those of the pretrained"),
    ],
)
def test_embodiments_that_do_not_fit(
    base: Path, table: WindowTable, arm: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(base, table, arm)


def test_settings_that_do_not_fit(base: Path, table: WindowTable) -> None:
    with pytest.raises(ConfigError, match=r"execute_steps must lie in 1..horizon=6"):
        make(base, table, execute_steps=7)
    with pytest.raises(ConfigError, match="the projector must train"):
        make(base, table, state_dropout=0.5, tune_projector=False)
    with pytest.raises(ConfigError, match="must have the same offsets_s"):
        steps_before([StreamInput("camera"), StreamInput("state", (-0.1, 0.0))], 10)
    with pytest.raises(ConfigError, match="multiples of"):
        steps_before([StreamInput("state", (-0.12, 0.0))], 10)
    assert steps_before([StreamInput("state", (-0.2, 0.0))], 10) == (-2, 0)


def test_observations_that_do_not_fit(policy: GrootPolicy, table: WindowTable) -> None:
    (view,) = observations(table, 1)
    with pytest.raises(PolicyError, match="1 observations came with 2 seeds"):
        policy.act([view], [0, 1])
    without = {name: value for name, value in view.values.items() if name != "camera"}
    with pytest.raises(MissingStreamError, match="camera"):
        policy.act([dataclasses.replace(view, values=without)], [0])
    broken = {**view.values, "state": np.full_like(view.values["state"], np.nan)}
    with pytest.raises(NonFiniteError, match=r"state\.hand: embodiment arm"):
        policy.act([dataclasses.replace(view, values=broken)], [0])


def test_a_mixture_names_robots_that_are_known(policy: GrootPolicy, table: WindowTable) -> None:
    batch: Batch = dataclasses.replace(table.batch(np.arange(2)), embodiments=["arm", "leg"])
    with pytest.raises(ConfigError, match="unknown embodiment of the mixture 'leg'"):
        policy.summed_loss(batch, Draws.seeded(0))
    with pytest.raises(ConfigError, match="unknown embodiment 'arn'; did you mean 'arm'"):
        policy.act_as("arn")
