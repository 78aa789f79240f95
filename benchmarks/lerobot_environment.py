"""The environment lerobot runs in, and the variables it needs there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from check_lerobot_official import make_environment


def environment(folder: Path) -> Path:
    """The interpreter of lerobot's environment, with a CPU build of torch; made once."""
    return make_environment(folder, light=True)


def variables(folder: Path, scratch: Path) -> dict[str, str]:
    """Variables of a process in it: no network, and FFmpeg for torchcodec, which brings none.

    PyAV has FFmpeg's libraries under names of its own; torchcodec finds them by links with the
    usual names.
    """
    links = scratch / "ffmpeg"
    links.mkdir(exist_ok=True)
    libraries = sorted(folder.glob("lib/python3*/site-packages/av.libs/*.so.*"))
    for library in libraries:
        usual = re.sub(r"-[0-9a-f]{8}\.so\.(\d+)\..*", r".so.\1", library.name)
        if usual.startswith(("libav", "libsw")) and not (links / usual).exists():
            (links / usual).symlink_to(library)
    own = {str(library.parent) for library in libraries}
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(scratch / "hf"),
        "LD_LIBRARY_PATH": ":".join([str(links), *own]),
        "OMP_NUM_THREADS": "1",
    }
