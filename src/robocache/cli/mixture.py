"""`mixture={...}` of `robocache train`: several datasets, each seen as all of them are to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from robocache.cli.configuration import build
from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.window import Window
from robocache.datasets import Reader
from robocache.datasets.mixture import Transform
from robocache.datasets.transforms import find_transform
from robocache.datasets.views import View, rename_streams
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.runs import RunStore, plain

FILES = (".yaml", ".yml")


@dataclass(frozen=True)
class Member:
    """A dataset of a mixture.

    Attributes:
        dataset: a folder, or the name of a collection.
        options: given to its reader, e.g. {split: train}.
        weight: share of the samples, relative to the other datasets.
        embodiment: name of the robot, told with every sample.
        rename: old -> new name of streams.
        transforms: what is done to each episode in turn, after `rename`: name -> arguments, with a
            name in `robocache.datasets.transforms.TRANSFORMS` or `module:attribute`.
        hold_out: keys of episodes not to train on.
        on_error: `raise` or `skip` damaged episodes; "": as the run does.
    """

    dataset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    embodiment: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    transforms: tuple[Mapping[str, Any], ...] = ()
    hold_out: tuple[str, ...] = ()
    on_error: Literal["", "raise", "skip"] = ""


def seen(
    dataset: Reader, rename: Mapping[str, str], transforms: Sequence[Mapping[str, Any]]
) -> Reader:
    """The episodes of a dataset renamed, then transformed; see `Member`.

    Raises:
        ConfigError: an unknown transform, or arguments that it does not take.
    """
    if rename:
        dataset = rename_streams(dataset, rename)
    changes = [make_transform(one) for one in transforms]
    if not changes:
        return dataset

    return View(dataset, {"transforms": plain(transforms)}, change=_Changes(tuple(changes)))


@dataclass(frozen=True)
class _Changes:
    """Transforms one after the other; can be sent to another process if they can."""

    changes: tuple[Transform, ...]

    def __call__(self, episode: Episode) -> Episode:
        for change in self.changes:
            episode = change(episode)
        return episode


def read_members(mixture: Mapping[str, Any]) -> dict[str, Member]:
    """The datasets of a mixture by name, in the order of their names.

    Raises:
        ConfigError: names the dataset and what is wrong with its settings.
    """
    members = {}
    for name, settings in sorted(mixture.items()):
        try:
            if not isinstance(settings, Mapping):
                raise ConfigError(f"should be settings such as {{dataset: ...}}, got {settings!r}")
            members[name] = build(Member, settings)
            for transform in members[name].transforms:
                make_transform(transform)
        except ConfigError as error:
            raise ConfigError(f"mixture.{name}: {error}") from None
    return members


def window_for(windows: Mapping[str, Window], embodiment: str) -> Window:
    """What samples of an embodiment see and predict; see `windows_seen`.

    Raises:
        ConfigError: the policy tells robots apart, and does not know this one.
    """
    if len(windows) == 1:
        return windows[""]
    if embodiment not in windows:
        raise unknown_name("embodiment of the mixture", embodiment, filter(None, windows))
    return windows[embodiment]


def record_members(members: Mapping[str, Member], fingerprints: Mapping[str, str]) -> Any:
    """A mixture as a manifest keeps it: datasets by their fingerprints, and only what was given."""
    return {
        name: {
            **{key: value for key, value in plain(asdict(member)).items() if value},
            "dataset": fingerprints[name],
        }
        for name, member in members.items()
    }


def make_transform(settings: Mapping[str, Any]) -> Transform:
    """A transform from its name and arguments, e.g. {gripper: {kind: closed}}.

    Raises:
        ConfigError: an unknown name, or arguments that it does not take.
    """
    if len(settings) != 1:
        raise ConfigError(f"a transform is one name with its arguments, got {dict(settings)}")
    ((name, arguments),) = settings.items()
    maker = find_transform(str(name))
    try:
        if is_dataclass(maker) and isinstance(maker, type):
            made: Any = build(maker, arguments or {})
        else:
            made = maker(**(arguments or {}))
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"transform {name!r}: {error}") from None
    return cast(Transform, made)


def take_mixture_file(overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Overrides without `mixture=FILE.yaml`, and the settings of that file.

    Raises:
        ConfigError: the file is not there, or holds no mixture.
    """
    files = [t for t in overrides if t.startswith("mixture=") and t.endswith(FILES)]
    content: dict[str, Any] = {}
    for text in files:
        path = Path(text.removeprefix("mixture="))
        try:
            read = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        except (OSError, OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(f"{text}: {str(error).splitlines()[0]}") from None
        if not isinstance(read, dict):
            raise ConfigError(f"{text}: should hold name: {{dataset: ...}}")
        content |= {str(name): settings for name, settings in read.items()}
    settings = {"mixture": content} if files else {}
    return [text for text in overrides if text not in files], settings


def source_of(name: str) -> str:
    """What a manifest calls the place where a dataset of a mixture was found."""
    return f"mixture.{name}"


def validation_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the reader of recordings to judge on: where they are seen as those of a dataset of
    the mixture its options, and `validation_options` over them."""
    member = settings["mixture"][settings["validation_as"]] if settings.get("validation_as") else {}
    return {**(member.get("options") or {}), **(settings.get("validation_options") or {})}


def settings_of_member(store: RunStore, sha256: str, config: OpenLoopConfig) -> dict[str, Any]:
    """Settings of `eval --open-loop` by which recordings are seen as those of `config.seen_as`.

    Args:
        sha256: identity of the checkpoint that was trained on the mixture.

    Raises:
        ConfigError: it was trained on no such mixture, as far as is known here.
    """
    maker = store.maker(sha256)
    mixture = {} if maker is None else maker.config.get("mixture", {})
    if config.seen_as not in mixture:
        raise unknown_name("dataset of the policy's mixture", config.seen_as, mixture)
    if config.rename or config.transforms or config.embodiment:
        raise ConfigError(
            "seen_as takes rename, transforms and embodiment from the mixture: give either"
        )
    member = mixture[config.seen_as]
    return {
        "dataset_options": {**member.get("options", {}), **config.dataset_options},
        "rename": member.get("rename", {}),
        "transforms": member.get("transforms", []),
        "embodiment": member.get("embodiment", ""),
        "seen_as": "",
    }
