"""The command line: `robocache VERB [key=value ...]`.

Exit codes: 0 done (accepted, identical), 1 rejected, 2 inconclusive, 3 an error that was explained,
4 problems found (a reproduction that differs among them), 64 wrong usage, 70 an error that was not
foreseen (with its traceback), 130 interrupted by Ctrl-C (everything is saved), 141 nobody reads the
output any more. With `--json` they are the same.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from robocache.cli.data_group import data_app
from robocache.cli.groot_group import groot_app
from robocache.cli.groups import bench_app, runs_app, slots_app
from robocache.cli.options import (
    ERROR,
    INTERRUPTED,
    PROBLEMS,
    UNFORESEEN,
    UNREAD,
    USAGE,
    VERDICTS,
    DomainRandomization,
    Json,
    Name,
    Overrides,
    Slot,
    with_preset,
)
from robocache.cli.output import conclude, errors, in_json, tell, use_json
from robocache.core.errors import RoboCacheError

UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From robot data and simulators to a policy that is promoted on evidence.\n\n"
    "Every verb is restartable: the same command again continues what was stopped, and finds what "
    "is complete. Settings are given as key=value; presets as group=name. With --json a verb says "
    "everything in lines of JSON.\n\n"
    "A first road: robocache demo. Everything is kept in $ROBOCACHE_HOME (~/.robocache).",
)
app.add_typer(data_app, name="data")
app.add_typer(slots_app, name="slots")
app.add_typer(runs_app, name="runs")
app.add_typer(bench_app, name="bench")
app.add_typer(groot_app, name="groot")


@app.command()
def collect(
    overrides: Overrides = None,
    name: Name = None,
    domain_randomization: DomainRandomization = False,
    json: Json = False,
) -> None:
    """Record demonstrations of scripted experts.

    robocache collect tasks=[mt10] episodes=50 --name mt10-demos

    robocache collect tasks=[metaworld/drawer-open] sensors=real expert_noise=0.2

    robocache collect env.sensors=[end_effector,topview_depth] frames.purpose="a depth policy"

    robocache collect tasks=[mt10] sim_to_real=strong sim_to_real.latency.states.mean_s=0.05
    """
    from robocache.cli import results
    from robocache.cli.collect import collect as run

    conclude("collect", results.collection(run(with_preset(overrides, domain_randomization), name)))


@app.command()
def train(
    overrides: Overrides = None,
    name: Name = None,
    domain_randomization: DomainRandomization = False,
    json: Json = False,
) -> None:
    """Train a policy by imitation.

    robocache train dataset=mt10-demos policy=flow trainer.steps=2000 --name mt10

    robocache train dataset=path/to/lerobot policy=flow_lerobot hold_out=[episode_000004]

    robocache train dataset=more-demos init_from=mt10 seeds=[0,1,2]

    robocache train dataset=path/to/lerobot policy=flow_lerobot on_error=skip

    robocache train mixture=several.yaml policy.rate_hz=5

    robocache train dataset=depth-demos policy=flow_depth --domain-randomization
    """
    from robocache.cli import results
    from robocache.cli.train import train_all

    trained = train_all(with_preset(overrides, domain_randomization), name)
    if trained:
        conclude("train", {"runs": [results.training(run) for run in trained]})


@app.command("eval")
def evaluate(
    policy: Annotated[
        str, typer.Argument(help="Run, run@step, slot:NAME, folder, hash, or module:name.")
    ],
    overrides: Overrides = None,
    name: Name = None,
    slot: Slot = None,
    open_loop: Annotated[
        bool, typer.Option("--open-loop", help="On recordings: give dataset=...")
    ] = False,
    domain_randomization: DomainRandomization = False,
    json: Json = False,
) -> None:
    """Judge a policy on held-out layouts, or on recordings.

    robocache eval mt10 tasks=[mt10] episodes=50

    robocache eval mt10@200 sensors=real

    robocache eval mt10 --slot production

    robocache eval my-run --open-loop dataset=path/to/lerobot episodes=[episode_000004]
    """
    from robocache.cli import evaluate as verbs
    from robocache.cli import results
    from robocache.runs import RunStore

    if open_loop and slot is not None:
        raise typer.BadParameter("a slot's rule asks for episodes, not for --open-loop")
    if open_loop and domain_randomization:
        raise typer.BadParameter("recordings are judged as they are, without randomization")
    if open_loop:
        from robocache.cli.open_loop import evaluate_recordings

        made, measured = evaluate_recordings(RunStore(), policy, overrides or [], name)
        conclude("eval", {**results.run(made), **results.skipped(made), **measured.to_json()})
        return
    given = with_preset(overrides, domain_randomization)
    judged = verbs.evaluate_closed_loop(RunStore(), policy, given, name, slot=slot)
    verbs.print_closed_loop(judged.result())
    conclude("eval", results.judged(judged))


@app.command()
def compare(
    candidate: Annotated[str, typer.Argument(help="Run, run@step, slot:NAME, folder or hash.")],
    baseline: Annotated[str | None, typer.Argument(help="The same; not with --slot.")] = None,
    overrides: Overrides = None,
    slot: Slot = None,
    json: Json = False,
) -> None:
    """Judge two policies on the same layouts: exit code 0 accepted, 1 rejected, 2 inconclusive.

    robocache compare mt10 mt10@200 episodes=50 gate.alpha=0.01

    robocache compare mt10 --slot production
    """
    from robocache.cli import compare as verbs
    from robocache.cli import results

    settings = list(overrides or [])
    if baseline is not None and "=" in baseline:
        settings.insert(0, baseline)
        baseline = None
    if (baseline is None) == (slot is None):
        raise typer.BadParameter("give either a BASELINE or --slot")
    if slot is not None:
        decision = verbs.compare_for_slot(candidate, slot, settings)
        result = {"slot": slot, **results.decision(decision)}
    else:
        result = results.comparison(*verbs.compare(candidate, str(baseline), settings))
    conclude("compare", result, VERDICTS[result["verdict"]["outcome"]])


@app.command()
def promote(
    slot: Annotated[str, typer.Argument(help="Name of the slot, e.g. production.")],
    candidate: Annotated[str, typer.Argument(help="Run, run@step, folder or hash.")],
    json: Json = False,
) -> None:
    """Give a slot to a checkpoint, if the slot's rule and the ledger allow it.

    robocache promote production mt10
    """
    from robocache.cli import results
    from robocache.cli.slots import promote as run

    conclude("promote", results.move(run(slot, candidate)))


@app.command()
def rollback(
    slot: Annotated[str, typer.Argument(help="Name of the slot.")], json: Json = False
) -> None:
    """Give a slot back to the checkpoint that held it before."""
    from robocache.cli import results
    from robocache.cli.slots import rollback as run

    conclude("rollback", results.move(run(slot)))


@app.command()
def serve(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Run, run@step, slot:NAME, folder, hash, or module:name."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than 127.0.0.1 need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 5555,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ROBOCACHE_TOKEN",
            show_envvar=True,
            help="What clients must send as api_token; others can read a command line.",
        ),
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Clients answered together.")] = 8,
    timeout_ms: Annotated[
        int, typer.Option(min=1, help="Requests that waited longer are refused.")
    ] = 10_000,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may wait.")] = 64,
    max_message_mb: Annotated[int, typer.Option(min=1, help="Size of a request.")] = 64,
    record: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep requests and answers as episodes.")
    ] = None,
    embodiment: Annotated[
        str, typer.Option(metavar="TAG", help="Of a GR00T policy that knows several robots.")
    ] = "",
    device: Annotated[
        str, typer.Option(help="Where the network computes: cpu, cuda, cuda:1.")
    ] = "cpu",
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Also http://127.0.0.1:PORT/metrics."),
    ] = None,
    json: Json = False,
) -> None:
    """Let robots ask a policy, in the protocol of GR00T's clients, until Ctrl-C.

    robocache serve mt10

    robocache serve slot:production --record served --metrics-port 9100

    robocache serve arm --device cuda

    ROBOCACHE_TOKEN=... robocache serve mt10 --host 0.0.0.0
    """
    from robocache.cli.serve import serve as run
    from robocache.serving import Limits, ServerConfig
    from robocache.serving.scan import MEBIBYTE

    config = ServerConfig(
        host=host,
        port=port,
        token=token,
        max_batch=max_batch,
        queue=queue,
        timeout_s=timeout_ms / 1000,
        limits=Limits(message_bytes=max_message_mb * MEBIBYTE),
    )
    conclude(
        "serve",
        run(
            policy,
            config,
            record=record,
            metrics_port=metrics_port,
            embodiment=embodiment,
            device=device,
        ),
    )


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a policy: what made it.")],
    baseline: Annotated[
        str | None, typer.Argument(help="Another policy; the page then compares the two.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Else report.html in the run.")
    ] = None,
    json: Json = False,
) -> None:
    """Write one self-contained page about a run, or about two.

    robocache report mt10

    robocache report mt10 mt10@200 --out comparison.html
    """
    from robocache.cli.report import report as write

    conclude("report", {"page": write(run, baseline, out)})


@app.command()
def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN_OR_MANIFEST", help="A run, or a manifest's file.")
    ],
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of a training; else as it was.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scratch home.")] = False,
    json: Json = False,
) -> None:
    """Do a run again from its manifest: exit code 0 identical, 4 with the first difference.

    robocache reproduce mt10

    robocache reproduce path/to/manifest.json --threads 4
    """
    from robocache.cli.reproduce import reproduce as again

    found = again(run, threads, keep)
    conclude("reproduce", found.to_json(), 0 if found.identical else PROBLEMS)


@app.command()
def doctor(json: Json = False) -> None:
    """What works on this machine, what does not, and how to mend it (exit code 4 on problems)."""
    from robocache.cli.doctor import doctor as run

    findings = run()
    problems = sum(finding.level == "problem" for finding in findings)
    result = {"problems": problems, "findings": [finding._asdict() for finding in findings]}
    conclude("doctor", result, PROBLEMS if problems else 0)


@app.command()
def demo(
    episodes: Annotated[int, typer.Option(help="Demonstrations per task.")] = 100,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 2500,
    layouts: Annotated[int, typer.Option(help="Held-out layouts per task.")] = 50,
    tasks: Annotated[str, typer.Option(help="Tasks or a group, by commas.")] = "mt10",
    json: Json = False,
) -> None:
    """The whole road on the ten tasks of MT10: collect, train, evaluate, compare, promote."""
    from robocache.cli.demo import demo as run

    made = run(episodes=episodes, steps=steps, layouts=layouts, tasks=tasks.split(","))
    conclude("demo", made)


def main() -> None:
    """Entry point: errors in words or events, exit codes a script can use."""
    use_json("--json" in sys.argv[1:])
    try:
        code = app(standalone_mode=False)
    except RoboCacheError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        code = _told(error, str(error), ERROR)
    except UsageError as error:
        if not in_json():
            error.show()
        code = _told(UsageError, error.format_message(), USAGE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        code = UNREAD
    except Exception as error:  # noqa: BLE001  Python's own status 1 would read as "rejected".
        traceback.print_exc()
        code = _told(error, str(error), UNFORESEEN)
    if code == INTERRUPTED:  # typer itself turns Ctrl-C into this status
        _say_how_to_go_on(shlex.join(["robocache", *_without_token(sys.argv[1:])]))
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception | type, message: str, code: int) -> int:
    kind = error if isinstance(error, type) else type(error)
    tell("error", type=kind.__name__, message=message, code=code)
    return code


def _without_token(arguments: list[str]) -> list[str]:
    """These arguments, without the word that is nobody's business."""
    kept = [re.sub(r"^--token=.*", "--token=...", word, flags=re.DOTALL) for word in arguments]
    return [
        "..." if before == "--token" else word
        for before, word in zip(["", *kept], kept, strict=False)
    ]


def _say_how_to_go_on(command: str) -> None:
    errors.print("\nstopped; everything finished is saved. Go on with the same command:")
    errors.print(f"  {command}", markup=False)
    tell("stopped", command=command)
