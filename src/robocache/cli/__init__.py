"""Verbs. They put the rooms together and compute nothing."""
