"""What `robocache doctor` finds of the machine: cores, memory, graphics card, GL and disk."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psutil
import torch

from robocache.cli.findings import Finding
from robocache.ops.backends import has_numba, has_triton
from robocache.runs.machine import graphics_cards, memory_bytes

GIB = 1024**3
LOW_DISK_BYTES = 2 * GIB
LOW_MEMORY_BYTES = 3 * GIB
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "lustre")
GL_TIMEOUT_S = 60.0
GL_PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6", "glfw": "libglfw3"}
DRAW = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(data)
raise SystemExit(0 if renderer.render().any() else "an empty picture")
"""


def thread_findings() -> Iterator[Finding]:
    """Whether torch has a thread for each core that it may use, and no more."""
    yield from judge_threads(
        torch.get_num_threads(), usable_cores(), cpu_quota(), dict(os.environ), torch.__version__
    )


def judge_threads(
    threads: int, cores: int, quota: float | None, variables: Mapping[str, str], version: str
) -> Iterator[Finding]:
    """Judge settings of threads.

    Args:
        threads: of torch.
        cores: that this process may run on.
        quota: cores' worth of time that its control group grants; None: no limit.
        variables: the environment.
        version: of torch.
    """
    limit = cores if quota is None else min(cores, max(1, int(quota)))
    granted = "" if quota is None or quota >= cores else f", of which a quota grants {quota:g}"
    text = f"torch {version}: {threads} threads on {cores} cores{granted}"
    if threads > limit:
        text += "; threads that wait for a core slow training down many times"
        yield Finding("problem", "threads", text, f"export OMP_NUM_THREADS={limit}")
    elif threads < limit:
        advice = "unset OMP_NUM_THREADS, or give trainer.threads, to use more"
        yield Finding("note", "threads", text, advice)
    else:
        yield Finding("ok", "threads", text)
    if variables.get("OMP_WAIT_POLICY", "PASSIVE").upper() == "PASSIVE":
        text = "waiting threads sleep (OMP_WAIT_POLICY=PASSIVE): two trainings can share cores"
        yield Finding("ok", "threads", text)
    else:
        text = (
            f"OMP_WAIT_POLICY={variables['OMP_WAIT_POLICY']}: waiting threads spin, and two "
            f"trainings on one machine slow each other down many times"
        )
        yield Finding("note", "threads", text, "unset OMP_WAIT_POLICY")


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> float | None:
    """Cores' worth of time that the control groups of this process grant; None: no limit."""
    quotas = []
    for folder in _control_groups(root, membership):
        quota, _, period = _line(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            quotas.append(int(quota) / int(period))
    old = root / "cpu"
    quota, period = _line(old / "cpu.cfs_quota_us"), _line(old / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal():  # -1: no limit
        quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Bytes that the control groups of this process grant; None: no limit."""
    texts = [_line(folder / "memory.max") for folder in _control_groups(root, membership)]
    texts.append(_line(root / "memory" / "memory.limit_in_bytes"))
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _control_groups(root: Path, membership: Path) -> list[Path]:
    """Folder of this process's control group (version 2), and of those around it."""
    own = [line for line in _text(membership).splitlines() if line.startswith("0::/")]
    path = Path(own[0].removeprefix("0::/")) if own else Path()
    return [root / part for part in (path, *path.parents)]


def _line(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def free_memory_bytes() -> int:
    """Main memory that is free, and no more than this process's container grants."""
    free, limit = int(psutil.virtual_memory().available), memory_limit()
    return free if limit is None else min(free, limit)


def memory_finding() -> Finding:
    """Main memory, and what a container leaves of it."""
    total, limit = memory_bytes(), memory_limit()
    available = psutil.virtual_memory().available
    text = f"{total / GIB:.1f} GiB of memory, {available / GIB:.1f} GiB free"
    if limit is not None and limit < total:
        text += f"; this container may use {limit / GIB:.1f} GiB"
    if free_memory_bytes() < LOW_MEMORY_BYTES:
        advice = "give workers=0 and a smaller trainer.batch_size, or close other programs"
        return Finding("note", "memory", text, advice)
    return Finding("ok", "memory", text)


def graphics_findings() -> Iterator[Finding]:
    """Whether torch can compute on the graphics cards that are there."""
    cards = graphics_cards()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    built = torch.version.cuda
    if usable:
        for number in range(torch.cuda.device_count()):
            yield _card(number, str(cards["gpu_driver"]), str(built))
        return
    if not cards["gpus"]:
        text = "no NVIDIA card: training runs on the processor (trainer.device=cpu)"
        yield Finding("note", "gpu", text)
        return
    text = f"{', '.join(cards['gpus'])} (driver {cards['gpu_driver']}) cannot be used"
    if built is None:
        text += f": torch {torch.__version__} was built without CUDA"
        advice = "pip install --force-reinstall torch --index-url https://pypi.org/simple"
    else:
        text += f" by torch {torch.__version__} for CUDA {built}"
        text += "".join(f": {str(warning.message).splitlines()[0]}" for warning in said[:1])
        advice = f"install a driver for CUDA {built} or later, then: nvidia-smi"
    yield Finding("problem", "gpu", text, advice)


def kernel_findings() -> Iterator[Finding]:
    """What computes resampling, voxels and augmentation here."""
    if has_numba():
        yield Finding("ok", "kernels", "operations on the processor are compiled by numba")
    else:
        text = "operations on the processor are PyTorch's, several times slower than compiled ones"
        yield Finding("note", "kernels", text, "pip install 'robocache[kernels]'")
    if torch.cuda.is_available() and not has_triton():
        text = "operations on the graphics card are PyTorch's: triton is not installed"
        yield Finding("note", "kernels", text, "install a CUDA build of torch, which has it")


def _card(number: int, driver: str, built: str) -> Finding:
    properties = torch.cuda.get_device_properties(number)
    text = (
        f"{properties.name}, {properties.total_memory / GIB:.0f} GiB, compute capability "
        f"{properties.major}.{properties.minor}, driver {driver}, torch for CUDA {built}"
    )
    try:
        torch.ones(8, device=f"cuda:{number}").sum().item()
    except RuntimeError as error:
        text += f": cannot compute ({str(error).splitlines()[0]})"
        advice = f"nvidia-smi; a card that new or old may need another torch than {built}"
        return Finding("problem", "gpu", text, advice)
    return Finding("ok", "gpu", text)


def drawing_findings() -> Iterator[Finding]:
    """Which OpenGL can really draw; only RGB cameras need one."""
    chosen = os.environ.get("MUJOCO_GL", "")
    if chosen:
        failure = drawing_failure(chosen)
        if failure is None:
            yield Finding("ok", "gl", f"MUJOCO_GL={chosen} draws")
        else:
            package = GL_PACKAGES.get(chosen, GL_PACKAGES["egl"])
            text = f"MUJOCO_GL={chosen} cannot draw: {failure}"
            yield Finding("problem", "gl", text, f"apt-get install {package}")
        return
    works = [name for name in ("egl", "osmesa") if drawing_failure(name) is None]
    if works:
        text = f"MUJOCO_GL is not set; {' and '.join(works)} can draw RGB cameras"
        yield Finding("ok", "gl", text, f"export MUJOCO_GL={works[0]}")
    else:
        text = "no OpenGL: depth and segmentation need none, RGB cameras do"
        yield Finding("note", "gl", text, f"apt-get install {GL_PACKAGES['egl']}")


def drawing_failure(name: str) -> str | None:
    """Why MuJoCo cannot draw with this OpenGL; None when it can. Tried in another process."""
    environment = {**os.environ, "MUJOCO_GL": name}
    command = [sys.executable, "-c", DRAW]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=GL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"no picture in {GL_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"the process was killed by signal {-done.returncode}"
    return (done.stderr.strip().splitlines() or ["no reason was given"])[-1]


def disk_findings(folder: Path) -> Iterator[Finding]:
    """Whether the disk of the home has space, and keeps what it is told to keep."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / GIB:.1f} GiB free at {folder}"
    if free < LOW_DISK_BYTES:
        advice = "robocache runs gc, or export ROBOCACHE_HOME=<folder on another disk>"
        yield Finding("problem", "disk", text, advice)
    else:
        yield Finding("ok", "disk", text)
    kind = file_system(folder)
    failure = storing_failure(folder)
    if failure is not None:
        text = f"{folder} ({kind}) cannot hold a run store: {failure}"
        advice = "export ROBOCACHE_HOME=<folder on a local disk that you may write>"
        yield Finding("problem", "disk", text, advice)
    elif kind in NETWORK_FILE_SYSTEMS:
        text = f"{folder} is on {kind}: SQLite is only safe there while one machine uses it"
        advice = "export ROBOCACHE_DATABASE=postgresql://<user>@<host>/<database>"
        yield Finding("note", "disk", text, advice)
    else:
        yield Finding("ok", "disk", f"{kind} holds a write-ahead log, locks, and syncs")


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Kind of the file system that holds `folder`."""
    best, kind = -1, "unknown file system"
    for line in _text(mounts).splitlines():
        _, mounted, this, *_ = line.split()
        point = Path(mounted.replace("\\040", " "))
        if folder.resolve().is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), this
    return kind


def storing_failure(folder: Path) -> str | None:
    """Why a run store cannot be kept in `folder`; None when it can. It is tried out."""
    try:
        with tempfile.TemporaryDirectory(prefix=".robocache-doctor-", dir=folder) as scratch:
            return _try_storing(Path(scratch))
    except (OSError, sqlite3.Error) as error:
        return str(error)


def _try_storing(scratch: Path) -> str | None:
    with closing(sqlite3.connect(scratch / "try.db")) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            return f"no write-ahead log (SQLite chose {mode!r})"
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (value)")
        connection.commit()
    with (scratch / "file").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(b"kept")
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return None
