"""`robocache serve`: a policy behind a socket, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from robocache.cli.output import console, tell
from robocache.cli.policies import is_outside, sound_checkpoint
from robocache.core.episode import Episode
from robocache.core.errors import ConfigError
from robocache.datasets.resize import resize
from robocache.datasets.shards import SUFFIX, write_shard
from robocache.policies import load_to_act, make_policy
from robocache.runs import RunStore
from robocache.runs.files import make_directory
from robocache.serving import PolicyServer, ServedPolicy, ServerConfig, StreamPolicy
from robocache.serving.metrics_page import metrics_page
from robocache.serving.recording import EpisodeLog
from robocache.serving.signals import stopping

if TYPE_CHECKING:
    from robocache.policies.groot_n16.policy import GrootPolicy


def serve(
    name: str,
    config: ServerConfig,
    *,
    record: Path | None,
    metrics_port: int | None,
    embodiment: str = "",
    device: str = "cpu",
) -> dict[str, Any]:
    """Serve a policy until Ctrl-C, SIGTERM or `kill`; what was served.

    Args:
        name: of the policy, as everywhere.
        config: of the server.
        record: folder for episodes of what was asked and answered; None: nothing is kept.
        metrics_port: of http://127.0.0.1/metrics; None: none.
        embodiment: of a GR00T policy that knows several; empty: the first.
        device: where the policy's network computes.

    Raises:
        ConfigError, CheckpointError, IntegrityError: the policy cannot be found or is not sound.
        ServingError: an address cannot be listened on.
    """
    policy, sha256 = served_policy(name, embodiment, device)
    with ExitStack() as stack:
        kept = None if record is None else stack.enter_context(episodes(record, policy, sha256))
        server = PolicyServer(policy, config, record=kept)
        stack.enter_context(stopping(server.stop))
        if metrics_port is not None:
            port = stack.enter_context(metrics_page(metrics_port, server.metrics_text))
            console.print(f"metrics at http://127.0.0.1:{port}/metrics")
        server.serve(lambda address: _listening(name, sha256, address, server.description))
    return {"policy": sha256, **server.metrics.totals()}


def served_policy(name: str, embodiment: str = "", device: str = "cpu") -> tuple[ServedPolicy, str]:
    """A policy by any of its names, ready to be served, and the hash that identifies it."""
    if is_outside(name):
        if device != "cpu":
            raise ConfigError(f"{name} is code, which chooses its device itself: leave device out")
        policy, sha256 = make_policy(name)
        return StreamPolicy(policy, resize=resize), sha256
    path, sha256 = sound_checkpoint(RunStore(), name)
    loaded = load_to_act(path, device)
    if loaded.kind == "groot_n16":
        from robocache.policies.groot_n16.checkpoint import LICENSE_NOTICE
        from robocache.serving.groot import ServedGroot

        console.print(LICENSE_NOTICE)
        return ServedGroot(cast("GrootPolicy", loaded), embodiment), sha256
    if embodiment:
        raise ConfigError(f"{name} knows no embodiments: leave --embodiment out")
    return StreamPolicy(loaded, resize=resize), sha256


@contextmanager
def episodes(folder: Path, policy: ServedPolicy, sha256: str) -> Iterator[EpisodeLog]:
    """A log that writes a shard for every episode into a folder."""
    make_directory(folder)
    log = EpisodeLog(_writer(folder), policy.modality_config(), actor=sha256)
    try:
        yield log
    finally:
        log.close()
        told = log.gauges()
        console.print(f"episodes kept in {folder}: {told['episodes_written']:g}", markup=False)


def _writer(folder: Path) -> Callable[[Sequence[Episode]], None]:
    def write(finished: Sequence[Episode]) -> None:
        write_shard(folder / f"{finished[0].key}{SUFFIX}", finished)

    return write


def _listening(name: str, sha256: str, address: str, description: Mapping[str, Any]) -> None:
    console.print(f"serving {name} ({sha256[:12]}) at {address}; Ctrl-C ends it", markup=False)
    for modality, entries in description["observation"].items():
        for key, entry in entries.items():
            _print_key(f"{modality} {key}", entry)
    for key, entry in description["action"].items():
        _print_key(f"-> {key}", entry)
    tell("listening", address=address, policy=sha256, **description)


def _print_key(key: str, entry: Mapping[str, Any]) -> None:
    sizes = ", ".join(["B", *map(str, entry["shape"][1:])])
    console.print(f"  {key}: {entry['dtype']} ({sizes})", markup=False)
