"""Settings of the smallest policy that learns the point environment, for the command line."""

from __future__ import annotations

TASK = "examples.point_env:PointEnv"
TASKS = f"tasks=[{TASK}]"

COLLECT = (
    "collect",
    TASKS,
    "episodes=40",
    "expert_noise=0.3",
    "steps_after_success=3",
    "workers=0",
    "--name=demos",
)

POLICY = (
    "policy.inputs=[{stream: point, offsets_s: [0.0]}, {stream: goal, offsets_s: [0.0]}]",
    "policy.rate_hz=10",
    "policy.network.differences="
    "[{stream: goal, columns: [0, 1], reference: point, reference_columns: [0, 1]}]",
    "policy.network.hidden=16",
    "policy.network.blocks=1",
    "policy.network.text_buckets=16",
    "policy.network.text_features=4",
    "policy.network.horizon=2",
    "policy.network.execute_steps=1",
    "trainer.threads=1",
    "trainer.batch_size=64",
    "trainer.learning_rate=0.01",
    "trainer.ema_decay=0.98",
)

TRAIN = ("train", "dataset=demos", *POLICY, "trainer.warmup_steps=20")
SHORT = (
    *TRAIN,
    "trainer.steps=24",
    "trainer.checkpoint_every=6",
    "trainer.log_every=1",
    "--name=short",
)
LONG = (
    *TRAIN,
    "trainer.steps=400",
    "trainer.checkpoint_every=400",
    "trainer.keep_at=[1]",
    "--name=long",
)
TRAINED = "allow_training_episodes=true"
