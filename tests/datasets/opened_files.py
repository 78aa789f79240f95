"""Which files of a folder anyone opens, Arrow and FFmpeg too, as the kernel tells."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

OPENED, IS_FOLDER = 0x20, 0x40000000  # IN_OPEN, IN_ISDIR


class OpenedFiles:
    """Watches a folder and all below it from now on."""

    def __init__(self, root: Path) -> None:
        system = ctypes.CDLL(None, use_errno=True)
        self._queue = system.inotify_init1(os.O_NONBLOCK)
        assert self._queue >= 0
        self._root = root
        self._folders = {}
        for folder, _, _ in os.walk(root):
            watch = system.inotify_add_watch(self._queue, os.fsencode(folder), OPENED)
            assert watch >= 0
            self._folders[watch] = folder

    def since(self) -> set[str]:
        """Relative names of the files that were opened since the last call."""
        names = set()
        while events := self._read():
            while events:
                watch, kind, _, length = struct.unpack_from("iIII", events)
                name = events[16 : 16 + length].rstrip(b"\0").decode()
                events = events[16 + length :]
                assert watch in self._folders, "more events than the kernel keeps"
                if not kind & IS_FOLDER:
                    path = os.path.join(self._folders[watch], name)
                    names.add(os.path.relpath(path, self._root))
        return names

    def _read(self) -> bytes:
        try:
            return os.read(self._queue, 2**16)
        except BlockingIOError:
            return b""

    def __enter__(self) -> OpenedFiles:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._queue)
