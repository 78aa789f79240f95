"""A verdict in plain words: what follows, why it can be believed, and how far."""

from __future__ import annotations

from collections.abc import Sequence

from robocache.evaluation.gate import Verdict, format_p
from robocache.rollouts import RolloutPlan

Reason = tuple[str, str]
"""In two words, and a sentence."""


def headline(verdict: Verdict) -> str:
    """Which policy is better and by how much, in one sentence."""
    solved = (
        f"solved {verdict.candidate.successes} of {verdict.pairs} episodes, the baseline "
        f"{verdict.baseline.successes} ({100 * verdict.difference:+.1f} percentage points)."
    )
    if verdict.outcome == "accepted":
        return f"The candidate is better than the baseline: it {solved}"
    if verdict.outcome == "rejected":
        return f"The candidate is worse than the baseline: it {solved}"
    if verdict.difference == 0:
        return f"No difference was seen: the candidate {solved}"
    return f"It cannot be said yet which is better: the candidate {solved}"


def same_episodes(plan: RolloutPlan) -> Reason:
    """On what both acted."""
    wording = ""
    if plan.env_options.get("phrases") == "held_out":
        wording = ". They were asked in phrases that no demonstration used"
    late = (
        f"late and with losses ({', '.join(sorted(plan.latency))})"
        if plan.latency
        else "without delay"
    )
    tasks = "one task" if len(plan.tasks) == 1 else f"each of {len(plan.tasks)} tasks"
    return (
        "Same episodes",
        f"Both acted in the same {plan.episodes} layouts of {tasks}, drawn with seed {plan.seed}; "
        f"no demonstration used any of them{wording}. Sensor samples arrive {late}. Simulator: "
        f"{plan.env_version}.",
    )


def not_luck(verdict: Verdict) -> Reason:
    """What the p value means."""
    wins, losses = verdict.only_candidate, verdict.only_baseline
    if wins + losses == 0:
        return ("Luck?", "Every episode ended the same way for both, so nothing speaks for either.")
    title = "Luck?" if verdict.outcome == "inconclusive" else "Not luck"
    relation = "below" if verdict.p_value < verdict.config.alpha else "not below"
    return (
        title,
        f"Of the episodes that only one of them solved, {wins} went to the candidate and {losses} "
        f"to the baseline. Were both equally good, a split at least as uneven would come up with "
        f"probability p {format_p(verdict.p_value)} (exact McNemar test), which is {relation} the "
        f"{verdict.config.alpha:g} that was asked for.",
    )


def attempts(verdicts_on_pair: int, rivals: int, declared: str | None) -> Reason:
    """How often somebody looked, because one accepted verdict out of many says less.

    Args:
        verdicts_on_pair: recorded verdicts on these two checkpoints.
        rivals: other candidates judged against the same baseline.
        declared: which rule was declared beforehand, in words; None: none was.
    """
    rule = (
        f"What is asked for was declared beforehand: {declared}."
        if declared
        else ("No slot's rule was declared beforehand for these episodes.")
    )
    pair = "1 verdict" if verdicts_on_pair == 1 else f"{verdicts_on_pair} verdicts"
    others = "1 other candidate was" if rivals == 1 else f"{rivals} other candidates were"
    return (
        "Attempts",
        f"{rule} On record: {pair} on this pair; {others} judged against the same baseline.",
    )


def evidence(runs: Sequence[tuple[str, str | None]]) -> Reason:
    """That what was judged is what was recorded; `runs` are ids and hashes of ledger rows."""
    listed = " and ".join(f"{run} ({(ledger or 'no hash')[:12]})" for run, ledger in runs)
    if all(ledger for _, ledger in runs):
        return (
            "Not altered",
            f"When this page was made, the episodes, outcomes and manifests of {listed} were "
            "those that were recorded when the runs ended.",
        )
    return (
        "Altered?",
        f"When this page was made, the outcomes of {listed} were those that their episodes say. An "
        "earlier version kept no hash of all of them, so a change of both would not be noticed.",
    )


def compared(policies: Sequence[tuple[str, str, str]]) -> Reason:
    """Who was compared: (role, name, hash) of each policy."""
    said = []
    for role, name, sha256 in policies:
        run, at, step = name.partition("@")
        made = f"the policy of training run {run} after {step} steps" if at else "a policy"
        said.append(f"The {role} {name} is {made} (checkpoint {sha256[:12]}).")
    return "Compared", " ".join(said)


LIMITS: Reason = (
    "How far",
    "This says which of these two checkpoints is better on such episodes. It does not say that "
    "another training seed, other tasks or a real robot would give the same.",
)
