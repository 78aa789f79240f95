"""A page in headless Chromium: what it writes to the console, and how wide it becomes."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=3000",
    "--dump-dom",
)
FRAME = """<!doctype html><title>frame</title>
<iframe src="{page}" style="width:{width}px;height:900px;border:0"></iframe>
<p id="said"></p>
<script>
document.querySelector("iframe").onload = event => {{
  const seen = event.target.contentDocument, root = seen.documentElement;
  seen.querySelectorAll("details").forEach(details => details.open = true);
  const wide = [...seen.body.querySelectorAll("*")].filter(
    e => e.getBoundingClientRect().right > {width} + 1 && !e.closest(".scroll, svg"));
  const first = wide.slice(0, 3).map(e => e.outerHTML.slice(0, 99));
  document.getElementById("said").textContent = JSON.stringify(
    [root.scrollWidth, seen.body.innerText.length, first]);
}};
</script>"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page with all its details open.

    Attributes:
        width_px: what it needs; more than the viewport means that it scrolls sideways.
        characters: of visible text.
        sticking_out: the first elements that go beyond the viewport, outside of drawings and
            boxes that scroll, as a JSON list.
        console: lines that the page caused in the console.
    """

    width_px: int
    characters: int
    sticking_out: str
    console: list[str]


def open_page(page: Path, width_px: int, folder: Path) -> Seen:
    """Open `page` in a viewport `width_px` wide; `folder` is for the browser's files."""
    frame = folder / f"frame-{width_px}.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width_px))
    profile = folder / f"profile-{page.stem}-{width_px}"
    done = subprocess.run(
        [
            str(CHROMIUM),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--window-size=1400,1000",
            str(frame),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = re.search(r'<p id="said">\[(\d+),(\d+),(.*?)\]</p>', done.stdout, re.DOTALL)
    assert said, done.stdout[-500:] + done.stderr[-500:]
    return Seen(
        int(said.group(1)),
        int(said.group(2)),
        html.unescape(said.group(3)),
        [line for line in done.stderr.splitlines() if "CONSOLE" in line],
    )
