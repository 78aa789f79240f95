"""The wire protocol, byte by byte: requests and answers are written down here by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from running import Plus, client, running

from robocache.serving import Limits
from robocache.serving.protocol import pack, unpack

X = np.array([[[1.5, -2.0]]], np.float32)


def text(word: str) -> bytes:
    """msgpack fixstr or str8."""
    raw = word.encode()
    head = bytes([0xA0 | len(raw)]) if len(raw) < 32 else bytes([0xD9, len(raw)])
    return head + raw


def npy(header: str, data: bytes) -> bytes:
    """The .npy form, version 1.0: the header is padded so that data begin at a multiple of 64."""
    padding = -(10 + len(header) + 1) % 64
    padded = header.encode() + b" " * padding + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def array(shape: str, *numbers: float) -> bytes:
    """The map that stands for a float32 array: fixmap of two, bin8 or bin16 of .npy bytes."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    data = npy(header, struct.pack(f"<{len(numbers)}f", *numbers))
    head = (
        b"\xc4" + bytes([len(data)]) if len(data) < 256 else b"\xc5" + struct.pack(">H", len(data))
    )
    return b"\x82" + text("__ndarray_class__") + b"\xc3" + text("as_npy") + head + data


def observation(*, flat: bool = False) -> bytes:
    x = array("(1, 1, 2)", 1.5, -2.0)
    words = b"\x91\x91" + text("go")
    if flat:
        return b"\x82" + text("state.x") + x + text("task") + words
    state = text("state") + b"\x81" + text("x") + x
    return b"\x82" + state + text("language") + b"\x81" + text("task") + words


MOVED = array("(1, 3, 2)", 2.5, -1.0, 3.5, 0.0, 4.5, 1.0)
ANSWER = b"\x92\x81" + text("move") + MOVED + b"\x81" + text("seed") + b"\x07"
"""A list of two: the actions {"move": array}, and the info {"seed": 7}."""


def exchange(request: bytes) -> bytes:
    with running(Plus()) as (_, address), client(address) as socket:
        socket.send(request)
        return socket.recv()


def test_get_action_by_hand() -> None:
    options = b"\x81" + text("seed") + b"\x07"
    data = b"\x82" + text("observation") + observation() + text("options") + options
    request = b"\x82" + text("endpoint") + text("get_action") + text("data") + data
    assert exchange(request) == ANSWER
    assert exchange(b"\x81" + text("data") + data) == ANSWER  # the default endpoint


def test_options_may_be_nil_and_the_server_counts_seeds() -> None:
    data = b"\x82" + text("observation") + observation() + text("options") + b"\xc0"
    answer = exchange(b"\x81" + text("data") + data)
    assert answer.startswith(ANSWER[: -len(text("seed") + b"\x07")])
    assert unpack(answer, Limits())[1]["seed"] > 2**32


def test_ping_by_hand() -> None:
    said = b"\x82" + text("status") + text("ok") + text("message") + text("Server is running")
    assert exchange(b"\x81" + text("endpoint") + text("ping")) == said


def test_reset_by_hand() -> None:
    options = b"\x81" + text("options") + b"\x81" + text("again") + b"\x03"
    request = b"\x82" + text("endpoint") + text("reset") + text("data") + options
    assert exchange(request) == b"\x81" + text("again") + b"\x03"


def modality(indices: bytes, key: str) -> bytes:
    keys = text("modality_keys") + b"\x91" + text(key)
    nothing = [text(f"{kind}_embedding_keys") + b"\xc0" for kind in ("sin_cos", "mean_std")]
    rest = b"".join(nothing) + text("action_configs") + b"\xc0"
    fields = b"\x85" + text("delta_indices") + indices + keys + rest
    return b"\x82" + text("__ModalityConfig_class__") + b"\xc3" + text("as_json") + fields


def test_modality_config_by_hand() -> None:
    answer = exchange(b"\x81" + text("endpoint") + text("get_modality_config"))
    state = text("state") + modality(b"\x91\x00", "x")
    language = text("language") + modality(b"\x91\x00", "task")
    action = text("action") + modality(b"\x93\x00\x01\x02", "move")
    assert answer == b"\x83" + state + language + action


def test_errors_by_hand() -> None:
    answer = exchange(b"\x81" + text("endpoint") + text("get_acton"))
    said = (
        "ProtocolError: unknown endpoint 'get_acton'; did you mean 'get_action'? (known: describe, "
        "get_action, get_modality_config, kill, metrics, ping, reset)"
    )
    assert answer == b"\x81" + text("error") + text(said)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (1, 0, 5)])
def test_arrays_survive(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for order in ("C", "F"):
        back = unpack(pack({"a": np.asarray(values, order=order)}), Limits())["a"]  # type: ignore[call-overload]
        assert back.dtype == values.dtype and back.shape == shape
        np.testing.assert_array_equal(back, values)


def test_other_byte_orders_are_read() -> None:
    back = unpack(pack(np.arange(3, dtype=">f4")), Limits())
    assert back.dtype == np.float32 and back.tolist() == [0, 1, 2]
