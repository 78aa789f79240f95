"""Result files of the scripts in `benchmarks/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, CorruptFileError
from robocache.runs.plain import first_difference

GIB = 2**30
BUSY = 1.5
"""Load per core from which a machine did something else beside."""


@dataclass(frozen=True)
class BenchResult:
    """What one run of a script measured.

    Attributes:
        benchmark: name of the script.
        settings: what it was asked for; two results are comparable only where these are the same.
        seconds: side -> seconds of each round (n,).
        peers: side -> the side it is held against, round by round.
        commit: of the measured package; None outside of a checkout.
        hardware: what seconds depend on: processor, memory, threads.
        software: versions, Python's among them.
        load: load average over one minute when it ended.
    """

    benchmark: str
    settings: Mapping[str, Any]
    seconds: Mapping[str, Sequence[float]]
    peers: Mapping[str, str]
    commit: str | None
    hardware: Mapping[str, Any]
    software: Mapping[str, str]
    load: float

    @property
    def busy(self) -> bool:
        """Whether the machine did something else as well."""
        return self.load > BUSY * (self.hardware["cpu"]["count"] or 1)

    def times(self) -> dict[str, list[float]]:
        """Seconds of each round, by side."""
        return {side: list(values) for side, values in self.seconds.items()}

    def ratios(self) -> dict[str, list[float]]:
        """Seconds of a side over those of its peer in the same round, by `side / peer`."""
        return {
            f"{side} / {peer}": [
                one / two for one, two in zip(self.seconds[side], self.seconds[peer], strict=True)
            ]
            for side, peer in self.peers.items()
        }


def read_result(path: Path) -> BenchResult:
    """The result in a file.

    Raises:
        ConfigError: there is no such file.
        CorruptFileError: it is not a result, or of a version without raw seconds.
    """
    try:
        data = json.loads(path.read_text())
        machine = data["machine"]
        return BenchResult(
            benchmark=data["benchmark"],
            settings=data["settings"],
            seconds={side: _seconds(values) for side, values in data["seconds"].items()},
            peers=data["peers"],
            commit=data["code"]["commit"],
            hardware={
                "cpu": machine["cpu"],
                "memory_gib": round(machine["memory_bytes"] / GIB),
                "threads": machine["threads"],
            },
            software={"python": data["python"], **data["versions"]},
            load=machine["load_average"][0],
        )
    except OSError as error:
        raise ConfigError(f"cannot read the result {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptFileError(f"not JSON: {error}", file=path) from error
    except KeyError as error:
        raise CorruptFileError(
            f"it has no {error.args[0]!r}: expected a result of `make bench` with the seconds of "
            f"every round; measure again",
            file=path,
        ) from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise CorruptFileError(f"not a result of `make bench`: {error}", file=path) from error


def read_results(path: Path) -> dict[str, BenchResult]:
    """Benchmark -> result, of one file or of all JSON files in a folder.

    Raises:
        ConfigError: a folder without any, or with two of one benchmark.
        CorruptFileError: as `read_result`.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{path} holds no result: run `make bench`")
    results: dict[str, BenchResult] = {}
    for file in files:
        result = read_result(file)
        if result.benchmark in results:
            raise ConfigError(f"{path} holds two results of {result.benchmark}, one is {file.name}")
        results[result.benchmark] = result
    return results


def require_same_settings(old: BenchResult, new: BenchResult) -> None:
    """Raise ConfigError unless both did the same work."""
    found = first_difference(old.settings, new.settings)
    if found:
        where, before, now = found
        raise ConfigError(
            f"{old.benchmark} was measured with {where} = {before!r}, then with {now!r}: "
            f"measure both with the same settings"
        )


def hardware_difference(old: BenchResult, new: BenchResult) -> str | None:
    """The first difference of the machines, in words; None when they are alike."""
    found = first_difference(old.hardware, new.hardware)
    if found is None:
        return None
    where, before, now = found
    if where == "cpu.flags":
        only = sorted(set(before.split()) ^ set(now.split()))
        return f"processor flags {', '.join(only)}"
    return f"{where} {before!r}, now {now!r}"


def _seconds(values: Any) -> list[float]:
    return [float(value) for value in values]
