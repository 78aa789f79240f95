"""What a run ran on: code, packages, processor, memory, graphics cards."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
MAX_DIFF_BYTES = 1_000_000


def git_state(directory: Path) -> dict[str, Any] | None:
    """Commit, tracked changes and untracked names of the checkout; None outside of one.

    A diff above `MAX_DIFF_BYTES` is cut; its sha256 is always that of the whole.
    """
    commit = _output("git", "-C", str(directory), "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    diff = _output("git", "-C", str(directory), "diff", "HEAD", "--no-ext-diff", "--no-textconv")
    listing = ("ls-files", "--others", "--exclude-standard", "-z")
    untracked = _output("git", "-C", str(directory), *listing)
    content = diff or b""
    return {
        "commit": commit.decode().strip(),
        "diff": content[:MAX_DIFF_BYTES].decode(errors="replace"),
        "diff_sha256": hashlib.sha256(content).hexdigest() if content else None,
        "diff_cut": len(content) > MAX_DIFF_BYTES,
        "untracked": [n.decode(errors="replace") for n in (untracked or b"").split(b"\x00") if n],
    }


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of all installed packages, by name; nothing is imported."""
    found = {str(item.name): item.version for item in distributions() if item.name}
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def processor() -> dict[str, Any]:
    """Model, instruction flags, and number of cores this process may use."""
    fields = _cpuinfo()
    flags = sorted(fields.get("flags", fields.get("Features", "")).split())
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": " ".join(flags),
        "count": os.cpu_count(),
        "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def memory_bytes() -> int:
    """Size of the main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def graphics_cards() -> dict[str, Any]:
    """Names of the NVIDIA cards that nvidia-smi reports, and their driver; none without it."""
    query = ("--query-gpu=name,driver_version", "--format=csv,noheader")
    lines = (_output("nvidia-smi", *query) or b"").decode(errors="replace").splitlines()
    cards = [line.rsplit(", ", 1) for line in lines if ", " in line]
    return {
        "gpus": [name for name, _ in cards],
        "gpu_driver": cards[0][1] if cards else None,
    }


def thread_variables() -> dict[str, str]:
    """Environment variables that set numbers of threads."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


def _cpuinfo() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo; empty where there is no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(errors="replace").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _output(*command: str) -> bytes | None:
    """Standard output of a program; None when it is missing, fails or hangs."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
