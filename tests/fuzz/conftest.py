"""The datasets that are altered are written by what the tests of datasets use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
if str(DATASETS) not in sys.path:
    sys.path.append(str(DATASETS))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if terminalreporter.config.getoption("markexpr") == "stress":
        from fuzzing import SUMMARY

        terminalreporter.write_line("\n".join(SUMMARY))
