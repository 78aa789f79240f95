"""`robocache data ...`: look at datasets, and make new ones of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robocache.cli.options import PROBLEMS, Json
from robocache.cli.output import conclude

data_app = typer.Typer(no_args_is_help=True, help="Look at datasets, and make new ones of them.")

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A folder, a file, or the name of a collection.")
]
Destination = Annotated[str, typer.Argument(metavar="NEW", help="Folder to be made.")]
To = Annotated[
    str | None, typer.Option("--to", help="lerobot (v3.0) or episodes; else as the source is.")
]
Fps = Annotated[
    float | None, typer.Option("--fps", help="Rate of rows in LeRobot; else that of the actions.")
]


@data_app.command()
def inspect(dataset: Source, json: Json = False) -> None:
    """What a dataset holds, and every problem in it (exit code 4 if there are any).

    robocache data inspect path/to/anything
    """
    from robocache.cli.data import inspect as run

    report = run(dataset)
    conclude("data inspect", report, PROBLEMS if report["problems"] else 0)


@data_app.command()
def plot(
    dataset: Source,
    episode: Annotated[str, typer.Argument(help="Key or number of the episode.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where the page goes.")] = None,
    json: Json = False,
) -> None:
    """A page with the streams, clocks and pictures of one episode.

    robocache data plot path/to/anything 0
    """
    from robocache.cli.plot import plot as run

    conclude("data plot", run(dataset, episode, out))


@data_app.command()
def convert(
    source: Source,
    destination: Destination,
    to: Annotated[str, typer.Option("--to", help="lerobot (v3.0) or episodes.")] = "lerobot",
    fps: Fps = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only these streams; may be repeated.")
    ] = None,
    cameras: Annotated[str, typer.Option(help="LeRobot: video or image.")] = "video",
    codec: Annotated[str, typer.Option(help="LeRobot: auto, av1 or h264.")] = "auto",
    crf: Annotated[int, typer.Option(help="LeRobot: quality of video, lower is better.")] = 30,
    robot: Annotated[str | None, typer.Option(help="LeRobot: robot type.")] = None,
    json: Json = False,
) -> None:
    """Write any dataset as LeRobot v3.0 or as episodes of this project.

    robocache data convert demos lerobot/demos --fps 20
    """
    from robocache.cli.convert import convert as run

    made = run(
        source,
        destination,
        to=to,
        fps=fps,
        streams=stream or (),
        cameras=cameras,
        codec=codec,
        crf=crf,
        robot=robot,
    )
    conclude("data convert", made)


@data_app.command()
def merge(
    destination: Destination,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...")],
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Keys begin with the name of their dataset.")
    ] = False,
    to: To = None,
    fps: Fps = None,
    json: Json = False,
) -> None:
    """Several datasets of the same streams as one."""
    from robocache.cli.convert import merge as run

    conclude("data merge", run(destination, sources, prefix=prefix, to=to, fps=fps))


@data_app.command()
def split(
    source: Source,
    destination: Destination,
    parts: Annotated[list[str], typer.Option("--parts", help="train=0.9,val=0.1, or numbers.")],
    to: To = None,
    fps: Fps = None,
    json: Json = False,
) -> None:
    """Parts in which no two hold the same episode, by content.

    robocache data split demos parts --parts train=0.9,val=0.1
    """
    from robocache.cli.convert import split as run

    conclude("data split", run(source, destination, parts, to=to, fps=fps))


@data_app.command()
def trim(
    source: Source,
    destination: Destination,
    start: Annotated[float, typer.Option(help="Seconds to leave out at the start.")] = 0.0,
    end: Annotated[float, typer.Option(help="Seconds to leave out at the end.")] = 0.0,
    idle: Annotated[
        float | None, typer.Option(help="Leave out ends whose actions have a smaller norm.")
    ] = None,
    action: Annotated[str, typer.Option(help="The action, for --idle.")] = "action",
    to: To = None,
    fps: Fps = None,
    json: Json = False,
) -> None:
    """Episodes without their beginnings and ends."""
    from robocache.cli.convert import trim as run

    made = run(source, destination, start=start, end=end, idle=idle, action=action, to=to, fps=fps)
    conclude("data trim", made)


@data_app.command()
def delete(
    source: Source,
    destination: Destination,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, or patterns with *.")],
    to: To = None,
    fps: Fps = None,
    json: Json = False,
) -> None:
    """All episodes but these, in a new folder."""
    from robocache.cli.convert import delete as run

    conclude("data delete", run(source, destination, keys, to=to, fps=fps))


@data_app.command()
def rename(
    source: Source,
    destination: Destination,
    names: Annotated[list[str], typer.Argument(metavar="OLD=NEW...", help="Names of streams.")],
    to: To = None,
    fps: Fps = None,
    json: Json = False,
) -> None:
    """The same episodes with other names of streams, in a new folder."""
    from robocache.cli.convert import rename as run

    conclude("data rename", run(source, destination, names, to=to, fps=fps))
