"""A GR00T policy that learns of two unlike robots at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import small_robots
from robocache.core.errors import ConfigError
from robocache.core.window import Observation
from robocache.datasets import Batch, Mixture
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.trainable import mean_loss

ROWS = np.array([0, 20, 36, 21, 3, 37, 8])
"""Of the arm 0..17, of the hand 18..33, of the arm again 34..38; 8 has one action left, 21 all."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[GrootPolicy, Mixture]:
    return small_robots.policy(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def policy(made: tuple[GrootPolicy, Mixture]) -> GrootPolicy:
    return made[0]


@pytest.fixture
def batch(made: tuple[GrootPolicy, Mixture]) -> Batch:
    return made[1].batch(ROWS)


def test_statistics_of_each_robot_are_those_of_its_own_data(policy: GrootPolicy) -> None:
    found = policy.processor.statistics
    hands = [small_robots.hand_episode(number) for number in range(2)]
    state = np.concatenate([e.streams["hand.state"].values for e in hands]).astype(np.float64)
    action = np.concatenate([e.streams["hand.action"].values for e in hands]).astype(np.float64)
    for name, group, expected in (
        ("state", "fingers", state[:, :3]),
        ("state", "palm", state[:, 1:3]),
        ("action", "thumb", action[:, 4:5]),
    ):
        statistics = getattr(found["hand"], name)[group]
        np.testing.assert_allclose(statistics.mean, expected.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(statistics.std, expected.std(axis=0), rtol=1e-6)
        np.testing.assert_allclose(statistics.minimum, expected.min(axis=0), rtol=1e-6)
        np.testing.assert_allclose(statistics.maximum, expected.max(axis=0), rtol=1e-6)
    windows = np.stack(
        [
            np.asarray(e.streams["hand.action"].values)[k : k + 3, :2]
            - np.asarray(e.streams["hand.state"].values)[k, 1:3]
            for e in hands
            for k in range(6)
        ]
    )
    relative = found["hand"].relative_action["fingers"]
    np.testing.assert_allclose(relative.maximum, windows.max(axis=0), rtol=1e-5)


def test_statistics_of_two_datasets_of_a_robot_count_by_weight(policy: GrootPolicy) -> None:
    first, second = (
        np.concatenate([small_robots.arm_episode(n, s).streams["action"].values for n, s in which])
        for which in (((0, 9), (1, 9)), ((2, 5),))
    )
    found = policy.processor.statistics["arm"].action["joints"]
    mean = 0.25 * first.mean(axis=0) + 0.75 * second.mean(axis=0)
    square = 0.25 * (first.astype(float) ** 2).mean(axis=0) + 0.75 * (
        second.astype(float) ** 2
    ).mean(axis=0)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.std, np.sqrt(square - mean**2), rtol=1e-4)
    np.testing.assert_allclose(found.minimum, np.minimum(first.min(0), second.min(0)), rtol=1e-6)


def test_a_batch_is_the_sum_of_its_windows(policy: GrootPolicy, batch: Batch) -> None:
    policy.eval()  # without dropout
    whole = policy.summed_loss(batch, Draws.seeded(4))
    total = len(batch.index)
    alone = [
        policy.summed_loss(window, Draws.seeded(4, row, total))
        for row, window in enumerate(batch.windows())
    ]
    assert len({value.item() for value in alone}) == total
    torch.testing.assert_close(whole, torch.stack(alone).sum(), rtol=1e-5, atol=0)
    parts = [policy.loss_weight(window) for window in batch.windows()]
    assert policy.loss_weight(batch) == sum(parts)


def test_only_a_robots_own_numbers_count(policy: GrootPolicy, batch: Batch) -> None:
    """Arm: 2 numbers, 4 steps; hand: 3 of its 5 numbers, 3 steps; fewer at the end."""
    assert batch.embodiments == ["arm", "hand", "arm", "hand", "arm", "arm", "arm"]
    weights = [int(policy.loss_weight(window)) for window in batch.windows()]
    assert weights == [8, 9, 6, 9, 8, 4, 2]
    seen: list[torch.Tensor] = []
    loss = policy.model.loss

    def spy(inputs, *arguments, **options):  # type: ignore[no-untyped-def]
        seen.append(inputs.action_mask)
        return loss(inputs, *arguments, **options)

    policy.model.loss = spy  # type: ignore[method-assign]
    try:
        policy.summed_loss(batch, Draws.seeded(0))
    finally:
        del policy.model.loss
    (mask,) = seen
    assert mask.sum(dim=(1, 2)).tolist() == weights
    assert (mask[1, :3, :3] == 1).all() and (mask[0, :4, :2] == 1).all()


def test_what_a_robot_does_not_predict_changes_nothing(policy: GrootPolicy, batch: Batch) -> None:
    before = policy.summed_loss(batch, Draws.seeded(4))
    batch.windows()[1].actions[..., 2:4] = 1e6
    assert torch.equal(policy.summed_loss(batch, Draws.seeded(4)), before)
    batch.windows()[1].actions[..., 4] = 1e6
    assert not torch.equal(policy.summed_loss(batch, Draws.seeded(4)), before)


def test_it_learns(tmp_path: Path) -> None:
    policy, mixture = small_robots.policy(tmp_path / "tiny", augment=False)
    batch = mixture.batch(mixture.order(0, 0)[:12])
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=3e-3)

    @torch.no_grad()
    def judged(tag: str) -> float:
        policy.eval()
        of_robot = [
            (row, window)
            for row, window in enumerate(batch.windows())
            if window.embodiments == [tag]
        ]
        sums = [policy.summed_loss(window, Draws.seeded(7, row, 12)) for row, window in of_robot]
        return float(sum(sums) / sum(policy.loss_weight(window) for _, window in of_robot))

    before = {tag: judged(tag) for tag in ("arm", "hand")}
    for _ in range(20):
        policy.train()
        optimizer.zero_grad()
        mean_loss(policy, batch, Draws.seeded(7)).backward()
        optimizer.step()
    for tag, loss in before.items():
        assert judged(tag) < 0.8 * loss, (tag, loss, judged(tag))


def test_it_acts_as_either_robot_and_is_the_same_when_read(policy: GrootPolicy) -> None:
    data = json.loads(json.dumps(policy.to_json(), sort_keys=True))
    again = GrootPolicy.from_json(data)
    again.load_learned(policy.learned())
    for tag, episode, width, steps in (
        ("arm", small_robots.arm_episode(5), 2, 4),
        ("hand", small_robots.hand_episode(5), 5, 3),
    ):
        for one in (policy, again):
            one.act_as(tag)
        assert policy.window == again.window and policy.window.horizon == steps
        values = {
            view.stream: np.asarray(episode.streams[view.stream].values)[:1]
            for view in policy.inputs
        }
        seen = Observation(values, {}, {}, "pick it up", 1.0)
        chunk, same = policy.act([seen], [3])[0], again.act([seen], [3])[0]
        assert chunk.actions.shape == (steps, width)
        np.testing.assert_array_equal(chunk.actions, same.actions)
        assert chunk.times_s[1] == pytest.approx(1.0 + 1 / policy.rate_hz)
    hand = again.statistics["hand.action"].mean
    np.testing.assert_allclose(chunk.actions[:, 2:4], np.tile(hand[2:4], (3, 1)), rtol=1e-6)
    with pytest.raises(ConfigError, match="did you mean 'hand'"):
        policy.act_as("hend")
    policy.act_as("arm")


def test_streams_that_do_not_fit_a_robot_are_refused(policy: GrootPolicy) -> None:
    data = policy.to_json()
    wrong = {**data, "own": {}}
    with pytest.raises(ConfigError, match=r"hand, video.left: hand.left is none of"):
        GrootPolicy.from_json(wrong)


def test_a_dataset_of_an_unknown_robot_is_refused(policy: GrootPolicy, batch: Batch) -> None:
    batch.embodiments[1] = "hend"
    with pytest.raises(ConfigError, match="embodiment of the mixture 'hend'; did you mean 'hand'"):
        policy.summed_loss(batch, Draws.seeded(0))


def test_groups_lie_in_columns_of_the_stream() -> None:
    robot = Robot("hand", small_robots.HAND, 5)
    whole = np.arange(10.0).reshape(2, 5)
    assert robot.predicted == 3
    assert {k: v.tolist() for k, v in robot.columns(whole).items()} == {
        "fingers": [[0, 1], [5, 6]],
        "thumb": [[4], [9]],
    }
