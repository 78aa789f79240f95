"""Validating on what is trained on is refused, whatever the episodes are called."""

from __future__ import annotations

from dataclasses import replace

import pytest
from picture_episodes import EpisodeList, picture_dataset

from robocache.core.errors import ConfigError
from robocache.datasets import open_dataset, require_disjoint
from robocache.datasets.parts import shared_episodes, split_keys
from robocache.datasets.views import select


def test_equal_episodes_with_other_names_are_refused():
    train, other = picture_dataset("a", (5, 6, 7)), picture_dataset("b", (5, 6))
    require_disjoint(train, other)
    again = [replace(train[1], key="new name", instruction="other words"), other[0]]
    validation = EpisodeList("validation", again)
    assert shared_episodes(train, validation) == [("a-1", "new name")]
    with pytest.raises(ConfigError, match=r"1 of 2 episodes to validate on.*a-1 = new name"):
        require_disjoint(train, validation)


def test_lists_of_keys_of_one_dataset():
    dataset = picture_dataset("a", (5, 6, 7, 8))
    parts = split_keys(dataset, {"train": 0.5, "validation": 0.5})
    require_disjoint(*(select(dataset, keys) for keys in parts.values()))
    with pytest.raises(ConfigError, match="a-1 = a-1"):
        require_disjoint(select(dataset, ["a-0", "a-1"]), select(dataset, ["a-1", "a-2"]))


def test_the_bridge_sample_validates_on_what_it_trains_on(shared_data):
    train, val = (
        open_dataset(shared_data / "bridge_rlds", split=name) for name in ("train", "val")
    )
    pairs = shared_episodes(train, val)
    assert {theirs for _, theirs in pairs} == set(val.keys()) and len(val) == 25
    assert {mine for mine, _ in pairs} == set(train.keys()) and len(pairs) == 25
    with pytest.raises(ConfigError, match=r"25 of 25 episodes.* train/000006 = val/000000"):
        require_disjoint(train, val)
    both = open_dataset(shared_data / "bridge_rlds")
    parts = split_keys(both, {"train": 0.6, "validation": 0.4})
    require_disjoint(*(select(both, keys) for keys in parts.values()))
