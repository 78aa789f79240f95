"""From presets and `key=value` overrides to frozen dataclasses.

Hydra composes, this module turns the result into the dataclass of the verb. Below the command line
nobody sees OmegaConf.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal, TypeVar, get_args, get_origin

import dacite
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robocache.core.errors import ConfigError, RoboCacheError, unknown_name
from robocache.core.window import StreamInput
from robocache.policies import FlowConfig
from robocache.policies.groot_n16.settings import GrootSettings

T = TypeVar("T")
NETWORKS: Any = FlowConfig | GrootSettings
LISTS: tuple[Any, ...] = (
    tuple[str, ...],
    tuple[int, ...],
    tuple[float, ...],
    tuple[float, float],
    tuple[int, int],
    tuple[StreamInput, ...],
)
"""Types of lists, for which a word or a number is none."""

OPEN_TABLES = (
    "env.",
    "sensors.latency.",
    "sim_to_real.latency.",
    "dataset_options",
    "validation_options",
    "mixture",
    "rename",
    "policy.network.embodiments",
)
"""Tables whose keys belong to the environment, to a reader or to the user, not to a verb."""
REPLACED = ("policy.network.embodiments",)
"""Those among them that a whole table given on the command line replaces: it is not added to."""


def load(
    verb: str,
    schema: type[T],
    overrides: Sequence[str],
    file: Mapping[str, Any] | None = None,
) -> tuple[T, dict[str, Any]]:
    """The configuration of a verb.

    Args:
        verb: name of the file in `conf/`.
        schema: dataclass of the verb.
        overrides: `key=value` from the command line.
        file: settings that those of the command line go over.

    Returns:
        The dataclass, and the same as a plain dictionary for the manifest.

    Raises:
        ConfigError: unknown key or preset (with the nearest name), or a value that does not fit.
    """
    register_defaults()
    overrides = [part for text in overrides for part in _opened(text)]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("robocache.conf", version_base="1.3"):
            composed = compose(verb, overrides=list(overrides))
        merged = OmegaConf.merge(OmegaConf.create(dict(file)), composed) if file else composed
        data = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, verb)) from None
    assert isinstance(data, dict)
    plain: dict[str, Any] = {str(key): value for key, value in data.items()}
    return build(schema, plain), plain


def build(schema: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass from plain data; every key must be known and every value must fit."""
    try:
        return dacite.from_dict(
            schema,
            dict(data),
            dacite.Config(
                strict=True,
                cast=[tuple],
                type_hooks=dict.fromkeys(LISTS, _list) | {float: _number, NETWORKS: _network},
            ),
        )
    except dacite.UnexpectedDataError as error:
        known = list(schema.__dataclass_fields__)  # type: ignore[attr-defined]
        raise ConfigError(_nearest(sorted(error.keys)[0], known)) from None
    except dacite.WrongTypeError as error:
        words = _words(error.field_type)
        if words and isinstance(error.value, str):
            raise unknown_name(str(error.field_path), error.value, words) from None
        kind = error.field_type
        wanted = re.sub(r"\w+\.", "", str(kind) if get_origin(kind) else kind.__name__)
        raise ConfigError(
            f"configuration: {error.field_path} must be {wanted}, got {error.value!r}"
        ) from None
    except dacite.DaciteError as error:
        raise ConfigError(f"configuration: {error}") from None
    except (ValueError, TypeError) as error:
        if isinstance(error, RoboCacheError):
            raise
        raise ConfigError(f"configuration: {error}") from None


def register_defaults() -> None:
    """Offer every dataclass's own defaults to the presets in `conf/`."""
    from robocache.evaluation.gate import GateConfig
    from robocache.learning.imitation import GROOT_TRAINER, TrainerConfig
    from robocache.sim_to_real import SimToReal

    store = ConfigStore.instance()
    store.store(group="trainer", name="default", node=asdict(TrainerConfig()))
    store.store(group="trainer", name="groot", node=asdict(GROOT_TRAINER))
    store.store(group="network", name="flow", node=asdict(FlowConfig()))
    given: dict[str, Any] = {item.name: item.default for item in fields(GrootSettings)}
    node = {**given, "base": "???", "embodiments": {}}
    store.store(group="network", name="groot_n16", node=node)
    store.store(group="gate", name="default", node=asdict(GateConfig()))
    store.store(group="sim_to_real", name="none", node=asdict(SimToReal()))


def explain(error: Exception, verb: str) -> str:
    """Hydra's complaint in words that help, with the nearest known key."""
    text = str(error)
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return _nearest(unknown.group(1), known_keys(verb))
    absent = re.search(r"[Mm]issing mandatory value: (\S+)", text)
    if absent:
        return f"{absent.group(1)} must be given: add {absent.group(1)}=... to the command"
    return text.splitlines()[0] + _preset_hint(text)


def known_keys(verb: str) -> list[str]:
    """Every key of a verb's configuration, dotted."""
    GlobalHydra.instance().clear()
    with initialize_config_module("robocache.conf", version_base="1.3"):
        data = OmegaConf.to_container(compose(verb), throw_on_missing=False)
    assert isinstance(data, dict)
    return list(_dotted(data, ""))


def _dotted(data: Mapping[Any, Any], prefix: str) -> Iterable[str]:
    for key, value in data.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def _nearest(wanted: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    tail = [name for name in known if name.split(".")[-1] == wanted.split(".")[-1]]
    best = (tail or close)[:1]
    hint = f"; did you mean {best[0]!r}?" if best else ""
    return f"unknown configuration key {wanted!r}{hint}"


def _preset_hint(text: str) -> str:
    options = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
    wanted = re.search(r"Could not find '\w+/([^']+)'", text)
    if not options or not wanted:
        return ""
    close = difflib.get_close_matches(wanted.group(1), options, n=1, cutoff=0.3)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (there are: {', '.join(options)})"


def _opened(override: str) -> list[str]:
    """An override of a table that takes any key, marked as allowed to add one, or to replace it."""
    if override.split("=")[0] in REPLACED:
        return [f"~{override.split('=')[0]}", f"+{override}"]
    return [f"++{override}" if override.startswith(OPEN_TABLES) else override]


def _words(kind: Any) -> list[str]:
    """The words that a setting of this type may be; none where it may be more than words."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    parts = [part for part in get_args(kind) if part is not type(None)]
    return _words(parts[0]) if len(parts) == 1 else []


def _network(data: Any) -> Any:
    """Settings of the kind of network that they say they are."""
    if not isinstance(data, Mapping):
        return data
    return build(GrootSettings if data.get("kind") == "groot_n16" else FlowConfig, data)


def _list(value: Any) -> Any:
    """A list as it is: `tuple` would make one of the letters of a word."""
    if not isinstance(value, list | tuple):
        raise dacite.WrongTypeError(list, value)
    return value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
