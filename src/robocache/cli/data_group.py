"""`robocache data ...`: look at datasets, and make new ones of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robocache.cli.options import (
    PROBLEMS,
    Destination,
    Fps,
    Json,
    OnError,
    Overrides,
    ReaderOption,
    Source,
    To,
)
from robocache.cli.output import conclude

data_app = typer.Typer(no_args_is_help=True, help="Look at datasets, and make new ones of them.")


@data_app.command()
def inspect(
    dataset: Source,
    check: Annotated[
        bool, typer.Option("--check", help="Read everything and list every problem.")
    ] = False,
    thumbnails: Annotated[
        Path | None,
        typer.Option("--thumbnails", metavar="FILE.png", help="Pictures of its cameras."),
    ] = None,
    option: ReaderOption = None,
    json: Json = False,
) -> None:
    """What a dataset holds: streams, true rates, gaps, ranges, words. Exit code 4: with problems.

    Reads the first few episodes; with --check all of them, and names whatever is wrong.

    robocache data inspect path/to/anything

    robocache data inspect path/to/bridge --check --option split=val --thumbnails bridge.png
    """
    from robocache.cli.data import inspect as run
    from robocache.cli.reader_options import reader_options

    report = run(dataset, check=check, options=reader_options(option or ()), thumbnails=thumbnails)
    conclude("data inspect", report, PROBLEMS if report["problems"] else 0)


@data_app.command()
def plot(
    dataset: Source,
    episode: Annotated[str, typer.Argument(help="Key or number of the episode.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where the page goes.")] = None,
    option: ReaderOption = None,
    json: Json = False,
) -> None:
    """A page with the streams, clocks and pictures of one episode.

    robocache data plot path/to/anything 0
    """
    from robocache.cli.plot import plot as run
    from robocache.cli.reader_options import reader_options

    conclude("data plot", run(dataset, episode, out, reader_options(option or ())))


@data_app.command()
def stats(
    source: Source,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only these streams; may be repeated.")
    ] = None,
    relative_to: Annotated[
        str | None, typer.Option("--relative-to", help="Also actions minus this stream, by step.")
    ] = None,
    action: Annotated[str, typer.Option(help="The action, for --relative-to.")] = "action",
    horizon: Annotated[int, typer.Option(help="Steps, for --relative-to.")] = 16,
    rate: Annotated[
        float | None, typer.Option(help="Steps a second; else the rate of the actions.")
    ] = None,
    option: ReaderOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for the figures.")] = None,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Mean, spread, range and quantiles, without decoding a picture; kept for the next time.

    robocache data stats path/to/anything --relative-to observation.state
    """
    from robocache.cli.reader_options import reader_options
    from robocache.cli.statistics import Relative
    from robocache.cli.statistics import stats as run

    relative = None if relative_to is None else Relative(relative_to, action, horizon, rate)
    made = run(source, stream or (), relative, reader_options(option or ()), out, on_error)
    conclude("data stats", made)


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
    on_error: OnError = "raise",
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
        on_error=on_error,
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
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Several datasets of the same streams as one."""
    from robocache.cli.convert import merge as run

    conclude(
        "data merge", run(destination, sources, prefix=prefix, to=to, fps=fps, on_error=on_error)
    )


@data_app.command()
def split(
    source: Source,
    destination: Destination,
    parts: Annotated[list[str], typer.Option("--parts", help="train=0.9,val=0.1, or numbers.")],
    to: To = None,
    fps: Fps = None,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Parts in which no two hold the same episode, by content.

    robocache data split demos parts --parts train=0.9,val=0.1
    """
    from robocache.cli.convert import split as run

    conclude("data split", run(source, destination, parts, to=to, fps=fps, on_error=on_error))


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
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Episodes without their beginnings and ends."""
    from robocache.cli.convert import trim as run

    made = run(
        source,
        destination,
        start=start,
        end=end,
        idle=idle,
        action=action,
        to=to,
        fps=fps,
        on_error=on_error,
    )
    conclude("data trim", made)


@data_app.command()
def delete(
    source: Source,
    destination: Destination,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, or patterns with *.")],
    to: To = None,
    fps: Fps = None,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """All episodes but these, in a new folder."""
    from robocache.cli.convert import delete as run

    conclude("data delete", run(source, destination, keys, to=to, fps=fps, on_error=on_error))


@data_app.command()
def rename(
    source: Source,
    destination: Destination,
    names: Annotated[list[str], typer.Argument(metavar="OLD=NEW...", help="Names of streams.")],
    to: To = None,
    fps: Fps = None,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """The same episodes with other names of streams, in a new folder."""
    from robocache.cli.convert import rename as run

    conclude("data rename", run(source, destination, names, to=to, fps=fps, on_error=on_error))


@data_app.command()
def download(
    uri: Annotated[str, typer.Argument(metavar="URI", help="hf://OWNER/NAME, gs://BUCKET/...")],
    new: Annotated[
        Path | None, typer.Argument(metavar="[NEW]", help="Folder to be made; else the cache.")
    ] = None,
    episodes: Annotated[
        str | None, typer.Option("--episodes", help="Only what these need: 0:10 or 0,3,7 or keys.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="RLDS: only this split.")] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit on the hub.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare what is here with its checksums.")
    ] = False,
    json: Json = False,
) -> None:
    """Fetch a dataset from the Hugging Face hub, a bucket, or wherever fsspec reaches.

    robocache data download hf://lerobot/pusht --episodes 0:10

    robocache data download gs://gresearch/robotics/bridge/0.1.0 --split val
    """
    from robocache.cli.download import download as run

    made = run(uri, new, episodes=episodes, split=split, revision=revision, check=check)
    conclude("data download", made)


@data_app.command()
def cache(
    overrides: Overrides = None,
    quality: Annotated[int, typer.Option(help="Of JPEG; depth is kept exactly.")] = 95,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    limit: Annotated[
        str, typer.Option(help="All caches together; those unused for longest go.")
    ] = "100GB",
    list_all: Annotated[bool, typer.Option("--list", help="Only list the caches.")] = False,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Remove this cache.")
    ] = None,
    json: Json = False,
) -> None:
    """Make what a training reads once: pictures at its resolution, windows aligned.

    Takes the settings of `train`, which then reads it and says so.

    robocache data cache dataset=path/to/bridge policy=flow_bridge_rgb
    """
    from robocache.cli import cache as caches

    if list_all:
        conclude("data cache", caches.show())
    elif remove is not None:
        conclude("data cache", caches.remove(remove))
    else:
        made = caches.make(overrides or [], quality=quality, workers=workers, limit=limit)
        conclude("data cache", made)
