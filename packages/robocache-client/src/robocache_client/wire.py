"""The wire format: msgpack, arrays as .npy bytes; nothing is ever pickled."""

from __future__ import annotations

import io
from typing import Any

import msgpack
import numpy as np

from robocache_client.errors import BadAnswer, BadQuestion

_ARRAY, _MODALITY = "__ndarray_class__", "__ModalityConfig_class__"


def pack(value: Any) -> bytes:
    """A value as a message.

    Raises:
        BadQuestion: something in it cannot be sent.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadQuestion(f"cannot be sent: {error}") from error
    return packed


def unpack(message: bytes) -> Any:
    """The value in a message; modality configurations become plain maps.

    Raises:
        BadAnswer: it is not of the protocol.
    """
    try:
        return msgpack.unpackb(message, object_hook=_built)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadAnswer(f"not an answer of the protocol ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return {_ARRAY: True, "as_npy": file.getvalue()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent; arrays, numbers, text and maps can")


def _built(fields: dict[str, Any]) -> Any:
    if _ARRAY in fields:
        return np.load(io.BytesIO(fields["as_npy"]), allow_pickle=False)
    return fields["as_json"] if _MODALITY in fields else fields
