"""Depth to points: by hand, against a loop, and on recordings with a known table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import deproject

K = torch.tensor([[2.0, 0.0, 1.0], [0.0, 4.0, 0.5], [0.0, 0.0, 1.0]])


def test_a_pixel_by_hand() -> None:
    depth = torch.full((2, 3), 8.0)
    points = deproject(depth, K)
    # column 2, row 1: x = (2 - 1) / 2 * 8, y = (1 - 0.5) / 4 * 8
    assert points[1, 2].tolist() == [4.0, 1.0, 8.0]
    assert points[0, 0].tolist() == [-4.0, -1.0, 8.0]
    assert deproject(depth, K, convention="opengl")[1, 2].tolist() == [4.0, -1.0, -8.0]
    # The camera at (10, 20, 30), turned by a quarter about z: x to y, y to -x.
    pose = torch.tensor([[0.0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])
    assert deproject(depth, K, pose)[1, 2].tolist() == [9.0, 24.0, 38.0]


@pytest.mark.parametrize("nothing", [0.0, -1.0, torch.nan, torch.inf, -torch.inf])
def test_no_measurement_is_no_point(nothing: float) -> None:
    depth = torch.tensor([[1.0, nothing], [2.0, 3.0]])
    for pose in (None, torch.eye(4)):
        points = deproject(depth, K, pose)
        assert points[0, 1].isnan().all()
        assert points.isfinite().all(dim=-1).sum() == 3


def _random_camera(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    k = np.array([[random.uniform(50, 90), random.normal(), 3.3], [0, random.uniform(50, 90), 2.7],
                  [0, 0, 1]])  # fmt: skip
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0]
    pose[:3, 3] = random.normal(size=3)
    return k, pose


@pytest.mark.parametrize("convention", ["opencv", "opengl"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_as_a_loop_over_pixels(convention: Any, dtype: torch.dtype) -> None:
    random = np.random.default_rng(0)
    depth = random.uniform(0.2, 3, (2, 3, 5, 7))
    cameras = [_random_camera(random) for _ in range(6)]
    k = np.stack([camera[0] for camera in cameras]).reshape(2, 3, 3, 3)
    pose = np.stack([camera[1] for camera in cameras]).reshape(2, 3, 4, 4)
    expected = np.empty((2, 3, 5, 7, 3))
    up = 1 if convention == "opencv" else -1
    for at in np.ndindex(2, 3, 5, 7):
        *image, v, u = at
        ray = np.linalg.inv(k[tuple(image)]) @ [u, v, 1] * depth[at]
        there = np.array([ray[0], up * ray[1], up * ray[2], 1])
        expected[at] = (pose[tuple(image)] @ there)[:3]
    given = [torch.from_numpy(array).to(dtype) for array in (depth, k, pose)]
    points = deproject(*given, convention=convention)
    assert points.dtype == dtype
    close = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose(points.numpy(), expected, atol=close)
    shared = deproject(given[0], given[1][0, 0], given[2][0, 0], convention)
    np.testing.assert_allclose(shared[0, 0].numpy(), expected[0, 0], atol=close)


def test_gradients() -> None:
    depth = torch.rand(2, 3, 4, dtype=torch.float64) + 0.5
    k = K.double().repeat(2, 1, 1)
    pose = torch.rand(2, 4, 4, dtype=torch.float64)
    inputs = tuple(tensor.requires_grad_() for tensor in (depth, k, pose))
    assert torch.autograd.gradcheck(deproject, inputs)


def test_what_does_not_belong_together_is_refused() -> None:
    depth = torch.ones(2, 4, 5)
    with pytest.raises(ShapeError, match=r"intrinsics must be \(3, 3\) or \(2, 3, 3\), got"):
        deproject(depth, K.repeat(3, 1, 1))
    with pytest.raises(ShapeError, match=r"extrinsics must be \(4, 4\)"):
        deproject(depth, K, torch.eye(3))
    with pytest.raises(ShapeError, match=r"in metres; got .* torch.int16"):
        deproject(depth.to(torch.int16), K)
    with pytest.raises(ShapeError, match=r"got \(5,\)"):
        deproject(torch.ones(5), K)
    with pytest.raises(ConfigError, match="did you mean 'opengl'"):
        deproject(depth, K, convention="open-gl")  # type: ignore[arg-type]


def _mode(heights: torch.Tensor, low: float, high: float) -> float:
    """Middle of the fullest bin of 1 cm between two heights."""
    edges = np.arange(low, high, 0.01)
    count, _ = np.histogram(heights.numpy(), edges)
    return round(float(edges[count.argmax()]) + 0.005, 4)


def test_the_table_of_robomimic_is_where_it_is(shared_data: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "robomimic_hdf5" / "image_depth.hdf5") as file:
        demo = file["data/demo_0"]
        depth = torch.from_numpy(demo["obs/agentview_depth"][:, :, :, 0])
        camera = json.loads(demo.attrs["camera_info"])["agentview"]
    k, pose = (torch.tensor(camera[name]) for name in ("intrinsics", "extrinsics"))
    heights = deproject(depth, k, pose)[..., 2].flatten()
    assert _mode(heights, -1, 2) == 0.805
    upside_down = deproject(depth.flip(1), k, pose)[..., 2].flatten()
    assert _mode(upside_down, -1, 2) != 0.805, "the first row is the top row"


def test_the_floor_and_table_of_calvin_are_where_they_are(shared_data: Path) -> None:
    yaml = pytest.importorskip("yaml")
    folder = shared_data / "calvin" / "validation"
    text = (folder / ".hydra" / "merged_config.yaml").read_text()
    camera = yaml.safe_load(text)["cameras"]["static"]
    focal = camera["height"] / 2 / np.tan(np.deg2rad(camera["fov"]) / 2)
    assert focal == pytest.approx(1143.005, abs=1e-3)
    k = torch.tensor([[focal, 0, 100], [0, focal, 100], [0, 0, 1]])
    back = np.subtract(camera["look_from"], camera["look_at"])
    back /= np.linalg.norm(back)
    right = np.cross(camera["up_vector"], back)
    right /= np.linalg.norm(right)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = torch.from_numpy(
        np.stack([right, np.cross(back, right), back, camera["look_from"]], axis=1)
    )
    with np.load(folder / "episode_0553567.npz", allow_pickle=False) as frame:
        depth = torch.from_numpy(frame["depth_static"])
    heights = deproject(depth, k, pose, "opengl")[..., 2].flatten()
    assert _mode(heights, -0.5, 0.3) == 0.005
    assert _mode(heights, 0.3, 1.0) == 0.445
