"""Presets of the command line, as YAML groups."""
