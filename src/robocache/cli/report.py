"""`robocache report`: one self-contained page about a run, or about two policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from robocache.cli.output import console
from robocache.cli.report_comparison import Arm, compare_policies, comparison_page
from robocache.cli.report_run import run_page
from robocache.core.errors import ConfigError
from robocache.evaluation.checkpoints import checkpoint_name
from robocache.evaluation.gate import Verdict
from robocache.evaluation.report import write_report
from robocache.runs import Run, RunRecord, RunStore
from robocache.runs.checkpoints import read_listing

if TYPE_CHECKING:
    from robocache.cli.evaluate import Judged

PAGE = "report.html"


def report(run: str, baseline: str | None, out: Path | None) -> Path:
    """Write the page, by default into the folder of the run; where it is.

    Args:
        run: a run, or a policy, which stands for the run that made it.
        baseline: another one of the same; None: a page about `run` alone.
        out: the file to write, or the folder to write `report.html` into.

    Raises:
        ConfigError: no such run or policy, or the two were not judged on the same episodes.
        IntegrityError: a run is not as it was recorded.
    """
    store = RunStore()
    record = find_run(store, run)
    if baseline is None:
        data = run_page(store, record)
    else:
        data = compare_policies(store, run, baseline)
    page = (out or record.folder / PAGE).expanduser()
    if page.is_dir():
        page /= PAGE
    write_report(page, data)
    console.print(f"report {page}", soft_wrap=True)
    return page


def find_run(store: RunStore, text: str) -> RunRecord:
    """The run called `text`, or the one that made the policy `text`.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    known = store.runs(run_id=text)
    if known:
        return known[0]
    sha256 = read_listing(store.find_checkpoint(text)).sha256
    maker = store.maker(sha256)
    if maker is None:
        raise ConfigError(f"no run here made checkpoint {sha256[:12]}: give the run that judged it")
    return maker


def write_comparison(
    path: Path,
    *,
    title: str,
    verdict: Verdict,
    candidate: Judged,
    baseline: Judged,
    training: Run,
    promotion: str | None,
) -> None:
    """Write the page of a comparison that was just made."""
    store = RunStore()
    arms = [
        Arm(checkpoint_name(store.engine, one.sha256), one.sha256, store.get(one.run.id), one.rows)
        for one in (candidate, baseline)
    ]
    data = comparison_page(
        store, arms[0], arms[1], verdict, title=title, trained=training.id, promotion=promotion
    )
    write_report(path, data)
