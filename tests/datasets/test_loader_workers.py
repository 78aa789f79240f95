"""The loader with worker processes: the same stream, errors as they are, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_streams import assert_same_from, states, stream
from picture_episodes import WINDOW, EndsItsProcess, EpisodeList, picture_dataset, picture_episode

from processes import fork
from robocache.core import StreamInput, Window
from robocache.core.errors import CorruptFileError, StorageError
from robocache.datasets import Loader, Mixture, Source, WindowTable, open_dataset
from robocache.datasets.frame_workers import FrameWorkers
from robocache.datasets.views import select


def small_mixture() -> Mixture:
    return Mixture(
        {"arm": picture_dataset("arm", (7, 6)), "hand": (picture_dataset("hand", (5, 4)), 2)},
        WINDOW,
    )


def sample_mixture(folder: Path) -> Mixture:
    """RLDS Bridge (JPEG in TFRecord) and LeRobot v3 (PNG in Parquet)."""
    bridge = open_dataset(folder / "bridge_rlds")
    lerobot = open_dataset(folder / "lerobot_v30_written")
    to_bridge = {"observation/state": "state", "observation/image_0": "camera"}
    to_lerobot = {"observation.state": "state", "observation.images.wrist": "camera"}
    window = Window((StreamInput("state"), StreamInput("camera", (-0.2, 0.0))), "action", 10.0, 4)
    return Mixture(
        {
            "bridge": Source(select(bridge, bridge.keys()[:4]), 2, "widowx", to_bridge),
            "lerobot": Source(select(lerobot, lerobot.keys()[:2]), 1, "other", to_lerobot),
        },
        window,
    )


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Loader]:
    with Loader(small_mixture(), 4, seed=1, workers=2) as loader:
        yield loader


def test_restored_at_every_position_with_workers(two_workers):
    count = 2 * len(two_workers) + 1
    expected = stream(Loader(small_mixture(), 4, seed=1), count)
    for position, state in enumerate(states(Loader(small_mixture(), 4, seed=1), count)):
        assert_same_from(two_workers, state, position, expected)


def test_batches_leave_no_shared_memory_behind(two_workers):
    next(two_workers)
    opened = len(os.listdir("/proc/self/fd"))
    kept = [batch.values["camera"] for batch in islice(two_workers, 60)]
    assert not any(camera.is_shared() for camera in kept)
    assert len(os.listdir("/proc/self/fd")) <= opened + 2 * 4


def test_files_in_memory_are_free_again_however_a_batch_ends(two_workers):
    workers = two_workers._workers
    state = two_workers.state_dict()
    for _ in range(5):  # what is under way is not wanted any more, some of it is being read
        next(two_workers)
        under_way = [ordered.frames._future for ordered in two_workers._ordered]
        two_workers.load_state_dict(state)
    for batch in islice(two_workers, 3 * len(workers._files)):
        assert batch.values["camera"].any()
    under_way += [ordered.frames._future for ordered in two_workers._ordered]
    two_workers.load_state_dict(state)
    wait(under_way)
    workers._pool.submit(int).result()  # handled after all that ended before
    assert sorted(workers._free) == list(range(len(workers._files)))


def test_errors_arrive_as_they_are_and_a_killed_worker_is_explained():
    episodes = [picture_episode("good"), picture_episode("bad", damaged=3)]
    table = WindowTable(EpisodeList("set", episodes), WINDOW)
    here = Loader(table, 3, seed=0, shuffle=False)
    with Loader(table, 3, seed=0, shuffle=False, workers=1) as loader:
        start = loader.state_dict()
        for _ in range(3):
            assert next(loader).index.tolist() == next(here).index.tolist()
        with pytest.raises(CorruptFileError) as expected:
            next(here)
        for _ in range(2):
            with pytest.raises(CorruptFileError) as caught:
                next(loader)
            assert str(caught.value) == str(expected.value)
            assert vars(caught.value).items() >= vars(expected.value).items()
        assert loader.state_dict() == here.state_dict()

        (worker,) = loader._workers._pool._processes.values()
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        loader.load_state_dict(start)
        for _ in range(2):
            with pytest.raises(StorageError, match="worker process of the loader was killed"):
                next(loader)
    here.load_state_dict(start)
    assert next(here).index.tolist() == [0, 1, 2]


def test_the_file_that_ended_a_worker_is_named(tmp_path):
    workers = FrameWorkers(EndsItsProcess(tmp_path / "bad.mp4"), 1, 1)
    with pytest.raises(StorageError, match=r"while it read .*bad\.mp4 .*--check"):
        workers.submit(np.arange(3)).result()
    workers.close()


@pytest.mark.slow
@pytest.mark.parametrize("data", ["samples", "generated"])
def test_every_position_with_every_number_of_workers(data, request):
    """Ids and bytes of an RLDS and a LeRobot set mixed, restored across numbers of workers."""
    if data == "samples":
        mixture = sample_mixture(request.getfixturevalue("shared_data"))
    else:
        mixture = small_mixture()
    loaders = {n: Loader(mixture, 8, seed=11, workers=n) for n in (0, 1, 2, 4)}
    start = loaders[0].state_dict()
    count = 2 * len(loaders[0]) + 2
    expected = stream(Loader(mixture, 8, seed=11), count)
    assert len({content for _, _, content in expected}) == count
    for before, here in zip((0, 1, 2, 4), (4, 0, 1, 2), strict=True):
        loaders[before].load_state_dict(start)
        saved = states(loaders[before], count)
        for position, state in enumerate(saved):
            assert_same_from(loaders[here], state, position, expected)
    names = {origin[-1] for origins, _, _ in expected for origin in origins}
    assert names == set(mixture.names)
    for loader in loaders.values():
        loader.close()


KILLED_PARENT = """
import os, signal, sys
from picture_episodes import WINDOW, picture_dataset
from robocache.datasets import Loader, WindowTable

if __name__ == "__main__":
    loader = Loader(WindowTable(picture_dataset("arm", (30,)), WINDOW), 3, seed=0, workers=2)
    next(loader)
    print(*loader._workers._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _leave_a_loader_open() -> None:
    next(Loader(small_mixture(), 4, seed=1, workers=1))


@pytest.mark.slow
def test_a_process_ends_though_its_loader_was_not_closed():
    process = fork(_leave_a_loader_open)
    process.join(120)
    assert process.exitcode == 0


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(KILLED_PARENT)
    folders = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    # Workers hold the output open: this returns when the last of them has ended, or fails.
    ended = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": folders},
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert len(ended.stdout.split()) == 2


@pytest.mark.slow
def test_memory_is_flat_over_epochs(two_workers):
    def resident_kib() -> int:
        pids = [os.getpid(), *two_workers._workers._pool._processes]
        return sum(
            int(line.split()[1])
            for pid in pids
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )

    for _ in islice(two_workers, 2 * len(two_workers)):
        pass
    before = resident_kib()
    for batch in islice(two_workers, 20 * len(two_workers)):
        assert torch.isfinite(batch.actions).all()
    assert resident_kib() < 1.05 * before
