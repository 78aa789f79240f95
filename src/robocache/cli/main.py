"""The command line: `robocache VERB [key=value ...]`.

Exit codes: 0 done (accepted), 1 rejected, 2 inconclusive, 3 an error that was explained, 4 problems
found, 64 wrong usage, 70 an error that was not foreseen (with its traceback), 130 interrupted by
Ctrl-C (everything is saved).
"""

from __future__ import annotations

import shlex
import sys
import traceback
from typing import Annotated, Any

import typer
from rich.markup import escape

from robocache.cli.progress import errors
from robocache.core.errors import RoboCacheError

ERROR, PROBLEMS, USAGE, UNFORESEEN, INTERRUPTED = 3, 4, 64, 70, 130
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From robot data and simulators to a policy that is promoted on evidence.\n\n"
    "Every verb is restartable: the same command again continues what was stopped, and finds what "
    "is complete. Settings are given as key=value; presets as group=name.\n\n"
    "A first road: robocache demo. Everything is kept in $ROBOCACHE_HOME (~/.robocache).",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at datasets.")
runs_app = typer.Typer(no_args_is_help=True, help="Look at what was run.")
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings and presets.")
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the run; else made from the settings.")
]


@app.command()
def collect(overrides: Overrides = None, name: Name = None) -> None:
    """Record demonstrations of scripted experts.

    robocache collect tasks=[mt10] episodes=50 --name mt10-demos

    robocache collect tasks=[metaworld/drawer-open] sensors=real expert_noise=0.2

    robocache collect env.sensors=[end_effector,topview_depth] tasks=[metaworld/reach]
    """
    from robocache.cli.collect import collect as run

    run(overrides or [], name)


@data_app.command()
def inspect(
    dataset: Annotated[str, typer.Argument(help="A folder, or the name of a collection.")],
    json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """What a dataset holds, and every problem in it (exit code 4 if there are any)."""
    from robocache.cli.data import inspect as run

    if run(dataset, json):
        raise typer.Exit(PROBLEMS)


@app.command()
def train(overrides: Overrides = None, name: Name = None) -> None:
    """Train a policy by imitation.

    robocache train dataset=mt10-demos policy=flow trainer.steps=2000 --name mt10

    robocache train dataset=path/to/lerobot policy=flow_lerobot hold_out=[episode_000004]

    robocache train dataset=more-demos init_from=mt10 seeds=[0,1,2]
    """
    from robocache.cli.train import train_all

    train_all(overrides or [], name)


@app.command("eval")
def evaluate(
    policy: Annotated[
        str, typer.Argument(help="Run, run@step, slot:NAME, folder, hash, or module:name.")
    ],
    overrides: Overrides = None,
    name: Name = None,
    open_loop: Annotated[
        bool, typer.Option("--open-loop", help="On recordings: give dataset=...")
    ] = False,
) -> None:
    """Judge a policy on held-out layouts, or on recordings.

    robocache eval mt10 tasks=[mt10] episodes=50

    robocache eval mt10@200 sensors=real

    robocache eval my-run --open-loop dataset=path/to/lerobot episodes=[episode_000004]
    """
    from robocache.cli import evaluate as verbs
    from robocache.runs import RunStore

    if open_loop:
        verbs.evaluate_recordings(RunStore(), policy, overrides or [], name)
    else:
        verbs.print_closed_loop(
            verbs.evaluate_closed_loop(RunStore(), policy, overrides or [], name).result()
        )


@app.command()
def compare(
    candidate: Annotated[str, typer.Argument(help="Run, run@step, slot:NAME, folder or hash.")],
    baseline: Annotated[str, typer.Argument(help="The same.")],
    overrides: Overrides = None,
) -> None:
    """Judge two policies on the same layouts: exit code 0 accepted, 1 rejected, 2 inconclusive.

    robocache compare mt10 mt10@200 episodes=50 gate.alpha=0.01
    """
    from robocache.cli.compare import compare as run

    verdict, _, _ = run(candidate, baseline, overrides or [])
    raise typer.Exit(verdict.exit_code)


@app.command()
def promote(
    slot: Annotated[str, typer.Argument(help="Name of the slot, e.g. production.")],
    candidate: Annotated[str, typer.Argument(help="Run, run@step, folder or hash.")],
    against: Annotated[
        str | None, typer.Option("--against", help="The baseline, while the slot is empty.")
    ] = None,
) -> None:
    """Give a slot to a checkpoint, if an accepting verdict on exactly this pair exists."""
    from robocache.cli.compare import promote as run

    run(slot, candidate, against)


@app.command()
def rollback(slot: Annotated[str, typer.Argument(help="Name of the slot.")]) -> None:
    """Give a slot back to the checkpoint that held it before."""
    from robocache.cli.compare import rollback as run

    run(slot)


@runs_app.command("ls")
def runs_ls(
    verb: Annotated[str | None, typer.Option(help="Only runs of this verb.")] = None,
    status: Annotated[str | None, typer.Option(help="running, complete, ...")] = None,
) -> None:
    """A line for each run."""
    from robocache.cli.runs import list_runs

    list_runs(verb, status)


@runs_app.command("show")
def runs_show(run: Annotated[str, typer.Argument(help="Id of the run.")]) -> None:
    """The manifest of a run."""
    from robocache.cli.runs import show_run

    show_run(run)


@app.command()
def doctor() -> None:
    """What works on this machine, what does not, and how to mend it (exit code 4 on problems)."""
    from robocache.cli.doctor import doctor as run

    if run():
        raise typer.Exit(PROBLEMS)


@app.command()
def demo(
    episodes: Annotated[int, typer.Option(help="Demonstrations per task.")] = 100,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 2500,
    layouts: Annotated[int, typer.Option(help="Held-out layouts per task.")] = 50,
    tasks: Annotated[str, typer.Option(help="Tasks or a group, by commas.")] = "mt10",
) -> None:
    """The whole road on the ten tasks of MT10: collect, train, evaluate, compare, promote."""
    from robocache.cli.demo import demo as run

    run(episodes=episodes, steps=steps, layouts=layouts, tasks=tasks.split(","))


def main() -> None:
    """Entry point: errors in words, exit codes a script can use."""
    try:
        result = app(standalone_mode=False)
    except RoboCacheError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(ERROR)
    except UsageError as error:
        error.show()
        sys.exit(USAGE)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except Exception:  # noqa: BLE001  Python's own status 1 would read as "rejected".
        traceback.print_exc()
        sys.exit(UNFORESEEN)
    if result == INTERRUPTED:  # typer itself turns Ctrl-C into this status
        command = shlex.join(["robocache", *sys.argv[1:]])
        errors.print("\nstopped; everything finished is saved. Go on with the same command:")
        errors.print(f"  {command}", markup=False)
    sys.exit(result if isinstance(result, int) else 0)
