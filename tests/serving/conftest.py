"""Where helpers of the tests of serving lie."""

from __future__ import annotations

import sys
from pathlib import Path

POLICIES = Path(__file__).resolve().parents[1] / "policies"
if str(POLICIES) not in sys.path:
    sys.path.append(str(POLICIES))  # the small flow policy
