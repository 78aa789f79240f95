"""Learning rate over the run."""

from __future__ import annotations

import math


def cosine_with_warmup(step: int, *, peak: float, warmup_steps: int, steps: int) -> float:
    """Learning rate of step 0, 1, ...: linear from 0 to `peak`, then half a cosine down to 0."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
