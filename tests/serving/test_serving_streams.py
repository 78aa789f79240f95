"""A policy with streams behind the wire protocol: what is asked for, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import small_flow
from robocache.core import ActionChunk, Observation, StreamInput, StreamSpec
from robocache.core.errors import ConfigError, ObservationError, PolicyError
from robocache.datasets.resize import resize
from robocache.serving import StreamPolicy

POLICY = small_flow.policy()
SERVED = StreamPolicy(POLICY)


def question(number: int) -> tuple[dict[str, Any], dict[str, Any], Observation]:
    """An observation of the wire with its options, and the same for the policy itself."""
    local = small_flow.observation(number)
    state, valid, age = {}, {}, {}
    for name, offsets in (("hand", [1, 2]), ("object.pose", [1, 2]), ("depth", [0, 2])):
        values = local.values[name].reshape(2, -1).astype(np.float32)
        state[name] = np.full((1, 3, values.shape[1]), 77, np.float32)  # at times nobody reads
        state[name][0, offsets] = values
        valid[name], age[name] = np.zeros((1, 3), bool), np.zeros((1, 3))
        valid[name][0, offsets], age[name][0, offsets] = local.valid[name], local.age_s[name]
    valid["rgb"], age["rgb"] = local.valid["rgb"][None], local.age_s["rgb"][None]
    wire = {
        "video": {"rgb": local.values["rgb"][None]},
        "state": state,
        "language": {"task": [[local.instruction]]},
    }
    return wire, {"seed": number, "valid": valid, "age_s": age}, local


def test_the_same_actions_as_the_policy_itself_to_the_bit() -> None:
    questions = [question(number) for number in range(5)]
    answers = SERVED.get_actions([q[0] for q in questions], [q[1] for q in questions])
    chunks = POLICY.act([q[2] for q in questions], range(5))
    for (actions, info), chunk in zip(answers, chunks, strict=True):
        assert actions.keys() == {"action"} and actions["action"].shape == (1, 6, 4)
        assert actions["action"][0].tobytes() == chunk.actions.tobytes()
        assert info["rate_hz"] == 80.0 and info["execute_steps"] == 3


def test_times_are_those_that_any_stream_reads() -> None:
    told = SERVED.modality_config()
    assert told["state"].modality_keys == ["hand", "object.pose", "depth"]
    assert told["state"].delta_indices == [-8, -4, 0]  # -0.1, -0.05 and 0 s at 80 Hz
    assert told["video"].delta_indices == [0] and told["video"].modality_keys == ["rgb"]
    assert told["action"].delta_indices == [0, 1, 2, 3, 4, 5]
    assert told["language"].modality_keys == ["task"]


def test_a_batch_of_rows_and_its_seeds() -> None:
    one, options, _ = question(1)
    two, _, _ = question(2)
    both = {
        modality: {
            name: np.concatenate([one[modality][name], two[modality][name]])
            for name in one[modality]
        }
        for modality in ("video", "state")
    }
    both["language"] = {"task": one["language"]["task"] + two["language"]["task"]}
    del options["valid"], options["age_s"]
    alone = [
        SERVED.get_actions([q], [{"seed": s}])[0][0]["action"] for q, s in ((one, 4), (two, 9))
    ]
    ((actions, _),) = SERVED.get_actions([both], [{"seed": [4, 9]}])
    np.testing.assert_array_equal(actions["action"], np.concatenate(alone))
    ((counted, _),) = SERVED.get_actions([both], [{"seed": 4}])
    np.testing.assert_array_equal(counted["action"][:1], alone[0])


def test_flat_keys_are_answered_flat() -> None:
    wire, options, _ = question(3)
    flat: dict[str, Any] = {f"video.{k}": v for k, v in wire["video"].items()}
    flat |= {f"state.{k}": v for k, v in wire["state"].items()}
    flat |= {"task": ["close the drawer"], "annotation.other": 3}
    wire["language"] = {"task": [["close the drawer"]]}
    ((expected, _),) = SERVED.get_actions([wire], [options])
    ((actions, _),) = SERVED.get_actions([flat], [options])
    assert actions.keys() == {"action.action"}
    np.testing.assert_array_equal(actions["action.action"], expected["action"])


Change = Callable[[dict[str, Any], dict[str, Any]], object]
WRONG: dict[str, tuple[Change, str]] = {
    "missing": (
        lambda o, _: o["state"].update(hands=o["state"].pop("hand")),
        r"state 'hand', which the policy flow reads, is missing .*did you mean 'hands'",
    ),
    "no modality": (lambda o, _: o.pop("video"), "the observation has language, state"),
    "size": (
        lambda o, _: o["video"].update(rgb=np.zeros((1, 1, 20, 20, 3), np.uint8)),
        r"'rgb': the policy flow expects uint8 \(B, 1, 16, 20, 3\), got uint8 \(1, 1, 20,",
    ),
    "dtype": (
        lambda o, _: o["state"].update(hand=np.zeros((1, 3, 3), int)),
        r"state 'hand': the policy flow expects float32 \(B, 3, 3\), got int64",
    ),
    "dimensions": (
        lambda o, _: o["state"].update(hand=np.zeros((3, 3), np.float32)),
        r"got float32 \(3, 3\)",
    ),
    "not an array": (lambda o, _: o["state"].update(hand=[[0.0] * 3]), "got list"),
    "NaN": (lambda o, _: o["state"]["hand"].fill(np.nan), "state 'hand': NaN or infinity"),
    "rows": (
        lambda o, _: o["language"].update(task=[["a"], ["b"]]),
        r"rows must be as many everywhere.*state 'hand' 1.*language 'task' 2",
    ),
    "no rows": (
        lambda o, _: o["state"].update(hand=np.zeros((0, 3, 3), np.float32)),
        "got float32",
    ),
    "texts": (lambda o, _: o["language"].update(task=[3]), "'task': expected one text per row"),
    "no texts": (lambda o, _: o["language"].update(task=3), "'task': expected one text per row"),
    "option": (lambda _, s: s.update(sed=1), "unknown option 'sed'; did you mean 'seed'"),
    "seed": (lambda _, s: s.update(seed="x"), "option seed: expected an integer"),
    "seeds": (lambda _, s: s.update(seed=[1, 2]), "option seed: expected an integer"),
    "valid": (
        lambda _, s: s["valid"].update(hand=np.ones(3, bool)),
        r"valid of 'hand': expected numbers \(1, 3\)",
    ),
    "age": (lambda _, s: s.update(age_s=3), "option age_s: expected a map"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_its_key(name: str) -> None:
    change, words = WRONG[name]
    wire, options, _ = question(1)
    change(wire, options)
    with pytest.raises(ObservationError, match=words):
        SERVED.get_actions([wire], [options])


@pytest.mark.parametrize("observation", [None, 3, [], {}])
def test_what_is_no_observation_is_refused(observation: Any) -> None:
    with pytest.raises(ObservationError):
        SERVED.get_actions([observation], [{"seed": 0}])


class Seen:
    """Keeps what it was shown; answers zeros, or what it is told to."""

    kind = "seen"
    inputs = (StreamInput("camera", size=(8, 10)),)
    execute_steps, action, rate_hz = 1, "action", 10.0

    def __init__(self, specs: Any = None, answer: Any = ((0.0,),)) -> None:
        self.specs = specs or {
            "camera": StreamSpec((8, 10, 3), "uint8"),
            "action": StreamSpec((1,)),
        }
        self.answer = answer
        self.shown: list[Observation] = []

    def act(self, observations: Any, seeds: Any) -> list[ActionChunk]:
        self.shown = list(observations)
        return [ActionChunk(np.array(self.answer), np.zeros(1)) for _ in observations]


def test_pictures_of_any_size_become_what_the_policy_was_trained_on() -> None:
    policy = Seen()
    served = StreamPolicy(policy, resize=resize)
    frames = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 40, 3)).astype(np.uint8)
    observation = {"video": {"camera": frames}, "language": {"task": [["a"], ["b"]]}}
    served.get_actions([observation], [{"seed": 0}])
    for row, shown in enumerate(policy.shown):
        np.testing.assert_array_equal(shown.values["camera"], resize(frames[row], (8, 10)))
    with pytest.raises(ObservationError, match=r"expects uint8 \(B, 1, 8, 10, 3\)"):
        StreamPolicy(Seen()).get_actions([observation], [{"seed": 0}])


def test_a_policy_that_does_not_say_what_it_reads_is_refused() -> None:
    class Silent:
        inputs = (StreamInput("x"),)
        execute_steps = 1

        def act(self, observations: Any, seeds: Any) -> list[ActionChunk]: ...

    with pytest.raises(ConfigError, match="it has no specs, action, rate_hz"):
        StreamPolicy(Silent())


@pytest.mark.parametrize("answer", [((np.nan,),), (0.0,), ((np.inf,),)])
def test_a_policy_that_answers_nonsense_is_refused(answer: Any) -> None:
    with pytest.raises(PolicyError, match="a chunk must be"):
        StreamPolicy(Seen(answer=answer))
