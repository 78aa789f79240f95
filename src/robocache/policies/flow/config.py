"""Settings of the flow-matching policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """An extra feature: some columns of one input minus the same number of columns of another.

    Attributes:
        stream, columns: what is read, e.g. "object_pose" and (0, 1, 2) of its flattened sample.
        reference, reference_columns: what is subtracted.
    """

    stream: str
    columns: tuple[int, ...]
    reference: str
    reference_columns: tuple[int, ...]


@dataclass(frozen=True)
class FlowConfig:
    """Size and behaviour of a `FlowPolicy`.

    Attributes:
        horizon: actions per chunk, H.
        execute_steps: actions executed before the policy is asked again.
        flow_steps: Euler steps from noise to actions.
        hidden: width of the residual blocks.
        blocks: number of residual blocks.
        text_buckets: size of the hashed instruction.
        text_features: width of the instruction's embedding.
        text_dropout: share of the n-grams left out of every other training instruction, so that no
            single word carries the meaning.
        image_features: width of the embedding of each image input.
        motion: also read how far each state input moved since its earlier offsets.
        ages: also read how old each sample is. Only what was late in training is learned: train
            with latency (`sim_to_real`) or on real logs. What it is worth: docs/sim_to_real.md.
        differences: extra features, e.g. an object's position relative to the hand.
        relative_to: name of an input of the action's shape (joint positions) that actions are
            predicted relative to; empty: absolute actions.
        max_depth_m: depth beyond this reads as this, in metres.
        batch_rows: inference runs in blocks of exactly this many rows, so that a row's result does
            not depend on how many episodes ask at once.
    """

    horizon: int = 16
    execute_steps: int = 8
    flow_steps: int = 4
    hidden: int = 256
    blocks: int = 4
    text_buckets: int = 1024
    text_features: int = 64
    text_dropout: float = 0.5
    image_features: int = 64
    motion: bool = False
    ages: bool = False
    differences: tuple[Difference, ...] = ()
    relative_to: str = ""
    max_depth_m: float = 2.0
    batch_rows: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.execute_steps <= self.horizon:
            raise ValueError(
                f"execute_steps must lie in 1..horizon={self.horizon}, got {self.execute_steps}"
            )
        counts = ("flow_steps", "hidden", "blocks", "text_buckets", "text_features")
        for name in (*counts, "image_features", "batch_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.text_dropout < 1:
            raise ValueError(f"text_dropout must lie in [0, 1), got {self.text_dropout}")
