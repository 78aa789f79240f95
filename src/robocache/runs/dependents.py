"""What would lack something if a run, a dataset or a checkpoint went."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from robocache.runs.tables import checkpoints, promotions, runs, verdicts


@dataclass(frozen=True)
class Dependents:
    """All that the store knows of who builds on what.

    Attributes:
        inputs: run -> parents, seeds and datasets.
        status: run -> status.
        datasets: run -> fingerprint of its episodes, "" where it has none.
        makers: checkpoint -> run.
        judged: checkpoints that were ever in a verdict.
        borne: checkpoint -> what of the slots rests on it, in words.
        evidence: run -> what of the slots rests on its episodes, in words.
    """

    inputs: Mapping[str, Mapping[str, Any]]
    status: Mapping[str, str]
    datasets: Mapping[str, str]
    makers: Mapping[str, str]
    judged: frozenset[str]
    borne: Mapping[str, str]
    evidence: Mapping[str, str]

    def checkpoints_of(self, run_id: str) -> list[str]:
        """Hashes of the checkpoints that a run made."""
        return self._made.get(run_id, [])

    def of(self, run_id: str, together: Collection[str] = ()) -> list[str]:
        """What depends on a run, in words; empty when it can go.

        Args:
            together: runs that go with it.
        """
        hashes = self.checkpoints_of(run_id)
        found = [f"its checkpoint {h[:12]} {self.borne[h]}" for h in hashes if h in self.borne]
        if run_id in self.evidence:
            found.append(f"it {self.evidence[run_id]}")
        users = self.users_of({run_id, *hashes, self.datasets.get(run_id, "")})
        return found + [
            f"run {user!r} builds on it" for user in users if user not in (run_id, *together)
        ]

    def users_of(self, things: Collection[str]) -> list[str]:
        """Runs that were made from any of these runs, checkpoints or fingerprints."""
        found = {user for thing in things for user in self._users.get(thing, ())}
        return [run_id for run_id in self.inputs if run_id in found] if found else []

    def needed_checkpoints(self, apart_from: Collection[str] = ()) -> set[str]:
        """Checkpoints that were judged or promoted, or that a run builds on.

        Args:
            apart_from: runs that do not count.
        """
        built_on = {
            parent
            for run_id, inputs in self.inputs.items()
            if run_id not in apart_from
            for parent in inputs["parents"]
        }
        return built_on | self.judged | set(self.borne)

    def behind_promotions(self) -> set[str]:
        """Runs that anything promoted was made from or judged by, however far back."""
        wanted, needed = set(self.borne), set(self.evidence)
        while True:
            more = {run_id for run_id in self.inputs if run_id not in needed} & {
                *(self.makers[sha256] for sha256 in wanted if sha256 in self.makers),
                *(run_id for run_id, made in self.datasets.items() if made and made in wanted),
                *wanted,
            }
            before = len(wanted)
            needed |= more
            wanted |= {source for run_id in needed for source in self._sources(run_id)}
            if not more and len(wanted) == before:
                return needed

    @cached_property
    def _users(self) -> dict[str, list[str]]:
        """Run, checkpoint or fingerprint -> the runs that were made from it."""
        found: dict[str, list[str]] = {}
        for run_id in self.inputs:
            for source in self._sources(run_id) - {""}:
                found.setdefault(source, []).append(run_id)
        return found

    @cached_property
    def _made(self) -> dict[str, list[str]]:
        """Run -> its checkpoints."""
        found: dict[str, list[str]] = {}
        for sha256, run_id in self.makers.items():
            found.setdefault(run_id, []).append(sha256)
        return found

    def _sources(self, run_id: str) -> set[str]:
        inputs = self.inputs.get(run_id, {"parents": (), "datasets": {}})
        return {*inputs["parents"], *inputs["datasets"].values()}


def read_dependents(connection: Connection) -> Dependents:
    """What depends on what now."""
    made = runs.c.metrics["fingerprint"].as_string().label("made")
    columns = (runs.c.id, runs.c.inputs, runs.c.status, made, runs.c.folder)
    known = connection.execute(select(*columns).order_by(runs.c.number)).all()
    borne, evidence = _borne(connection)
    judged = connection.execute(select(verdicts.c.candidate, verdicts.c.baseline)).all()
    return Dependents(
        inputs={row.id: row.inputs for row in known},
        status={row.id: row.status for row in known},
        datasets={row.id: row.made or "" for row in known},
        makers=_makers(connection, {row.folder: row.id for row in known}),
        judged=frozenset(sha256 for pair in judged for sha256 in pair if sha256),
        borne=borne,
        evidence=evidence,
    )


def _makers(connection: Connection, folders: Mapping[str, str]) -> dict[str, str]:
    """Checkpoint -> the run that made it, or in whose folder it is."""
    made = {}
    for row in connection.execute(select(checkpoints)):
        around = (folders[str(p)] for p in Path(row.path).parents if str(p) in folders)
        run_id = row.run_id or next(around, None)
        if run_id is not None:
            made[row.sha256] = run_id
    return made


def _borne(connection: Connection) -> tuple[dict[str, str], dict[str, str]]:
    """Checkpoints and runs that moves of slots rest on, with what rests on them."""
    judged = {row.id: row for row in connection.execute(select(verdicts))}
    borne: dict[str, str] = {}
    evidence: dict[str, str] = {}
    for move in connection.execute(select(promotions).order_by(promotions.c.id)):
        place = f"slot {move.slot!r}, version {move.version}"
        borne.setdefault(move.checkpoint, f"was promoted ({place})")
        verdict = judged.get(move.verdict_id)
        if verdict is None:
            continue
        for sha256 in (verdict.candidate, verdict.baseline):
            if sha256:
                borne.setdefault(sha256, f"was judged for {place}")
        for used in verdict.evidence.values():
            evidence.setdefault(used["run"], f"is the evidence of {place}")
    return borne, evidence
