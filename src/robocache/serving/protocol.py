"""The wire protocol of GR00T's policy server: one msgpack map asks, one msgpack value answers.

A request is `{"endpoint": "get_action", "data": {...}, "api_token": "..."}`; without an endpoint it
is `get_action`, whose data are `observation` and `options`. The answers: `[action, info]` of
`get_action`, `info` of `reset`, maps of the others, `{"error": "Kind: what is wrong"}` where
something is. Arrays travel as `{"__ndarray_class__": true, "as_npy": bytes}`, modality
configurations as `{"__ModalityConfig_class__": true, "as_json": {...}}`. Nothing is ever pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from robocache.core.errors import ProtocolError
from robocache.core.optional import require
from robocache.serving.arrays import from_npy, to_npy
from robocache.serving.scan import Limits, require_bounded

ARRAY, MODALITY = "__ndarray_class__", "__ModalityConfig_class__"
EXTRA = "serve"
"""The extra of this package that brings pyzmq and msgpack."""


@dataclass(frozen=True)
class ModalityConfig:
    """What a policy reads or gives of one modality: "video", "state", "language" or "action".

    Attributes:
        delta_indices: steps relative to now, one for each entry of the time axis.
        modality_keys: names.
        sin_cos_embedding_keys, mean_std_embedding_keys, action_configs: as GR00T has them.
    """

    delta_indices: list[int]
    modality_keys: list[str]
    sin_cos_embedding_keys: list[str] | None = None
    mean_std_embedding_keys: list[str] | None = None
    action_configs: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Request:
    """What a client asks.

    Attributes:
        endpoint: name of what is asked.
        data: arguments.
        token: the API token that came with it.
    """

    endpoint: str
    data: Mapping[str, Any]
    token: str | None = field(default=None, repr=False)


def pack(value: Any) -> bytes:
    """A value as a message.

    Raises:
        ProtocolError: something in it is neither plain, an array of numbers, nor a ModalityConfig.
    """
    try:
        packed: bytes = require("msgpack", EXTRA).packb(value, default=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a message cannot be made ({error})") from error
    return packed


def unpack(message: bytes | memoryview, limits: Limits) -> Any:
    """The value in a message.

    Raises:
        ProtocolError: it is not of the protocol, or beyond the limits.
    """
    view = memoryview(message)
    require_bounded(view, limits)
    try:
        value = require("msgpack", EXTRA).unpackb(view)
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"the message is not msgpack of the protocol ({error})") from None
    return _built(value)


def read_request(message: bytes | memoryview, limits: Limits) -> Request:
    """The request in a message.

    Raises:
        ProtocolError: it is not one.
    """
    found = unpack(message, limits)
    if not isinstance(found, dict):
        raise ProtocolError(f"a request is a map, got {type(found).__name__}")
    endpoint, token = found.get("endpoint", "get_action"), found.get("api_token")
    data = found.get("data")
    if not isinstance(endpoint, str):
        raise ProtocolError(f"endpoint is text, got {type(endpoint).__name__}")
    if not isinstance(token, str | None):
        raise ProtocolError(f"api_token is text, got {type(token).__name__}")
    if not isinstance(data, dict | None):
        raise ProtocolError(f"data is a map, got {type(data).__name__}")
    return Request(endpoint, data or {}, token)


def error_reply(error: Exception) -> dict[str, str]:
    """What a client is told of an error: its kind and message."""
    return {"error": f"{type(error).__name__}: {error}"}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {ARRAY: True, "as_npy": to_npy(value)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, ModalityConfig):
        return {MODALITY: True, "as_json": asdict(value)}
    raise TypeError(f"{type(value).__name__} is not part of the protocol")


def _built(value: Any) -> Any:
    """`value` with arrays and modality configurations in place of their maps."""
    if isinstance(value, list):
        return [_built(item) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        data = value.get("as_npy")
        if not isinstance(data, bytes):
            raise ProtocolError(f"as_npy is bytes, got {type(data).__name__}")
        return from_npy(data)
    if MODALITY in value:
        return _modality(value.get("as_json"))
    if not all(isinstance(key, str) for key in value):
        raise ProtocolError("keys of maps are text")
    return {key: _built(item) for key, item in value.items()}


def _modality(fields: Any) -> ModalityConfig:
    try:
        return ModalityConfig(**fields)
    except TypeError as error:
        raise ProtocolError(f"not a modality configuration ({error})") from None
