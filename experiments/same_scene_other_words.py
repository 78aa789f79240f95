"""Half-open drawers and windows in which everything but the instruction is bit-identical.

    python experiments/same_scene_other_words.py

Uses the verbs `collect`, `train` and `eval` (with phrases that training never saw); writes
experiments/results/same_scene_other_words.json.
"""

from __future__ import annotations

import numpy as np
from report_results import save

from robocache.cli.collect import collect
from robocache.cli.datasets import EPISODES
from robocache.cli.evaluate import evaluate_closed_loop, print_closed_loop
from robocache.cli.train import train_all
from robocache.datasets import EpisodeStore
from robocache.envs import make_env
from robocache.envs.metaworld import SCENES
from robocache.runs import RunStore


def require_same_start(seeds: range) -> None:
    """Raise unless open and close of a scene start with the same bits for each seed."""
    for kind in sorted({task.rsplit("-", 1)[0] for task in SCENES}):
        pair = [make_env(f"metaworld/{kind}-{word}") for word in ("open", "close")]
        for seed in seeds:
            first, second = (env.reset(seed).samples for env in pair)
            for name in first:
                np.testing.assert_array_equal(first[name].values, second[name].values)
                np.testing.assert_array_equal(first[name].times_s, second[name].times_s)


def main() -> None:
    require_same_start(range(20))
    data = collect(["tasks=[scenes]", "episodes=80"], None)
    run = train_all([f"dataset={data.id}", "trainer.steps=1200"], None)[0]
    judged = evaluate_closed_loop(RunStore(), run.id, ["tasks=[scenes]", "episodes=50"])
    result = judged.result()
    print_closed_loop(result)
    store = EpisodeStore(data.folder / EPISODES)
    trained = {episode.instruction for episode in store}
    judged_store = EpisodeStore(judged.run.folder / EPISODES)
    asked = {episode.instruction for episode in judged_store}
    print(f"{len(asked)} phrases asked, {len(asked & trained)} of them in the demonstrations")
    save("same_scene_other_words", {**result.to_json(), "shared_phrases": len(asked & trained)})


if __name__ == "__main__":
    main()
