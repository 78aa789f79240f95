"""Modalities and embodiments: their JSON, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from small_groot_processing import TAG, config

from robocache.core.errors import ConfigError, DataError
from robocache.policies.groot_n16.processing.embodiments import (
    embodiment_of_modality_file,
    embodiment_of_streams,
    libero_panda,
    make_embodiment,
    projector_id,
)
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    EmbodimentConfig,
    Representation,
)


def test_enumerations_are_written_by_name_and_read_back() -> None:
    data = config().to_json()
    assert data["state"]["sin_cos_embedding_keys"] == ["wrist"]
    assert data["video"]["action_configs"] is None
    assert data["action"]["action_configs"][3] == {
        "rep": "RELATIVE",
        "type": "EEF",
        "format": "XYZ_ROT6D",
        "state_key": None,
    }
    assert EmbodimentConfig.from_json(TAG, json.loads(json.dumps(data))) == config()


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("action", "action_configs", 0, "rep"), "RELATIV", "RELATIVE"),
        (("action", "action_configs", 0, "state_key"), "am", "action.arm.*'am'"),
        (("action", "action_configs", 0, "state_key"), 3, "state_key is a name"),
        (("action", "action_configs", 0, "colour"), 3, "colour"),
        (("action", "action_configs"), [], "0 action_configs for 5 keys"),
        (("action", "action_configs"), 5, "list or null"),
        (("action", "delta_indices"), [], "must increase"),
        (("action", "delta_indices"), [0, 0], "must increase"),
        (("action", "delta_indices"), [0.5], "list of int"),
        (("action", "sin_cos_embedding_keys"), ["arm"], "for states only"),
        (("state", "mean_std_embedding_keys"), ["bas"], "did you mean 'base'"),
        (("state", "modality_keys"), ["arm", "arm"], "each once"),
        (("state", "modality_keys"), "arm", "list of str"),
        (("video", "modality_keys"), [], "modality_keys is empty"),
        (("language", "modality_keys"), ["a", "b"], "exactly one key"),
        (("language", "delta_indices"), [1], "exactly one key"),
        (("video",), None, "expected an object"),
        (("sound",), {}, "sound"),
    ],
)
def test_what_does_not_fit_is_named(path: tuple[Any, ...], value: Any, problem: str) -> None:
    data = copy.deepcopy(config().to_json())
    entry: Any = data
    for step in path[:-1]:
        entry = entry[step]
    entry[path[-1]] = value
    with pytest.raises(ConfigError, match=problem) as error:
        EmbodimentConfig.from_json(TAG, data)
    assert f"embodiment {TAG}" in str(error.value)


def test_a_missing_modality_is_named() -> None:
    data = config().to_json()
    del data["language"]
    with pytest.raises(ConfigError, match="no modality language"):
        EmbodimentConfig.from_json(TAG, data)


def test_ids_of_the_checkpoint_win() -> None:
    assert projector_id("gr1", {}) == 20
    assert projector_id("gr1", {"gr1": 3}) == 3
    with pytest.raises(ConfigError, match="did you mean 'libero_panda'"):
        projector_id("libero", {})


def test_libero_has_the_public_modalities(oracle_processor: dict[str, Any]) -> None:
    stored = oracle_processor["processor_kwargs"]["modality_configs"]["libero_panda"]
    assert libero_panda().to_json() == stored


@pytest.fixture
def oracle_processor(shared_data: Path) -> dict[str, Any]:
    path = shared_data.parent / "oracles" / "groot_n16" / "processor" / "processor_config.json"
    if not path.is_file():
        pytest.skip("no oracle: ../shared/oracles/groot_n16")
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def test_an_embodiment_follows_from_stream_names() -> None:
    made = embodiment_of_streams(
        ["state.arm", "action.arm", "action.grip", "video.front", "annotation.validity", "time"],
        horizon=3,
        action_configs={"arm": ActionConfig(Representation.RELATIVE)},
    )
    assert made.tag == TAG
    assert made.video.modality_keys == ("front",)
    assert made.action.modality_keys == ("arm", "grip")
    assert made.action.delta_indices == (0, 1, 2)
    assert made.action.action_config("arm").rep is Representation.RELATIVE
    assert made.action.action_config("grip").rep is Representation.ABSOLUTE
    assert made.language_key == "annotation.validity"
    with pytest.raises(ConfigError, match=r"state\.NAME or action\.NAME"):
        embodiment_of_streams(["video.front", "observation.state"])


def test_an_embodiment_follows_from_a_modality_file(tmp_path: Path, shared_data: Path) -> None:
    made = embodiment_of_modality_file(shared_data / "gr1_lerobot_v20/meta/modality.json", "gr1")
    assert made.video.modality_keys == ("ego_view",)
    assert made.state.modality_keys[:2] == ("left_arm", "left_hand")
    assert made.horizon == 16
    assert made.language_key == "annotation.human.action.task_description"
    with pytest.raises(DataError, match="no such file"):
        embodiment_of_modality_file(tmp_path / "modality.json")


def test_an_action_config_of_no_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'arm'"):
        make_embodiment(
            TAG, video=["v"], state=["arm"], action=["arm"], action_configs={"amr": ActionConfig()}
        )
    with pytest.raises(ConfigError, match="horizon"):
        make_embodiment(TAG, video=["v"], state=["arm"], action=["arm"], horizon=0)
