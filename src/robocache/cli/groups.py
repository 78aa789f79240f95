"""Verbs that come in groups: `robocache slots | runs | bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from robocache.cli.options import PROBLEMS, Json, Overrides, RunId, Yes
from robocache.cli.output import conclude

slots_app = typer.Typer(no_args_is_help=True, help="What a slot asks for, and who holds it.")
runs_app = typer.Typer(no_args_is_help=True, help="What was run, from what, and is it sound.")
bench_app = typer.Typer(no_args_is_help=True, help="What became faster or slower.")


@slots_app.command("declare")
def slots_declare(
    slot: Annotated[str, typer.Argument(help="Name of the slot, e.g. production.")],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Say what a slot asks of a candidate, before any episode that counts is run.

    robocache slots declare production tasks=[mt10] episodes=50 seed=7 gate.alpha=0.01 floor=0.9
    """
    from robocache.cli.slots import declare as run

    conclude("slots declare", vars(run(slot, overrides or [])))


@slots_app.command("show")
def slots_show(
    slot: Annotated[str | None, typer.Argument(help="Else all slots.")] = None, json: Json = False
) -> None:
    """Rules, holders, and every move with who, when and on what evidence."""
    from robocache.cli import results
    from robocache.cli.slots import show as run

    run(slot)
    conclude("slots show", {"slots": results.slots(slot)})


@runs_app.command("ls")
def runs_ls(
    verb: Annotated[str | None, typer.Option(help="Only runs of this verb.")] = None,
    status: Annotated[
        str | None, typer.Option(help="running, complete, interrupted or failed.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only such names, e.g. 'mt10-*'.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Only the newest so many.")] = 30,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    json: Json = False,
) -> None:
    """A line for each run, the newest last.

    robocache runs ls --verb train --tag paper

    robocache runs ls --name 'mt10*' --status interrupted --all
    """
    from robocache.cli.runs import list_runs

    filters = {"verb": verb, "status": status, "tag": tag, "name": name}
    conclude("runs ls", list_runs(filters, None if everything else limit))


@runs_app.command("show")
def runs_show(run: RunId, json: Json = False) -> None:
    """What a run was, from what, and what came of it; with --json its manifest."""
    from robocache.cli.runs import show_run

    conclude("runs show", show_run(run))


@runs_app.command("tag")
def runs_tag(
    run: RunId,
    add: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="To put on.")] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="To take off.")
    ] = None,
    json: Json = False,
) -> None:
    """Put tags on a run and take others off.

    robocache runs tag mt10 paper --remove draft
    """
    from robocache.cli.runs import tag_run

    conclude("runs tag", tag_run(run, add or [], remove or []))


@runs_app.command("note")
def runs_note(
    run: RunId,
    text: Annotated[str, typer.Argument(help="In place of what was there; '' takes it off.")],
    json: Json = False,
) -> None:
    """Write a note on a run.

    robocache runs note mt10 "the one in the talk"
    """
    from robocache.cli.runs import note_run

    conclude("runs note", note_run(run, text))


@runs_app.command("lineage")
def runs_lineage(
    target: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT|slot:NAME", help="Run, run@step, slot, hash.")
    ],
    json: Json = False,
) -> None:
    """What something was made from, and what was made from it.

    robocache runs lineage slot:production
    """
    from robocache.cli.runs import show_lineage

    conclude("runs lineage", show_lineage(target))


@runs_app.command("check")
def runs_check(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Else everything.")] = None,
    json: Json = False,
) -> None:
    """Is everything still what was recorded? Exit code 4, with every place where it is not."""
    from robocache.cli.runs import check

    found = check(run)
    conclude("runs check", {"problems": found}, PROBLEMS if found else 0)


@runs_app.command("diff")
def runs_diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    json: Json = False,
) -> None:
    """What two runs have in common, and in what they differ.

    robocache runs diff mt10 mt10-seed1
    """
    from robocache.cli.difference import diff_runs

    conclude("runs diff", diff_runs(first, second))


@runs_app.command("rm")
def runs_rm(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove runs on which nothing else rests.

    robocache runs rm draft-1 draft-2 --yes
    """
    from robocache.cli.retention import remove

    conclude("runs rm", {"runs": remove(runs, yes), "removed": yes})


@runs_app.command("gc")
def runs_gc(overrides: Overrides = None, yes: Yes = False, json: Json = False) -> None:
    """Remove what the retention policy no longer keeps.

    robocache runs gc

    robocache runs gc keep_checkpoints=2 --yes
    """
    from robocache.cli.retention import collect_garbage

    conclude("runs gc", collect_garbage(overrides or [], yes))


@bench_app.command("compare")
def bench_compare(
    old: Annotated[str, typer.Argument(help="A result, a folder of them, or a revision.")],
    new: Annotated[str, typer.Argument(help="The same kind of thing.")],
    bench: Annotated[
        list[str] | None, typer.Option("--bench", metavar="NAME", help="Only this one; repeat it.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=6, help="Processes per revision.")] = 7,
    json: Json = False,
) -> None:
    """Say of every figure whether it is faster, slower or noise (exit code 4 when slower).

    robocache bench compare results/old results/new

    robocache bench compare main HEAD --bench loader --rounds 7
    """
    from robocache.cli.bench import compare

    found = compare(old, new, bench or [], rounds)
    conclude("bench compare", found, PROBLEMS if found.get("slower") else 0)
