"""Judging policies: open loop, closed loop, statistics, the gate and the report page."""
