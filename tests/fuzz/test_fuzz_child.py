"""The child that reads altered datasets: whatever they do to it is noticed and survived."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from child import Child
from fuzzing import Target, fuzz, require_survived, require_typed
from mutations import altered, altered_json, altered_lines, altered_yaml

from robocache.core.errors import CorruptFileError


def obey(path: Path) -> str:
    """Do what the file says."""
    order = (path / "order").read_text()
    match order:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "spin":
            while True:
                pass
        case "take":
            return str(len(bytearray(2**30)))
        case "break":
            raise KeyError(order)
        case "look":
            return Path("/etc/hostname").read_text()
        case "leave":
            os.listdir(path.parent.parent)
        case "run":
            os.system("exit 3")
        case "vanish":
            os._exit(0)
    return "read"


@pytest.mark.parametrize(
    ("order", "kind", "detail"),
    [
        ("crash", "crash", "signal 11"),
        ("spin", "hang", "more than 1 s of CPU time"),
        ("take", "fault", "MemoryError"),
        ("break", "fault", "KeyError: 'break'"),
        ("look", "fault", "Forbidden: open /etc/hostname"),
        ("leave", "fault", "Forbidden: os.listdir"),
        ("run", "fault", "Forbidden: os.system"),
        ("vanish", "crash", "exit code 0"),
    ],
)
def test_what_happens_to_a_child(tmp_path: Path, order: str, kind: str, detail: str) -> None:
    work = tmp_path / "work"
    for name in (order, "nothing"):
        (work / name).mkdir(parents=True)
        (work / name / "order").write_text(name)
    with Child(obey, work, cpu_s=1, memory_bytes=2**29) as child:
        ended = child.read(work / order)
        assert (ended.kind, ended.typed) == (kind, False)
        assert detail in ended.detail
        assert child.read(work / "nothing").kind == "read"


def first_letter(path: Path) -> str:
    text = (path / "file").read_bytes()
    if text[:1] != b"a":
        raise CorruptFileError("not an a", file=path)
    return "read"


def test_faults_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "letters"
    root.mkdir()
    (root / "file").write_bytes(b"aaaa")
    counts = fuzz("letters", root, [Target("file", altered)], 40, read=first_letter)
    assert counts.kinds["read"] and counts.kinds["fault"] == 40 - counts.kinds["read"]
    assert "0 typed" in str(counts) and "CorruptFileError: file" in counts.bad[0]
    for require in (require_typed, require_survived):
        with pytest.raises(AssertionError, match="not an a"):
            require(counts, 40)
    assert [path.name for path in tmp_path.iterdir()].count("letters-altered") == 1


@pytest.mark.parametrize("alter", [altered, altered_json, altered_lines, altered_yaml])
def test_mutations_follow_from_their_seed(alter) -> None:
    whole = b'{"a": [1, 2, {"b": "x"}], "c": null}\n{"d": 4}\n'
    whole = whole if alter in (altered, altered_lines) else whole.splitlines()[0]
    made = [alter(whole, random.Random(seed)) for seed in range(200)]
    assert made == [alter(whole, random.Random(seed)) for seed in range(200)]
    assert len(set(made)) > 100
