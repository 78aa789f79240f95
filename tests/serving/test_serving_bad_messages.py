"""Clients that send garbage, too much or nothing more: told why, and nobody else notices."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Plus, ask, client, hear, running, seen, sockets

from robocache.core.errors import ProtocolError
from robocache.serving import Limits
from robocache.serving.protocol import pack, read_request, unpack

SMALL = Limits(message_bytes=100_000, items=50, depth=6)
REQUEST = pack({"endpoint": "get_action", "data": {"observation": seen(1, 2, "words")}})


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def as_array(data: Any) -> bytes:
    return pack({"__ndarray_class__": True, "as_npy": data})


def lying(shape: str, data: bytes = b"1234") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return as_array(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


BAD = {
    "empty": (b"", "ends too early"),
    "truncated": (REQUEST[:-3], "ends too early"),
    "truncated count": (b"\xdd\x00", "ends too early"),
    "more after it": (REQUEST + b"\x00", "1 bytes after the end"),
    "an extension": (b"\xc7\x01\x05\x00", "type 0xc7"),
    "the unused type": (b"\xc1", "type 0xc1"),
    "too large": (b"\xc6" + struct.pack(">I", 100_000) + bytes(100_000), "at most 100000"),
    "too deep": (b"\x91" * 7 + b"\xc0", "more than 6 deep"),
    "very deep": (b"\x91" * 90_000 + b"\xc0", "more than 6 deep"),
    "too many": (b"\x9f" + (b"\x9f" + b"\xc0" * 15) * 15, "more than 50 values"),
    "a list of four billion": (b"\xdd\xff\xff\xff\xff", "more than 50 values"),
    "a map of four billion": (b"\xdf\xff\xff\xff\xff", "more than 50 values"),
    "text that is none": (b"\xa2\xff\xfe", "not msgpack of the protocol"),
    "a list as key": (b"\x81\x90\xc0", "not msgpack of the protocol"),
    "bytes as key": (b"\x81\xc4\x01a\xc0", "keys of maps are text"),
    "no bytes": (as_array("text"), "as_npy is bytes"),
    "no .npy": (as_array(b"\x00" * 100), "not in .npy form"),
    "objects": (as_array(npy(np.array([{}], object))), "not one of numbers"),
    "text array": (as_array(npy(np.array(["a"]))), "not one of numbers"),
    "records": (as_array(npy(np.zeros(2, "i4,f4"))), "not one of numbers"),
    "complex": (as_array(npy(np.zeros(2, complex))), "not one of numbers"),
    "more than came": (lying("(999999999999,)"), "needs 3999999999996 bytes, 4 came"),
    "less than came": (lying("()", b"12345"), "needs 4 bytes, 5 came"),
    "negative": (lying("(-1,)"), "not one of numbers"),
    "overflowing": (lying("(999999999999, 999999999999, 0,)", b""), "cannot be made"),
    "code in the header": (lying("(__import__('os').abort(),)"), "not one of numbers"),
    "a header that is longer": (as_array(b"\x93NUMPY\x01\x00\xff\xff{"), "not one of numbers"),
    "a modality that is none": (
        pack({"__ModalityConfig_class__": True, "as_json": {"a": 1}}),
        "not a modality configuration",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_refused_in_words(name: str) -> None:
    message, words = BAD[name]
    with pytest.raises(ProtocolError, match=words):
        unpack(message, SMALL)


@pytest.mark.parametrize(
    ("request_map", "words"),
    [
        ([1], "a request is a map, got list"),
        ({"endpoint": 3}, "endpoint is text, got int"),
        ({"api_token": 3}, "api_token is text, got int"),
        ({"data": [1]}, "data is a map, got list"),
    ],
)
def test_a_request_has_its_form(request_map: Any, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        read_request(pack(request_map), SMALL)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(message: bytes) -> None:
    with suppress(ProtocolError):
        read_request(message, SMALL)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(REQUEST) - 1), st.integers(0, 255)), max_size=6))
def test_a_request_with_other_bytes_is_a_request_or_refused(changes: list[tuple[int, int]]) -> None:
    altered = bytearray(REQUEST)
    for position, value in changes:
        altered[position] = value
    with suppress(ProtocolError):
        read_request(bytes(altered), Limits())


def test_what_cannot_be_sent_is_refused() -> None:
    for value in (object(), {"a": np.array([None])}, np.zeros(1, complex), 2**70):
        with pytest.raises(ProtocolError):
            pack(value)


def test_nobody_notices_a_client_that_sends_garbage() -> None:
    with running(Plus(), limits=SMALL) as (server, address), sockets(address, 2) as (good, bad):
        for message, _ in BAD.values():
            bad.send(message)
            assert "ProtocolError: " in hear(bad)["error"]
            actions, _ = ask(good, "get_action", observation=seen(1, 2))
            assert actions["move"][0, 0].tolist() == [2, 3]
        assert server.metrics.totals()["errors"] == {"ProtocolError": len(BAD)}


def test_a_huge_message_ends_its_connection_and_no_other() -> None:
    policy = Plus()
    with (
        running(policy, limits=SMALL) as (_, address),
        client(address) as good,
        sockets(address, 1) as (bad,),
    ):
        monitor = bad.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        bad.send(bytes(10_000_000))
        assert monitor.poll(60_000)
        bad.disable_monitor()
        monitor.close()
        assert ask(good, "get_action", observation=seen(1, 2))[0]["move"].shape == (1, 3, 2)


def test_frames_that_no_req_socket_sends() -> None:
    with (
        running(Plus()) as (_, address),
        client(address) as good,
        sockets(address, 1, zmq.DEALER) as (bad,),
    ):
        for frames in ([b"x"], [b"x", b"y"], [b"", b"x", b"y"], [b""], [b"", b""]):
            bad.send_multipart(frames)
            empty, answer = bad.recv_multipart()
            assert empty == b"" and b"ProtocolError: " in answer
        assert ask(good, "ping")["status"] == "ok"


def test_a_client_that_goes_while_it_is_answered() -> None:
    policy = Plus()
    with running(policy) as (server, address), client(address) as good:
        policy.gate.clear()
        policy.asked = type(policy.asked)(0)
        with client(address) as gone:
            gone.send(REQUEST)
            assert policy.asked.acquire(timeout=60)
        policy.gate.set()
        assert ask(good, "get_action", observation=seen(1, 2))[0]["move"].shape == (1, 3, 2)
        assert server._waiting.under_way == 0
