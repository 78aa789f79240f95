"""What does not fit between the state-dict keys a model expects and those that were found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]
"""State-dict key -> shape."""


@dataclass(frozen=True)
class KeyProblems:
    """Differences between expected and found keys.

    Attributes:
        missing: expected, not found.
        extra: found, not expected.
        misshaped: key -> (expected shape, found shape).
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.misshaped)

    def __str__(self) -> str:
        """Counts, then a line for each module and kind; numbers of layers are folded."""
        lines = [
            f"{len(self.missing)} keys missing, {len(self.extra)} extra, "
            f"{len(self.misshaped)} of another shape"
        ]
        modules: dict[str, list[str]] = defaultdict(list)
        for kind, names in (("missing", self.missing), ("extra", self.extra)):
            for module, rest in _by_module(names).items():
                modules[module].append(f"{kind} ({len(rest)}): {', '.join(_folded(rest))}")
        for name, (expected, found) in sorted(self.misshaped.items()):
            module, rest_name = split_key(name)
            modules[module].append(f"{rest_name} has shape {found}, expected {expected}")
        for module, texts in sorted(modules.items()):
            lines += [f"  {module}: {text}" for text in texts]
        return "\n".join(lines)


def compare_keys(expected: Shapes, found: Shapes) -> KeyProblems:
    """What is missing, extra or of another shape."""
    return KeyProblems(
        missing=tuple(sorted(expected.keys() - found.keys())),
        extra=tuple(sorted(found.keys() - expected.keys())),
        misshaped={
            name: (tuple(expected[name]), tuple(found[name]))
            for name in sorted(expected.keys() & found.keys())
            if tuple(expected[name]) != tuple(found[name])
        },
    )


def split_key(name: str) -> tuple[str, str]:
    """Module and rest of a key, e.g. ("backbone.model.mlp1", "0.weight")."""
    parts = name.split(".")
    depth = 3 if name.startswith("backbone.model.") else 2 if parts[0] != "fusion" else 1
    depth = min(depth, len(parts) - 1)
    return ".".join(parts[:depth]) or "(top)", ".".join(parts[depth:])


def _by_module(names: tuple[str, ...]) -> dict[str, list[str]]:
    modules: dict[str, list[str]] = defaultdict(list)
    for name in names:
        module, rest = split_key(name)
        modules[module].append(rest)
    return modules


def _folded(names: list[str]) -> list[str]:
    """Names that differ in the number of a layer as one, with its numbers."""
    numbers: dict[str, list[str]] = defaultdict(list)
    for name in names:
        number = re.search(r"(?<=\.)\d+(?=\.)", name)
        if number is None:
            numbers[name] = []
        else:
            numbers[f"{name[: number.start()]}*{name[number.end() :]}"].append(number[0])
    return [
        f"{name} [{_ranges(sorted(map(int, found)))}]" if found else name
        for name, found in sorted(numbers.items())
    ]


def _ranges(numbers: list[int]) -> str:
    """ "0..3, 7" from 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in runs)
