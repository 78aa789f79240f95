"""How two runs differ: in plain values such as configurations, and in what they ran on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NOTHING = "nothing"
"""Stands for what only the other side has."""

_ABSENT = object()
_LONGEST_TEXT = 60
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Difference:
    """One place where two runs differ, and what each of them has there."""

    place: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.place}: was {shown(self.was)}, now {shown(self.now)}"

    def to_json(self) -> dict[str, Any]:
        return {"place": self.place, "was": self.was, "now": self.now}


def shown(value: Any) -> str:
    """A value for a line of text; of a hash 12 digits, what is long is cut in its middle."""
    text = _SHA256.sub(lambda found: found[0][:12], str(value)) or "''"
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]} ... {text[-half:]}"


def differences(was: Any, now: Any, place: str = "") -> Iterator[Difference]:
    """Every place where two plain values differ, in the order of sorted keys."""
    if was is _ABSENT and isinstance(now, Mapping) and now:
        was = {}
    if now is _ABSENT and isinstance(was, Mapping) and was:
        now = {}
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in sorted({*was, *now}):
            inner = f"{place}.{key}" if place else str(key)
            yield from differences(was.get(key, _ABSENT), now.get(key, _ABSENT), inner)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (left, right) in enumerate(zip(was, now, strict=True)):
            yield from differences(left, right, f"{place}[{number}]")
    elif type(was) is not type(now) or (was != now and not (was != was and now != now)):
        yield Difference(place, *(NOTHING if side is _ABSENT else side for side in (was, now)))


def environment_drift(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Everything about code and machine that two manifests say differently.

    Args:
        was, now: manifests of the present version, see `upgraded`.
    """
    alike = ("robocache", "python", "platform", "host", "memory_bytes", "gpus", "gpu_driver")
    return [
        *_git(was.get("git") or {}, now.get("git") or {}),
        *_packages(was.get("packages") or {}, now.get("packages") or {}),
        *differences(was.get("threads") or {}, now.get("threads") or {}, "threads"),
        *_processor(was.get("cpu") or {}, now.get("cpu") or {}),
        *(found for name in alike for found in differences(was.get(name), now.get(name), name)),
        *_assets(was.get("assets") or {}, now.get("assets") or {}),
    ]


def _git(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    yield from differences(was.get("commit", NOTHING), now.get("commit", NOTHING), "git.commit")
    if was.get("diff_sha256") == now.get("diff_sha256"):
        return
    before, after = (_changed_files(state.get("diff") or "") for state in (was, now))
    files = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    place = f"git.diff in {', '.join(files)}" if files else "git.diff"
    yield Difference(place, *(_named(state.get("diff_sha256")) for state in (was, now)))


def _named(sha256: str | None) -> str:
    return "no changes" if sha256 is None else f"changes {sha256[:12]}"


def _changed_files(diff: str) -> dict[str, str]:
    """File -> hash of its part of a diff."""
    parts = f"\n{diff}".split("\ndiff --git ")[1:]
    return {
        part.split("\n", 1)[0].rpartition(" b/")[2]: hashlib.sha256(
            part.strip().encode()
        ).hexdigest()
        for part in parts
    }


def _packages(was: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Changed versions first, then what only one side has."""
    found = differences(was, now, "packages")
    others = [one for one in found if one.place != "packages.robocache"]  # a field of its own
    return sorted(others, key=lambda one: NOTHING in (one.was, one.now))


def _processor(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = (set(str(cpu.get("flags", "")).split()) for cpu in (was, now))
    flags = (sorted(before - after), sorted(after - before))
    for name in ("model", "count", "usable"):
        yield from differences(was.get(name), now.get(name), f"cpu.{name}")
    if any(flags):
        yield Difference("cpu.flags of one alone", *(" ".join(some) or NOTHING for some in flags))


def _assets(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    if was and now:  # manifests of version 1 did not record them
        yield from differences(was, now, "assets")
