"""Lineage: which data and runs made this, and what was made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from robocache.runs.database import reading
from robocache.runs.tables import checkpoints, promotions, runs


@dataclass(frozen=True)
class Node:
    """Something that was made, and what it was made from or what was made from it.

    Attributes:
        kind: "run", "checkpoint", "dataset" or, in a descent, "slot".
        id: name of the run, identity hash, fingerprint, or name of the slot.
        text: in a few words.
        links: the next nodes in the direction that was asked for.
    """

    kind: str
    id: str
    text: str
    links: Sequence[Node] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Graph:
    """All that the store knows of what came from what."""

    runs: Mapping[str, Mapping[str, Any]]
    made_checkpoint: Mapping[str, tuple[str | None, int | None]]
    made_dataset: Mapping[str, str]
    promoted: Mapping[str, Sequence[tuple[str, int, str]]]

    def checkpoints_of(self, run_id: str) -> list[str]:
        mine = [(step or 0, h) for h, (run, step) in self.made_checkpoint.items() if run == run_id]
        return [sha256 for _, sha256 in sorted(mine)]

    def users_of_dataset(self, fingerprint: str) -> list[str]:
        return [r for r, row in self.runs.items() if fingerprint in row["datasets"].values()]

    def users_of_checkpoint(self, sha256: str) -> list[str]:
        return [r for r, row in self.runs.items() if sha256 in row["parents"]]


def ancestry(engine: Engine, kind: str, identity: str) -> Node:
    """What a run, checkpoint or dataset was made from, down to where nothing is known."""
    return _up(_graph(engine), kind, identity, ())


def descent(engine: Engine, kind: str, identity: str) -> Node:
    """What was made from a run, checkpoint or dataset, and the slots its checkpoints came to."""
    return _down(_graph(engine), kind, identity, ())


def lines(node: Node, depth: int = 0) -> Iterable[tuple[int, Node]]:
    """The nodes of a tree from the top, each with its depth."""
    yield depth, node
    for link in node.links:
        yield from lines(link, depth + 1)


def _up(graph: _Graph, kind: str, identity: str, seen: tuple[str, ...]) -> Node:
    if kind == "run":
        row = graph.runs.get(identity)
        sources: list[tuple[str, str]] = []
        if row is not None and identity not in seen:
            sources += [("dataset", fingerprint) for fingerprint in row["datasets"].values()]
            sources += [("checkpoint", sha256) for sha256 in row["parents"]]
        links = [_up(graph, *source, (*seen, identity)) for source in sources]
    elif kind == "checkpoint":
        run_id, _ = graph.made_checkpoint.get(identity, (None, None))
        links = [] if run_id is None else [_up(graph, "run", run_id, seen)]
    else:
        maker = graph.made_dataset.get(identity)
        links = [] if maker is None else [_up(graph, "run", maker, seen)]
    return Node(kind, identity, _text(graph, kind, identity), tuple(links))


def _down(graph: _Graph, kind: str, identity: str, seen: tuple[str, ...]) -> Node:
    links: list[Node] = []
    if kind == "run" and identity not in seen:
        seen = (*seen, identity)
        links = [_down(graph, "checkpoint", h, seen) for h in graph.checkpoints_of(identity)]
        made = [f for f, run_id in graph.made_dataset.items() if run_id == identity]
        links += [_down(graph, "dataset", fingerprint, seen) for fingerprint in made]
    elif kind == "checkpoint":
        links = [_down(graph, "run", r, seen) for r in graph.users_of_checkpoint(identity)]
        for slot, version, how in graph.promoted.get(identity, ()):
            links.append(Node("slot", slot, f"slot {slot}, version {version} ({how})"))
    elif kind == "dataset":
        links = [_down(graph, "run", r, seen) for r in graph.users_of_dataset(identity)]
    return Node(kind, identity, _text(graph, kind, identity), tuple(links))


def _text(graph: _Graph, kind: str, identity: str) -> str:
    if kind == "run":
        row = graph.runs.get(identity)
        return f"run {identity} (unknown)" if row is None else f"{row['verb']} {identity}"
    if kind == "checkpoint":
        run_id, step = graph.made_checkpoint.get(identity, (None, None))
        made = "" if run_id is None else f" ({run_id} at step {step})"
        return f"checkpoint {identity[:12]}{made}"
    return f"{kind} {identity[:12]}"


def _graph(engine: Engine) -> _Graph:
    with reading(engine) as connection:
        known = {
            row.id: {"verb": row.verb, **row.inputs, "fingerprint": row.metrics.get("fingerprint")}
            for row in connection.execute(
                select(runs.c.id, runs.c.verb, runs.c.inputs, runs.c.metrics).order_by(
                    runs.c.number
                )
            )
        }
        made = {
            row.sha256: (row.run_id, row.step)
            for row in connection.execute(
                select(checkpoints.c.sha256, checkpoints.c.run_id, checkpoints.c.step)
            )
        }
        promoted: dict[str, list[tuple[str, int, str]]] = {}
        query = select(promotions).order_by(promotions.c.slot, promotions.c.version)
        for row in connection.execute(query):
            promoted.setdefault(row.checkpoint, []).append((row.slot, row.version, row.kind))
    datasets = {
        row["fingerprint"]: run_id
        for run_id, row in known.items()
        if row["verb"] == "collect" and row["fingerprint"]
    }
    return _Graph(known, made, datasets, promoted)
