"""Ray camera: hand-made scene with exact answers, `mj_ray` as oracle, real Meta-World scenes."""

from __future__ import annotations

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from robocache.core.errors import ConfigError  # noqa: E402
from robocache.envs.metaworld.raycast import GRIPPER, ROBOT, SCENERY, RayCamera  # noqa: E402

# The camera is 2 m above the floor looking straight down; its image's top is world +y.
# The box's top is at z = 0.4, 1.6 m away, 0.2 m wide in x and 0.4 m in y, centred at x = 0.3.
TINY = """
<mujoco>
  <worldbody>
    <camera name="above" pos="0 0 2" fovy="60"/>
    <camera name="flipped" pos="0 -2 0.5" fovy="60" xyaxes="-1 0 0 0 0 -1"/>
    <camera name="far" pos="0 0 80" fovy="5"/>
    <geom type="plane" size="5 5 0.1"/>
    <body name="base" pos="-0.5 0.5 0.1">
      <geom type="sphere" size="0.1"/>
      <body name="right_hand" pos="0 -1 0"><geom type="sphere" size="0.1"/></body>
    </body>
    <body name="crate" pos="0.3 0 0.2"><geom type="box" size="0.1 0.2 0.2"/></body>
    <body name="ghost" pos="0 0.5 0.3">
      <geom type="box" size="0.1 0.1 0.1" contype="0" conaffinity="0" group="1"/>
    </body>
    <body name="hidden" pos="0 -0.5 0.3">
      <geom type="box" size="0.1 0.1 0.1" group="4"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def tiny():
    model = mujoco.MjModel.from_xml_string(TINY)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def pixel_of(camera: RayCamera, data, point) -> tuple[int, int]:
    """(row, column) where a world point is seen."""
    inside = np.linalg.inv(camera.extrinsics(data)) @ [*point, 1]
    column, row, depth = camera.intrinsics @ inside[:3]
    return round(row / depth), round(column / depth)


def deproject(camera: RayCamera, data, depth_mm) -> np.ndarray:
    """(H, W, 3) world points of a depth image."""
    rows, columns = np.indices(depth_mm.shape)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    inside = pixels @ np.linalg.inv(camera.intrinsics).T * (depth_mm / 1000)[..., None]
    pose = camera.extrinsics(data)
    return inside @ pose[:3, :3].T + pose[:3, 3]


def test_planar_depth_is_exact(tiny):
    model, data = tiny
    camera = RayCamera(model, "above", 81, 61)
    depth_mm, segmentation = camera.render(data)
    assert depth_mm.shape == segmentation.shape == (61, 81)
    assert depth_mm.dtype == np.uint16
    assert segmentation.dtype == np.uint8
    row, column = pixel_of(camera, data, (0.3, 0, 0.4))
    assert (row, column) == (30, 40 + round(0.3 / 1.6 * 30.5 / np.tan(np.pi / 6)))
    assert depth_mm[row, column] == 1600
    assert camera.classes[segmentation[row, column]] == "crate"
    floor = segmentation == SCENERY
    assert floor[0, 0] and floor[-1, -1]
    # Along the optical axis the floor is 2 m away everywhere, although the corner rays are longer.
    assert np.all(depth_mm[floor] == 2000)


def test_image_axes_and_classes(tiny):
    model, data = tiny
    camera = RayCamera(model, "above", 80, 60)
    _, segmentation = camera.render(data)
    robot_rows, robot_columns = np.nonzero(segmentation == ROBOT)
    hand_rows, hand_columns = np.nonzero(segmentation == GRIPPER)
    assert robot_rows.max() < 30 < hand_rows.min()
    assert robot_columns.max() < 40 and hand_columns.max() < 40
    assert list(camera.classes.items())[4:] == [(4, "crate"), (5, "ghost"), (6, "hidden")]


def test_box_covers_the_pixels_that_geometry_says(tiny):
    model, data = tiny
    camera = RayCamera(model, "above", 81, 61)
    depth_mm, segmentation = camera.render(data)
    top = (segmentation == 4) & (depth_mm == 1600)
    focal = 30.5 / np.tan(np.pi / 6)
    columns = np.arange(81) - 40
    rows = np.arange(61) - 30
    x, y = 1.6 * columns / focal, -1.6 * rows / focal
    expected = (np.abs(y) < 0.2)[:, None] & (np.abs(x - 0.3) < 0.1)[None, :]
    np.testing.assert_array_equal(top, expected)


def test_choice_of_geoms(tiny):
    model, data = tiny
    _, collision = RayCamera(model, "above", 80, 60).render(data)
    _, visual = RayCamera(model, "above", 80, 60, geoms="visual").render(data)
    assert 5 not in collision and 6 in collision
    assert 5 in visual and 6 not in visual


def test_far_surfaces_and_sky_are_no_return(tiny):
    model, data = tiny
    depth_mm, segmentation = RayCamera(model, "far", 8, 8).render(data)
    assert not depth_mm.any() and not segmentation.any()
    depth_mm, segmentation = RayCamera(model, "flipped", 40, 30).render(data)
    assert not depth_mm[-1].any()  # upside down: the last row looks up into the sky
    assert np.array_equal(depth_mm == 0, segmentation == 0)


def test_picture_of_an_inverted_camera_is_upright(tiny):
    model, data = tiny
    camera = RayCamera(model, "flipped", 40, 30)
    assert camera.upside_down
    picture = camera.shade(*camera.render(data))
    assert picture.shape == (30, 40, 3) and picture.dtype == np.uint8
    sky = picture[0, 0]
    assert np.all(picture[0] == sky)
    assert not np.any(np.all(picture[-1] == sky, axis=-1))
    # The crate is at positive x: to the right for someone who looks along +y.
    orange = picture[..., 0].astype(int) - picture[..., 1] > 60
    assert orange.sum() > 10
    assert np.nonzero(orange)[1].min() >= 20


def test_moved_bodies_are_followed(tiny):
    model, _ = tiny
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    groups, volumes = model.geom_group.copy(), model.body_bvhadr.copy()
    camera = RayCamera(model, "above", 81, 61)
    before, _ = camera.render(data)
    crate = model.body("crate").id
    old = model.body_pos[crate].copy()
    model.body_pos[crate] = (0.3, 0, 0.5)
    mujoco.mj_forward(model, data)
    after, _ = camera.render(data)
    model.body_pos[crate] = old
    assert after.min() == before.min() - 300
    # The caller's model is as it was.
    assert np.array_equal(model.geom_group, groups)
    assert np.array_equal(model.body_bvhadr, volumes)


def test_bad_arguments(tiny):
    model, _ = tiny
    with pytest.raises(ConfigError, match="did you mean 'above'"):
        RayCamera(model, "abov", 8, 8)
    with pytest.raises(ConfigError, match="at least 1"):
        RayCamera(model, "above", 0, 8)
    with pytest.raises(ConfigError, match="collision"):
        RayCamera(model, "above", 8, 8, geoms="collisions")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def drawer():
    metaworld = pytest.importorskip("metaworld")
    env = metaworld.ALL_V3_ENVIRONMENTS["drawer-open-v3"]()
    env._freeze_rand_vec = False
    env.seeded_rand_vec = True
    env._set_task_called = True
    env.np_random = np.random.default_rng(3)
    env.reset()
    return env.model, env.data


@pytest.mark.parametrize("name", ["topview", "corner", "corner3", "corner4", "behindGripper"])
@pytest.mark.parametrize("geoms", ["collision", "visual"])
def test_agrees_with_single_rays(drawer, name, geoms):
    model, data = drawer
    camera = RayCamera(model, name, 32, 24, geoms=geoms)
    depth_mm, segmentation = camera.render(data)
    points = deproject(camera, data, np.full((24, 32), 1000))  # one metre ahead of each pixel
    groups = np.zeros(6, np.uint8)
    groups[0] = 1
    origin = np.array(data.camera(name).xpos)
    geom = np.zeros(1, np.int32)
    for index in np.ndindex(24, 32):
        ray = points[index] - origin
        distance = mujoco.mj_ray(camera._model, data, origin, ray, groups, 1, -1, geom)
        assert depth_mm[index] == (0 if distance < 0 else round(1000 * distance))
        body = "" if distance < 0 else model.body(model.geom_bodyid[geom[0]]).name
        if body in camera.classes.values():
            assert camera.classes[segmentation[index]] == body


def test_table_top_is_at_its_height(drawer):
    model, data = drawer
    camera = RayCamera(model, "corner4", 64, 64)
    depth_mm, segmentation = camera.render(data)
    points = deproject(camera, data, depth_mm)
    rim = model.body("RetainingWall").pos
    # Well inside the rim: only the table's top, whose height is 0.
    inside = (np.abs(points[..., :2] - rim[:2]) < (0.6, 0.3)).all(axis=-1)
    table = inside & (segmentation == SCENERY)
    assert table.sum() > 200
    assert np.abs(points[table][:, 2]).max() < 0.002


def test_known_geom_is_seen_at_its_place(drawer):
    model, data = drawer
    camera = RayCamera(model, "corner4", 128, 128)
    depth_mm, segmentation = camera.render(data)
    number = {name: class_id for class_id, name in camera.classes.items()}
    assert number["drawercase_link"] == 4 and number["drawer_link"] == 5
    case = data.body("drawercase_link").xpos
    points = deproject(camera, data, depth_mm)[segmentation == number["drawercase_link"]]
    assert len(points) > 50
    assert np.linalg.norm(points - case, axis=-1).max() < 0.35
    finger = data.geom("rightclaw_it").xpos
    row, column = pixel_of(camera, data, finger)
    assert segmentation[row, column] == GRIPPER
    seen = deproject(camera, data, depth_mm)[row, column]
    assert np.linalg.norm(seen - finger) < 0.05


def test_rendering_twice_gives_the_same_and_leaves_the_state(drawer):
    model, data = drawer
    camera = RayCamera(model, "corner4", 48, 36, geoms="visual")
    before = data.qpos.copy()
    first = camera.render(data)
    picture = camera.shade(*first)
    second = camera.render(data)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert np.array_equal(before, data.qpos)
    assert (first[1] == ROBOT).any()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_a_part_of_an_image_equals_that_part_of_the_whole(tiny):
    model, data = tiny
    for name in ("above", "flipped"):
        whole = RayCamera(model, name, 80, 60, "visual")
        part = RayCamera(model, name, 80, 60, "visual", (slice(7, 41), slice(12, 70)))
        for all_of_it, seen in zip(whole.render(data), part.render(data), strict=True):
            np.testing.assert_array_equal(seen, all_of_it[7:41, 12:70])
        point = [0.02, 0.01, 0.0]
        row, column = pixel_of(whole, data, point)
        assert pixel_of(part, data, point) == (row - 7, column - 12)
        shown, inside = whole.shade(*whole.render(data)), part.shade(*part.render(data))
        if whole.upside_down:
            shown = shown[::-1, ::-1][7:41, 12:70][::-1, ::-1]
        else:
            shown = shown[7:41, 12:70]
        np.testing.assert_array_equal(inside[4:-4, 4:-4], shown[4:-4, 4:-4])
