"""Pickles from anywhere, read without running them.

A pickle is a program, and `pickle.load` runs whatever it names. Here its instructions are followed
by hand: they may build containers, texts, numbers and numpy arrays, and nothing else. No name in
the file is ever imported or called.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from robocache.core.errors import CorruptFileError

_NUMPY = (
    *("numpy", "numpy.core.multiarray", "numpy.core.numeric"),
    *("numpy._core.multiarray", "numpy._core.numeric"),
)
_KINDS = re.compile(r"[<>=|]?[biufSU?]\d{0,4}|[|]?O8?")


class _Name:
    """One of the few names that a pickle may mention."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Kind:
    """A numpy dtype under construction."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not _KINDS.fullmatch(text):
            raise ValueError(f"an array of {text!a}")
        self.text = text

    def set_state(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {order!a}")
        self.text = order + self.text.lstrip("<>=|")

    @property
    def objects(self) -> bool:
        return "O" in self.text


class _Array:
    """A numpy array under construction; `value` once its state is set."""

    value: Any = None

    def set_state(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Kind) or not _is_shape(shape):
            raise ValueError("an array without shape or dtype")
        if kind.objects:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise ValueError("an array of objects of the wrong length")
            self.value = data if shape else data[0]
            return
        if isinstance(data, str):  # written by Python 2
            data = data.encode("latin-1")
        dtype = np.dtype(kind.text)
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array whose data do not fill its shape")
        order: Any = "F" if fortran else "C"
        self.value = np.frombuffer(data, dtype).reshape(shape, order=order)


def _is_shape(shape: Any) -> bool:
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    return whole and len(shape) <= 8


def read_pickle(data: bytes, file: object) -> Any:
    """What a pickle holds: dict, list, tuple, str, bytes, int, float, bool, None, numpy arrays.

    An array of objects comes as the list of its items, one without axes as its only item.

    Raises:
        CorruptFileError: it does or mentions anything else, or is damaged; names the place.
    """
    machine = _Machine()
    place = 0
    try:
        for instruction, argument, position in pickletools.genops(data):
            place = position or 0
            if instruction.name == "STOP":
                return _finished(machine.pop())
            machine.step(instruction.name, argument)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise CorruptFileError(
            f"a pickle that is damaged or not plain data, at byte {place}: {error}", file=file
        ) from error
    raise CorruptFileError("a pickle without an end", file=file)


def _finished(value: Any) -> Any:
    if isinstance(value, _Name | _Kind):
        raise ValueError("not plain data")
    return value.value if isinstance(value, _Array) else value


def _tuple(items: list[Any]) -> tuple[Any, ...]:
    return tuple(item.value if isinstance(item, _Array) else item for item in items)


class _Machine:
    """The stack of a pickle, with the instructions that are allowed."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.allowed: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), lambda _: None),
            **dict.fromkeys(_PUSHED, self.stack.append),
            **{name: self._constant(value) for name, value in _CONSTANTS.items()},
            **{name: self._made(make) for name, make in _EMPTY.items()},
            **{f"TUPLE{n}": self._short_tuple(n) for n in (1, 2, 3)},
            "MARK": lambda _: self.marks.append(len(self.stack)),
            "POP": lambda _: self._drop(),
            "POP_MARK": lambda _: self._drop_mark(),
            "DUP": lambda _: self.stack.append(self.stack[-1]),
            "TUPLE": lambda _: self.stack.append(_tuple(self._marked())),
            "LIST": lambda _: self.stack.append(self._marked()),
            "DICT": lambda _: self._new_dict(),
            "APPEND": lambda _: self._extend([self.pop()]),
            "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._set_items([self.pop(), self.pop()][::-1]),
            "SETITEMS": lambda _: self._set_items(self._marked()),
            "MEMOIZE": lambda _: self._remember(len(self.memo)),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), self._recall),
            "GLOBAL": lambda name: self._mention(*str(name).split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._mention(*[self.pop(), self.pop()][::-1]),
            "REDUCE": lambda _: self._reduce(),
            "BUILD": lambda _: self._build(),
        }

    def step(self, name: str, argument: Any) -> None:
        if name not in self.allowed:
            raise ValueError(f"instruction {name} is refused")
        self.allowed[name](argument)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("takes what is not there")
        return self.stack.pop()

    def _constant(self, value: Any) -> Callable[[Any], None]:
        return lambda _: self.stack.append(value)

    def _made(self, make: Callable[[], Any]) -> Callable[[Any], None]:
        return lambda _: self.stack.append(make())

    def _short_tuple(self, count: int) -> Callable[[Any], None]:
        return lambda _: self.stack.append(_tuple([self.pop() for _ in range(count)][::-1]))

    def _marked(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _drop(self) -> None:
        self.pop()

    def _drop_mark(self) -> None:
        self._marked()

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("appends to what is no list")
        self.stack[-1].extend(_finished(item) for item in items)

    def _new_dict(self) -> None:
        items = self._marked()
        self.stack.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise ValueError("sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise ValueError("a key that is no text or number")
            self.stack[-1][key] = _finished(value)

    def _remember(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def _recall(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def _mention(self, module: Any, name: Any) -> None:
        known = _NUMPY if name in _OF_NUMPY else _OTHERS.get(name, ())
        if not isinstance(name, str) or module not in known:
            raise ValueError(f"mentions {module!a} {name!a}, which is refused")
        self.stack.append(_Name(name))

    def _reduce(self) -> None:
        arguments, made_by = self.pop(), self.pop()
        if not isinstance(made_by, _Name) or not isinstance(arguments, tuple):
            raise ValueError("calls what is refused")
        self.stack.append(_MAKERS[made_by.name](*arguments))

    def _build(self) -> None:
        state = self.pop()
        if not isinstance(self.stack[-1], _Kind | _Array):
            raise ValueError("sets the state of what is refused")
        self.stack[-1].set_state(state)


_PUSHED = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    "BYTEARRAY8",
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}


def _scalar(kind: Any, data: Any) -> Any:
    array = _Array()
    array.set_state((1, (1,), kind, False, data))
    return array.value[0].item()


def _encoded(text: Any, codec: Any) -> bytes:
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise ValueError("bytes in another codec than latin-1")
    return text.encode("latin-1")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    data = bytes(data) if isinstance(data, bytearray) else data
    array.set_state((1, shape, kind, order == "F", data))
    return array


_OF_NUMPY = ("_reconstruct", "_frombuffer", "ndarray", "dtype", "scalar")
_OTHERS = {"encode": ("_codecs",), "bytes": ("builtins", "__builtin__")}
_MAKERS: dict[str, Callable[..., Any]] = {
    "_reconstruct": lambda *_: _Array(),
    "_frombuffer": _from_buffer,
    "dtype": lambda text, *_: _Kind(text),
    "scalar": _scalar,
    "encode": _encoded,
    "bytes": lambda: b"",
}
