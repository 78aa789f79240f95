"""ROS 2 message definitions: text of a type, and of the types it is made of, as fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from robocache.core.errors import DataError, MissingDependencyError
from robocache.core.optional import require
from robocache.datasets.ros.storage import Topic

LARGEST_DEFINITION = 2**20

PRIMITIVES = {
    "bool": "?",
    "byte": "B",
    "char": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
"""Primitive type -> code of the `struct` module."""

_SEPARATOR = re.compile(r"^={3,}[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"MSG:[ \t]*(\S+)")
_FIELD = re.compile(
    r"(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?P<array>\[(?:<=)?(?P<count>(?:[1-9]\d{0,8})?)\])?"
    r"[ \t]+(?P<name>[A-Za-z]\w*)(?P<rest>(?:[ \t=#].*)?)"
)
_BUILT_IN = {
    "Header": "std_msgs/Header",
    "time": "builtin_interfaces/Time",
    "duration": "builtin_interfaces/Duration",
}


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: its name.
        type: a primitive, "string", "wstring", or "package/Name".
        array: whether it holds several.
        count: how many, for arrays of fixed length; None for those of any length.
    """

    name: str
    type: str
    array: bool = False
    count: int | None = None


_STAMP = (Field("sec", "int32"), Field("nanosec", "uint32"))

Definitions = Mapping[str, tuple[Field, ...]]


def short_name(name: str) -> str:
    """ "package/Name" of "package/msg/Name"."""
    parts = name.split("/")
    return f"{parts[0]}/{parts[-1]}" if len(parts) > 1 else name


def topic_definitions(topic: Topic) -> Definitions:
    """The types a topic's messages are made of.

    Types without a definition in the file are looked up among the standard ones.

    Raises:
        DataError: an encoding or definition that cannot be used, or an unknown type.
    """
    if topic.encoding != "cdr":
        raise DataError(f"messages are encoded as {topic.encoding!r}; only 'cdr' is read")
    if topic.definition_format == "ros2msg":
        return parse_definitions(topic.definition, topic.type)
    return parse_definitions(_standard_definition(topic), topic.type)


def parse_definitions(text: str, name: str) -> Definitions:
    """Package/name -> fields, of a type and of all it is made of.

    Raises:
        DataError: a line that is no field, constant or comment; names it.
    """
    if len(text) > LARGEST_DEFINITION:
        raise DataError(f"the definition of {name} has {len(text)} characters")
    types: dict[str, tuple[Field, ...]] = {
        "builtin_interfaces/Time": _STAMP,
        "builtin_interfaces/Duration": _STAMP,
    }
    for number, part in enumerate(_SEPARATOR.split(text)):
        current, lines = short_name(name), part.strip().splitlines()
        if number:
            title = _NAME.match(lines[0]) if lines else None
            if title is None:
                raise DataError(f"the definition of {name} has a part without a name")
            current, lines = short_name(title.group(1)), lines[1:]
        package = current.split("/")[0]
        fields = [_field(line, package) for line in lines]
        types[current] = tuple(field for field in fields if field is not None)
    return types


def _field(line: str, package: str) -> Field | None:
    """The field of a line; None: a constant, a comment, or nothing."""
    line = line.strip()
    if not line or line.startswith(("#", "@")):
        return None
    found = _FIELD.fullmatch(line)
    if found is None:
        raise DataError(f"a definition has the line {line[:80]!r}, which is not a field")
    if found["rest"].lstrip().startswith("="):
        return None
    kind = found["type"]
    if kind not in PRIMITIVES and kind not in ("string", "wstring"):
        kind = _BUILT_IN.get(kind, kind)
        kind = short_name(kind) if "/" in kind else f"{package}/{kind}"
    fixed = bool(found["count"]) and "<=" not in found["array"]
    return Field(
        found["name"], kind, found["array"] is not None, int(found["count"]) if fixed else None
    )


def _standard_definition(topic: Topic) -> str:
    why = "is described in IDL" if topic.definition_format == "ros2idl" else "has no definition"
    try:
        typesys = require("rosbags.typesys", "ros")
    except MissingDependencyError as error:
        raise DataError(f"type {topic.type} {why} in the bag, and {error}") from error
    store = typesys.get_typestore(typesys.Stores.LATEST)
    package, name = [*short_name(topic.type).split("/"), ""][:2]
    if f"{package}/msg/{name}" not in store.fielddefs:
        raise DataError(f"type {topic.type} {why} in the bag and is not one of the standard types")
    text: str = store.generate_msgdef(f"{package}/msg/{name}", ros_version=2)[0]
    return text
