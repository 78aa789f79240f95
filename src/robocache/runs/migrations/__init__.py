"""Steps from one schema of the run store to the next, run when a database is opened.

A new step: change `tables.py`, write `versions/v0002_<what>.py`, set `tables.SCHEMA`. A test
compares the tables that the steps make with those in `tables.py`.
"""
