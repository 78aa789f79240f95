"""Making episodes: collecting demonstrations and evaluating a policy are the same work."""

from robocache.rollouts.local import execute, read_rows
from robocache.rollouts.plan import Job, RolloutPlan
from robocache.rollouts.worker import PolicySource, Worker

__all__ = ["Job", "PolicySource", "RolloutPlan", "Worker", "execute", "read_rows"]
