"""GR00T N1.6 with a frozen backbone: training samples per second with its features kept, or made.

    python benchmarks/groot_features.py
    python benchmarks/groot_features.py --released --device cuda

Sides: `made`, every step runs the backbone; `kept`, all features are on disk and pictures are not
read. Both give the same losses on the CPU, which is checked first. Random weights, tiny on the CPU
unless asked otherwise; pictures are in memory, so what decoding costs is not in it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from groot_material import make_policy
from measure import arguments, interleave, publish, rates, ratio

from robocache.policies.draws import Draws
from robocache.policies.groot_n16.feature_cache import open_feature_cache
from robocache.policies.groot_n16.feature_store import FeatureStore
from robocache.policies.trainable import mean_loss


def main() -> None:
    parser = arguments(__doc__, rounds=10)
    parser.add_argument("--released", action="store_true", help="weights of the released size")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("bfloat16", "float32"))
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    policy, table = make_policy(
        released=args.released, views=args.views, device=args.device, dtype=args.dtype, frozen=True
    )
    policy.train()
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.0, fused=True)  # both sides train the same weights
    batch = table.batch(np.arange(args.batch_size) % len(table)).to(policy.model.device)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ROBOCACHE_HOME"] = scratch
        store = open_feature_cache(policy, table, "random", args.device)

        def step(kept: FeatureStore | None) -> float:
            policy.feature_store = kept
            torch.manual_seed(0)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(args.device, torch.bfloat16, enabled=args.device == "cuda"):
                loss = mean_loss(policy, batch, Draws.seeded(0))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return float(loss.detach())

        def timed(kept: FeatureStore | None) -> Callable[[], float]:
            def run() -> float:
                began = time.perf_counter()
                step(kept)  # its loss is read, so the device is done
                return time.perf_counter() - began

            return run

        losses = [step(kept) for kept in (None, store, store)]
        if args.device == "cpu" and len(set(losses)) > 1:
            raise SystemExit(f"kept features give other losses: {losses}")
        seconds = interleave({"made": timed(None), "kept": timed(store)}, args.rounds)
    figures = {
        "samples_per_s": rates(seconds, args.batch_size),
        "kept_over_made": ratio(seconds["kept"], seconds["made"]),
        "bytes_per_window": store.bytes // len(store),
    }
    publish(args, figures, seconds=seconds, peers={"kept": "made"})


if __name__ == "__main__":
    main()
