"""The tables of docs/ops.md, from the results of `make bench-ops`.

python scripts/ops_table.py [folder of results]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def tables(folder: Path) -> list[str]:
    """Of resampling and alignment, of voxels, and of pictures, as Markdown."""
    resample, align, voxelize, augment = (
        json.loads((folder / f"{name}.json").read_bytes())
        for name in ("resample", "align", "voxelize", "augment")
    )
    trajectories = [
        [case, *_times(one, case), f"{100 * ratios['memcpy']:.0f} %", *_ratios(ratios, peers)]
        for one in (resample, align)
        for case, ratios in _cases(one).items()
        for peers in [("gather", "index_select", "interp1d", "interp")]
    ]
    voxels = [
        [case, *_times(voxelize, case), *_ratios(ratios, peers)]
        for case, ratios in _cases(voxelize).items()
        for peers in [
            ("index_put", "bincount", "scatter_add", "numpy", "histogramdd", "open3d"),
        ]
    ]
    pictures = [
        [case, *_times(augment, case), *_ratios(ratios, ("torch", "pillow"))]
        for case, ratios in augment["times_as_fast_as"].items()
    ]
    of = ["ms", "`out=`"]
    peers = ["index_put", "bincount", "scatter_add", "numpy", "histogramdd", "Open3D"]
    return [
        _table(
            ["case", *of, "a copy", "gather", "index_select", "`interp1d`", "`np.interp`"],
            trajectories,
        ),
        _table(["case", *of, *peers], voxels),
        _table(["64 pictures of 224 x 224", *of, "PyTorch", "Pillow"], pictures),
    ]


def _cases(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Case -> how many times as fast as each peer."""
    return {case: one["times_as_fast_as"] for case, one in result["cases"].items()}


def _times(result: dict[str, Any], case: str) -> list[str]:
    return [f"{1000 * result['medians_s'][f'{case}/{side}']:.3g}" for side in ("ours", "ours out")]


def _ratios(ratios: dict[str, float], peers: Sequence[str]) -> list[str]:
    return [f"{ratios[peer]:.3g}" if peer in ratios else "" for peer in peers]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else RESULTS
    sys.stdout.write("\n\n".join(tables(folder)) + "\n")
