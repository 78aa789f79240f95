"""Checks that you can run on your own implementations of the project's protocols."""

from robocache.testing.env import check_env

__all__ = ["check_env"]
