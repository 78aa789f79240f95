"""What an embodiment reads and predicts: the `modality_configs` of processor_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, TypeVar

from robocache.core.errors import ConfigError, unknown_name

MODALITIES = ("video", "state", "action", "language")


class Representation(StrEnum):
    """What an action is relative to: the last state, the action before, or nothing."""

    RELATIVE = "RELATIVE"
    DELTA = "DELTA"
    ABSOLUTE = "ABSOLUTE"


class ActionType(StrEnum):
    """A pose of an end effector, or numbers that are subtracted one by one."""

    EEF = "EEF"
    NON_EEF = "NON_EEF"


class ActionFormat(StrEnum):
    """Numbers of an end effector's pose.

    DEFAULT: a 4x4 matrix, row by row (16). XYZ_ROT6D: position, then the first two rows of the
    rotation matrix (9). XYZ_ROTVEC: position, then axis times angle in radians (6).
    """

    DEFAULT = "DEFAULT"
    XYZ_ROT6D = "XYZ_ROT6D"
    XYZ_ROTVEC = "XYZ_ROTVEC"


AnyEnum = TypeVar("AnyEnum", bound=StrEnum)


@dataclass(frozen=True)
class ActionConfig:
    """How one action group is represented.

    Attributes:
        rep, type, format: see the enumerations.
        state_key: state group that it is relative to; None: the group of its own name.
    """

    rep: Representation = Representation.ABSOLUTE
    type: ActionType = ActionType.NON_EEF
    format: ActionFormat = ActionFormat.DEFAULT
    state_key: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "rep": self.rep.name,
            "type": self.type.name,
            "format": self.format.name,
            "state_key": self.state_key,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], place: str) -> Self:
        """`place` says what it belongs to in errors.

        Raises:
            ConfigError: a field is unknown or has no such value.
        """
        fields = _fields(data, ("rep", "type", "format", "state_key"), place)
        state_key = fields.get("state_key")
        if not isinstance(state_key, str | None):
            raise ConfigError(f"{place}: state_key is a name or null, got {state_key!r}")
        return cls(
            _member(Representation, fields.get("rep", "ABSOLUTE"), place),
            _member(ActionType, fields.get("type", "NON_EEF"), place),
            _member(ActionFormat, fields.get("format", "DEFAULT"), place),
            state_key,
        )


@dataclass(frozen=True)
class ModalityConfig:
    """One modality of an embodiment.

    Attributes:
        delta_indices: steps relative to now, e.g. (0,) for states, (0, ..., 15) for actions.
        modality_keys: names of the groups, in the order of the network's vectors.
        sin_cos_embedding_keys: state groups in radians given as sine and cosine.
        mean_std_embedding_keys: groups scaled by mean and standard deviation instead of by range.
        action_configs: one for each of an action's `modality_keys`; None: all absolute.
    """

    delta_indices: tuple[int, ...]
    modality_keys: tuple[str, ...]
    sin_cos_embedding_keys: tuple[str, ...] | None = None
    mean_std_embedding_keys: tuple[str, ...] | None = None
    action_configs: tuple[ActionConfig, ...] | None = None

    def action_config(self, key: str) -> ActionConfig:
        """Of one action group."""
        if self.action_configs is None:
            return ActionConfig()
        return self.action_configs[self.modality_keys.index(key)]

    def to_json(self) -> dict[str, Any]:
        configs = self.action_configs
        return {
            "delta_indices": list(self.delta_indices),
            "modality_keys": list(self.modality_keys),
            "sin_cos_embedding_keys": _list(self.sin_cos_embedding_keys),
            "mean_std_embedding_keys": _list(self.mean_std_embedding_keys),
            "action_configs": None if configs is None else [c.to_json() for c in configs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], place: str) -> Self:
        """`place` says what it belongs to in errors.

        Raises:
            ConfigError: a field is missing, unknown, or of the wrong kind.
        """
        names = ("delta_indices", "modality_keys", "sin_cos_embedding_keys")
        fields = _fields(data, (*names, "mean_std_embedding_keys", "action_configs"), place)
        configs = fields.get("action_configs")
        if configs is not None:
            if not isinstance(configs, list):
                raise ConfigError(f"{place}: action_configs is a list or null, got {configs!r}")
            configs = tuple(
                ActionConfig.from_json(entry, f"{place}, action_configs[{number}]")
                for number, entry in enumerate(configs)
            )
        return cls(
            delta_indices=_sequence(fields, "delta_indices", int, place),
            modality_keys=_sequence(fields, "modality_keys", str, place),
            sin_cos_embedding_keys=_optional(fields, "sin_cos_embedding_keys", place),
            mean_std_embedding_keys=_optional(fields, "mean_std_embedding_keys", place),
            action_configs=configs,
        )


@dataclass(frozen=True)
class EmbodimentConfig:
    """The four modalities of one embodiment.

    Attributes:
        tag: its name, e.g. "libero_panda".
        video, state, action, language: what is read and predicted.

    Raises:
        ConfigError: they do not fit together; names the embodiment and the key.
    """

    tag: str
    video: ModalityConfig
    state: ModalityConfig
    action: ModalityConfig
    language: ModalityConfig

    def __post_init__(self) -> None:
        for name in MODALITIES:
            self._check(name, getattr(self, name))
        language = self.language
        if len(language.modality_keys) != 1 or language.delta_indices != (0,):
            raise self._error("language", "expected exactly one key at delta_indices [0]")
        if self.action.sin_cos_embedding_keys:
            raise self._error("action", "sine and cosine are for states only")
        configs = self.action.action_configs
        if configs is not None and len(configs) != len(self.action.modality_keys):
            raise self._error(
                "action",
                f"{len(configs)} action_configs for {len(self.action.modality_keys)} keys",
            )
        for key in self.action.modality_keys:
            if self.is_relative(key) and self.reference_key(key) not in self.state.modality_keys:
                raise self._error(
                    f"action.{key}",
                    f"it is {self.action.action_config(key).rep.name} to the state group "
                    f"{self.reference_key(key)!r}, which is not among {self.state.modality_keys}",
                )

    @property
    def language_key(self) -> str:
        return self.language.modality_keys[0]

    @property
    def horizon(self) -> int:
        """Steps of an action."""
        return len(self.action.delta_indices)

    def is_relative(self, key: str) -> bool:
        """Whether an action group is declared RELATIVE or DELTA."""
        return self.action.action_config(key).rep is not Representation.ABSOLUTE

    def reference_key(self, key: str) -> str:
        """The state group that an action group is relative to."""
        return self.action.action_config(key).state_key or key

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_json() for name in MODALITIES}

    @classmethod
    def from_json(cls, tag: str, data: Mapping[str, Any]) -> Self:
        """
        Raises:
            ConfigError: a modality is missing or malformed; names embodiment and modality.
        """
        fields = _fields(data, MODALITIES, f"embodiment {tag}")
        if missing := [name for name in MODALITIES if name not in fields]:
            raise ConfigError(f"embodiment {tag}: no modality {', '.join(missing)}")
        return cls(
            tag,
            *(
                ModalityConfig.from_json(fields[name], f"embodiment {tag}, {name}")
                for name in MODALITIES
            ),
        )

    def _check(self, name: str, modality: ModalityConfig) -> None:
        keys, indices = modality.modality_keys, modality.delta_indices
        if not keys and name != "state":
            raise self._error(name, "modality_keys is empty")
        if not indices or sorted(set(indices)) != list(indices):
            raise self._error(name, f"delta_indices must increase, got {list(indices)}")
        if len(set(keys)) != len(keys) or "" in keys:
            raise self._error(name, f"modality_keys must be names, each once; got {list(keys)}")
        for field in ("sin_cos_embedding_keys", "mean_std_embedding_keys"):
            for key in getattr(modality, field) or ():
                if key not in keys:
                    raise unknown_name(
                        f"key in {field} of embodiment {self.tag}, {name}", key, keys
                    )

    def _error(self, where: str, problem: str) -> ConfigError:
        return ConfigError(f"embodiment {self.tag}, {where}: {problem}")


def _fields(data: object, known: tuple[str, ...], place: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{place}: expected an object with {', '.join(known)}, got {data!r}")
    for name in data:
        if name not in known:
            raise unknown_name(f"field of {place}", str(name), known)
    return data


def _member(kind: type[AnyEnum], name: object, place: str) -> AnyEnum:
    if not isinstance(name, str) or name not in kind.__members__:
        raise unknown_name(f"{kind.__name__} of {place}", str(name), kind.__members__)
    return kind[name]


def _sequence(fields: Mapping[str, Any], name: str, kind: type, place: str) -> tuple[Any, ...]:
    values = fields.get(name)
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise ConfigError(f"{place}: {name} is a list of {kind.__name__}, got {values!r}")
    return tuple(values)


def _optional(fields: Mapping[str, Any], name: str, place: str) -> tuple[str, ...] | None:
    return None if fields.get(name) is None else _sequence(fields, name, str, place)


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
