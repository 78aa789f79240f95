"""The flow policy: repeatable to the bit, every weight alive, and it learns what it is shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import small_flow
from robocache.core import Observation, Policy
from robocache.core.errors import ConfigError, MissingStreamError
from robocache.policies import FlowPolicy
from robocache.policies.draws import Draws
from robocache.policies.flow import Difference
from robocache.policies.flow.text import hashed_ngrams
from robocache.policies.trainable import mean_loss


@pytest.fixture(scope="module")
def policy() -> FlowPolicy:
    return small_flow.policy()


def bits(policy: FlowPolicy, numbers: list[int], seeds: list[int] | None = None) -> list[bytes]:
    seen = [small_flow.observation(number) for number in numbers]
    chunks = policy.act(seen, seeds or [1000 + number for number in numbers])
    assert len(chunks) == len(numbers)
    return [chunk.actions.tobytes() for chunk in chunks]


def test_the_shape_of_an_answer(policy: FlowPolicy) -> None:
    assert isinstance(policy, Policy)
    (chunk,) = policy.act([small_flow.observation(7)], [1])
    assert chunk.actions.shape == (6, 4) and chunk.actions.dtype == np.float32
    np.testing.assert_allclose(chunk.times_s, 0.7 + np.arange(6) / 80, rtol=1e-12)
    assert policy.act([], []) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_the_batch_does_not_matter(policy: FlowPolicy, threads: int) -> None:
    """One by one, 3, 16 or 17 at a time, in any order: the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = {number: bits(policy, [number])[0] for number in range(18)}
        assert len(set(alone.values())) == 18
        random = np.random.default_rng(0)
        for size in (3, 16, 17):
            numbers = random.permutation(18)[:size].tolist()
            assert bits(policy, numbers) == [alone[number] for number in numbers]
        assert bits(policy, [5] * 17, [1005] * 17) == [alone[5]] * 17
    finally:
        torch.set_num_threads(before)


def test_the_seed_decides(policy: FlowPolicy) -> None:
    assert bits(policy, [1, 1], [5, 5])[0] == bits(policy, [1], [5])[0]
    assert len(set(bits(policy, [1] * 9, list(range(9))))) == 9
    torch.manual_seed(1)
    one = bits(policy, [1], [5])
    torch.manual_seed(2)
    assert bits(policy, [1], [5]) == one, "no global generator is used"


def test_every_parameter_learns(policy: FlowPolicy) -> None:
    """Away from the zeros of a fresh network no weight may be without gradient."""
    trained = small_flow.policy().train()
    loss = mean_loss(trained, small_flow.batch(), Draws.seeded(0))
    loss.backward()
    dead = [
        name
        for name, parameter in trained.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert dead == []


def test_the_loss_follows_from_its_generator(policy: FlowPolicy) -> None:
    batch = small_flow.batch()
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 50)
        losses.append(mean_loss(policy, batch, Draws.seeded(seed)).item())
    assert losses[0] == losses[1] != losses[2]


def test_masked_actions_do_not_count(policy: FlowPolicy) -> None:
    """The loss is the mean over valid actions: two masks that share a batch add up to all of it."""
    batch = small_flow.batch()

    def total(valid: torch.Tensor) -> float:
        masked = dataclasses.replace(batch, action_valid=valid)
        loss = mean_loss(policy, masked, Draws.seeded(0))
        return loss.item() * int(valid.sum())

    mask = batch.action_valid
    parts, whole = total(mask) + total(~mask), total(torch.ones_like(mask))
    assert 0 < total(~mask) < whole
    assert parts == pytest.approx(whole, rel=1e-5)


def test_invalid_inputs_are_not_read(policy: FlowPolicy) -> None:
    """Whatever lies in an invalid entry, the features are the same."""
    batch = small_flow.batch()
    valid = {name: torch.zeros_like(flags) for name, flags in batch.valid.items()}
    other = {name: torch.full_like(values, 3) for name, values in batch.values.items()}
    text = policy.features.encode_text(batch.instructions)

    def seen(values: dict[str, torch.Tensor], valid: dict[str, torch.Tensor]) -> torch.Tensor:
        return policy.features(values, valid, batch.age_s, text)

    assert seen(batch.values, valid).equal(seen(other, valid))
    assert not seen(batch.values, batch.valid).equal(seen(other, batch.valid))


@pytest.mark.parametrize("name", ["hand", "object.pose", "depth", "rgb"])
def test_every_input_is_read(policy: FlowPolicy, name: str) -> None:
    seen = small_flow.observation(1)
    valid = {**seen.valid, name: np.ones_like(seen.valid[name])}
    seen = dataclasses.replace(seen, valid=valid)
    values = {**seen.values, name: seen.values[name][:, ::-1].copy()}
    other = dataclasses.replace(seen, values=values)
    one, two = policy.act([seen, other], [1, 1])
    assert not np.array_equal(one.actions, two.actions)
    blind = dataclasses.replace(seen, valid={**valid, name: np.zeros_like(valid[name])})
    (three,) = policy.act([blind], [1])
    assert not np.array_equal(one.actions, three.actions)


def test_ages_are_read_where_asked_for(policy: FlowPolicy) -> None:
    seen = small_flow.observation(1)
    none = {name: np.full_like(age, np.inf) for name, age in seen.age_s.items()}
    late = {name: age + 0.05 for name, age in seen.age_s.items()}

    def answer(policy: FlowPolicy, age_s: dict[str, np.ndarray], **changes) -> bytes:
        view = dataclasses.replace(seen, age_s=age_s, **changes)
        return policy.act([view], [1])[0].actions.tobytes()

    assert answer(policy, seen.age_s) == answer(policy, late)
    aware = small_flow.policy(ages=True)
    assert answer(aware, seen.age_s) != answer(aware, late)
    blind = {name: np.zeros_like(flags) for name, flags in seen.valid.items()}
    assert answer(aware, none, valid=blind) == answer(aware, late, valid=blind)
    (chunk,) = aware.act([dataclasses.replace(seen, age_s=none)], [1])
    assert np.isfinite(chunk.actions).all()


def test_ages_are_learned() -> None:
    """Actions that only the age of a sample tells."""
    batch = small_flow.batch(24)
    ages = batch.age_s["hand"][:, -1:, None].float() * 10
    batch = dataclasses.replace(
        batch,
        actions=(4 * ages - 2).expand(24, 6, 4),
        valid={name: torch.ones_like(flags) for name, flags in batch.valid.items()},
        values={name: torch.zeros_like(values) for name, values in batch.values.items()},
        instructions=["go"] * 24,
    )

    def loss_after_training(policy: FlowPolicy) -> float:
        policy.train()
        optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
        for step in range(200):
            optimizer.zero_grad()
            mean_loss(policy, batch, Draws.seeded(step)).backward()
            optimizer.step()
        draws = (Draws.seeded(1000 + number) for number in range(20))
        return sum(mean_loss(policy, batch, one).item() for one in draws) / 20

    states = small_flow.INPUTS[:2]
    aware = loss_after_training(small_flow.policy(inputs=states, ages=True))
    assert aware < 0.4 * loss_after_training(small_flow.policy(inputs=states))


def test_the_instruction_is_read(policy: FlowPolicy) -> None:
    seen = small_flow.observation(1)
    answers = {
        policy.act([dataclasses.replace(seen, instruction=words)], [1])[0].actions.tobytes()
        for words in small_flow.WORDS
    }
    assert len(answers) == len(small_flow.WORDS)


def test_no_depth_is_not_near_depth(policy: FlowPolicy) -> None:
    """Zero millimetres means that nothing came back; beyond the limit all is equally far."""
    encoder = policy.features.encoders[0]
    frames = torch.zeros(4, 24, 32, dtype=torch.int32)
    frames[1] = 1
    frames[2] = 5000
    frames[3] = 60000
    none, near, far, further = encoder(frames.to(torch.uint16))
    assert not torch.allclose(none, near, atol=1e-3)
    assert not torch.allclose(none, far, atol=1e-3)
    assert far.equal(further)


def test_a_missing_stream_is_named(policy: FlowPolicy) -> None:
    seen = small_flow.observation(0)
    without = {name: value for name, value in seen.values.items() if name != "depth"}
    with pytest.raises(MissingStreamError, match=r"depth: not observed \(streams: hand, object"):
        policy.act([dataclasses.replace(seen, values=without)], [0])


def test_differences_that_cannot_be_taken() -> None:
    def with_difference(difference: Difference) -> FlowPolicy:
        base = small_flow.policy()
        config = dataclasses.replace(base.config, differences=(difference,))
        return FlowPolicy(
            config,
            inputs=base.inputs,
            specs=base.specs,
            action=base.action,
            rate_hz=base.rate_hz,
            statistics=base.statistics,
        )

    with pytest.raises(ConfigError, match="needs 'foot' among the state inputs"):
        with_difference(Difference("hand", (0,), "foot", (0,)))
    with pytest.raises(ConfigError, match="needs 'depth' among the state inputs"):
        with_difference(Difference("depth", (0,), "hand", (0,)))


def test_training_moves_actions_to_the_demonstrated_ones() -> None:
    """On a handful of windows the loss falls, and sampling finds the actions again."""
    policy = small_flow.policy(moved=False, inputs=small_flow.INPUTS[:2]).train()
    batch = small_flow.batch(8)
    batch = dataclasses.replace(batch, action_valid=torch.ones_like(batch.action_valid))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=4e-3)
    losses = []
    for step in range(400):
        loss = mean_loss(policy, batch, Draws.seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    policy.eval()
    seen: list[Observation] = [small_flow.observation(number) for number in range(8)]
    chunks = policy.act(seen, list(range(8)))
    error = np.mean([np.abs(c.actions - a).mean() for c, a in zip(chunks, batch.actions.numpy())])
    spread = batch.actions.numpy().std()
    assert error < 0.5 * spread


@pytest.mark.parametrize("size", [64, 1024])
def test_hashed_ngrams(size: int) -> None:
    def ngrams(text: str) -> np.ndarray:
        return hashed_ngrams(text, size)

    for text in small_flow.WORDS[:4]:
        vector = ngrams(text)
        assert vector.shape == (size,) and vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-5)
        assert (vector >= 0).all()
    assert not ngrams("").any() and not ngrams(" ?! ").any()
    np.testing.assert_array_equal(ngrams("Open the DRAWER!"), ngrams("open  the drawer"))
    assert not np.array_equal(ngrams("open the drawer"), ngrams("the open drawer")), "word order"
    near = ngrams("open the drawer") @ ngrams("opened the drawers")
    far = ngrams("open the drawer") @ ngrams("push a button")
    assert near > far + 0.2
    with pytest.raises(ValueError, match="read-only"):
        ngrams("open the drawer")[0] = 1
    doubled = ngrams("push push")
    assert np.flatnonzero(doubled).size > np.flatnonzero(ngrams("push")).size, "a pair of words"
