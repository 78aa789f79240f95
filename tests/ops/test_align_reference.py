"""Several streams on one clock."""

from __future__ import annotations

import pytest
import torch

from robocache.core import AlignmentPolicy
from robocache.core.errors import ConfigError, ShapeError, TimesError
from robocache.ops import align


def test_each_stream_by_its_own_policy():
    fast = torch.arange(0, 1.001, 0.1, dtype=torch.float64)
    slow = torch.tensor([0.0, 0.45], dtype=torch.float64)
    target = torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64)
    aligned = align(
        {"arm": (fast[:, None] * 2, fast), "camera": (torch.tensor([7, 9]), slow)},
        target,
        {"arm": AlignmentPolicy("linear", 0.2), "camera": AlignmentPolicy("previous", 0.28)},
    )
    torch.testing.assert_close(aligned["arm"].values, target[:, None] * 2)
    assert aligned["arm"].valid.all()
    assert aligned["camera"].values.tolist() == [7, 7, 0]
    assert aligned["camera"].valid.tolist() == [True, True, False]
    torch.testing.assert_close(
        aligned["camera"].age_s, torch.tensor([0.0, 0.25, 0.3], dtype=torch.float64)
    )


def test_refusals_name_the_stream():
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    hold = AlignmentPolicy()
    with pytest.raises(ConfigError, match="'arm' has no alignment policy"):
        align({"arm": (times, times)}, times, {})
    with pytest.raises(ConfigError, match="did you mean 'arm'"):
        align({"arm": (times, times)}, times, {"arm": hold, "arms": hold})
    with pytest.raises(TimesError, match="stream arm: source times must increase"):
        align({"arm": (times, times.flip(0))}, times, {"arm": hold})
    with pytest.raises(ShapeError, match="stream arm: 3 samples but 2 times"):
        align({"arm": (torch.zeros(3), times)}, times, {"arm": hold})
