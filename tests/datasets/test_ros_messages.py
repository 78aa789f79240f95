"""Message types to streams: hand examples, written by rosbags."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_bags import (
    header,
    joints,
    make,
    number,
    open_rows,
    point,
    quaternion,
    text,
    vector,
)

from robocache.core.errors import DataError
from robocache.core.stream import Stream


def streams(tmp_path: Path, *rows: tuple[str, Any]) -> dict[str, Stream]:
    return dict(open_rows(tmp_path, *rows)[0].streams)


def test_joints_are_sorted_by_the_first_messages_names(tmp_path: Path) -> None:
    found = streams(
        tmp_path,
        ("/joints", joints(0, [1, 2, 3], ("a", "b", "c"), velocity=[4, 5, 6])),
        ("/joints", joints(1, [20, 30, 10], ("b", "c", "a"), velocity=[50, 60, 40])),
    )
    assert set(found) == {"/joints/position", "/joints/velocity"}  # effort is empty
    np.testing.assert_array_equal(found["/joints/position"].values[:], [[1, 2, 3], [10, 20, 30]])
    np.testing.assert_array_equal(found["/joints/velocity"].values[:], [[4, 5, 6], [40, 50, 60]])


@pytest.mark.parametrize(
    ("names", "position", "why"),
    [
        (("a", "c"), [1, 2], "different joints: a, b; then a, c"),
        (("a", "b"), [1, 2, 3], "3 values of position for 2 joints"),
        (("a", "a"), [1, 2], "named twice"),
    ],
)
def test_joints_that_do_not_agree_are_left_out(
    tmp_path: Path, names: tuple[str, ...], position: list[float], why: str
) -> None:
    dataset = open_rows(
        tmp_path,
        ("/joints", joints(0, [1, 2])),
        ("/joints", joints(1, position, names)),
        ("/other", number(1)),
    )
    assert set(dataset[0].streams) == {"/other"}
    assert why in dataset.report()["not_read"]["/joints"]
    (problem,) = dataset.problems()
    assert problem.stream == "/joints" and "message 1" in str(problem)


def test_imu(tmp_path: Path) -> None:
    imu = make(
        "sensor_msgs/msg/Imu",
        header=header(5),
        orientation=quaternion(0.1, 0.2, 0.3, 0.9),
        orientation_covariance=np.zeros(9),
        angular_velocity=vector(1, 2, 3),
        angular_velocity_covariance=np.zeros(9),
        linear_acceleration=vector(4, 5, 6),
        linear_acceleration_covariance=np.zeros(9),
    )
    found = streams(tmp_path, ("/imu", imu))
    np.testing.assert_array_equal(found["/imu/orientation"].values[0], [0.1, 0.2, 0.3, 0.9])
    np.testing.assert_array_equal(found["/imu/angular_velocity"].values[0], [1, 2, 3])
    np.testing.assert_array_equal(found["/imu/linear_acceleration"].values[0], [4, 5, 6])
    assert found["/imu/angular_velocity"].spec.unit == "rad/s"
    assert len(found) == 3


def test_poses_are_xyz_and_xyzw(tmp_path: Path) -> None:
    pose = make(
        "geometry_msgs/msg/Pose", position=point(1, 2, 3), orientation=quaternion(0, 0, 0.6, 0.8)
    )
    twist = make("geometry_msgs/msg/Twist", linear=vector(1, 2, 3), angular=vector(4, 5, 6))
    stamped = make("geometry_msgs/msg/PoseStamped", header=header(3), pose=pose)
    odometry = make(
        "nav_msgs/msg/Odometry",
        header=header(4),
        child_frame_id="base",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.ones(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.ones(36)),
    )
    found = streams(
        tmp_path, ("/pose", pose), ("/stamped", stamped), ("/twist", twist), ("/odom", odometry)
    )
    for name in ("/pose", "/stamped", "/odom/pose"):
        np.testing.assert_array_equal(found[name].values[0], [1, 2, 3, 0, 0, 0.6, 0.8])
        assert found[name].spec.unit == "m, quaternion xyzw"
    for name in ("/twist", "/odom/twist"):
        np.testing.assert_array_equal(found[name].values[0], [1, 2, 3, 4, 5, 6])
    assert len(found) == 5


def test_each_frame_of_tf_has_its_own_times(tmp_path: Path) -> None:
    def transform(child: str, stamp_ns: int, x: float, parent: str = "base") -> Any:
        return make(
            "geometry_msgs/msg/TransformStamped",
            header=header(stamp_ns, parent),
            child_frame_id=child,
            transform=make(
                "geometry_msgs/msg/Transform",
                translation=vector(x, 0, 0),
                rotation=quaternion(0, 0, 0, 1),
            ),
        )

    def message(*transforms: Any) -> Any:
        return make("tf2_msgs/msg/TFMessage", transforms=list(transforms))

    found = streams(
        tmp_path,
        ("/tf", message(transform("arm", 1000, 1), transform("hand", 500, 2))),
        ("/tf", message(transform("hand", 3000, 3))),
    )
    np.testing.assert_array_equal(found["/tf/hand"].values[:, 0], [2, 3])
    np.testing.assert_array_equal(found["/tf/hand"].times_s, [0, 2500 / 1e9])
    np.testing.assert_array_equal(found["/tf/arm"].times_s, [500 / 1e9])
    moved = open_rows(
        tmp_path,
        ("/tf", message(transform("hand", 1, 1))),
        ("/tf", message(transform("hand", 2, 1, parent="table"))),
    )
    assert "hangs on 'table', before on 'base'" in moved.report()["not_read"]["/tf"]


def test_trajectory_gives_its_first_point(tmp_path: Path) -> None:
    def trajectory(names: list[str], *points: list[float]) -> Any:
        return make(
            "trajectory_msgs/msg/JointTrajectory",
            header=header(None),
            joint_names=names,
            points=[
                make(
                    "trajectory_msgs/msg/JointTrajectoryPoint",
                    positions=np.array(values, np.float64),
                    velocities=np.array([]),
                    accelerations=np.array([]),
                    effort=np.array([]),
                    time_from_start=make("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
                )
                for values in points
            ],
        )

    found = streams(
        tmp_path,
        ("/command", trajectory(["a", "b"], [1, 2], [9, 9])),
        ("/command", trajectory(["b", "a"], [4, 3])),
        ("/command", trajectory(["a", "b"])),
    )
    np.testing.assert_array_equal(found["/command/positions"].values[:], [[1, 2], [3, 4]])
    assert set(found) == {"/command/positions"}


def test_numbers_arrays_and_any_other_message(tmp_path: Path) -> None:
    layout = make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    array = make(
        "std_msgs/msg/Float32MultiArray", layout=layout, data=np.array([1.5, 2.5], np.float32)
    )
    joy = make(
        "sensor_msgs/msg/Joy",
        header=header(1),
        axes=np.array([0.5, -0.5], np.float32),
        buttons=np.array([1, 0, 1], np.int32),
    )
    range_ = make(
        "sensor_msgs/msg/Range",
        header=header(1),
        radiation_type=1,
        field_of_view=0.5,
        min_range=0.25,
        max_range=2.0,
        range=1.0,
        variance=0.0,
    )
    found = streams(
        tmp_path,
        ("/number", number(0.1)),
        ("/flag", make("std_msgs/msg/Bool", data=True)),
        ("/big", make("std_msgs/msg/UInt64", data=2**64 - 1)),
        ("/array", array),
        ("/joy", joy),
        ("/range", range_),
    )
    expected = {
        "/number": ([0.1], "float64"),
        "/flag": ([True], "bool"),
        "/big": ([2**64 - 1], "uint64"),
        "/array": ([1.5, 2.5], "float32"),
        "/joy/axes": ([0.5, -0.5], "float32"),
        "/joy/buttons": ([1, 0, 1], "int32"),
        "/range": ([1, 0.5, 0.25, 2.0, 1.0, 0.0], "float32"),
    }
    assert set(found) == set(expected)
    for name, (values, dtype) in expected.items():
        assert found[name].values[0].tolist() == values, name
        assert found[name].spec.dtype == dtype


def test_arrays_that_change_their_length_are_left_out(tmp_path: Path) -> None:
    layout = make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    rows = [
        ("/array", make("std_msgs/msg/Float64MultiArray", layout=layout, data=np.zeros(size)))
        for size in (3, 3, 4)
    ]
    dataset = open_rows(tmp_path, *rows)
    assert not dataset[0].streams
    problems = [str(problem) for problem in dataset.problems()]
    assert any("4 numbers in sample 2, the first had 3" in problem for problem in problems)


def test_camera_info_text_and_point_clouds(tmp_path: Path) -> None:
    roi = make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    k = np.array([500.0, 0, 320, 0, 510, 240, 0, 0, 1])

    def info(k: Any) -> Any:
        return make(
            "sensor_msgs/msg/CameraInfo",
            header=header(1, "optical"),
            height=480,
            width=640,
            distortion_model="plumb_bob",
            d=np.array([0.1, 0.2, 0, 0, 0]),
            k=k,
            r=np.eye(3).ravel(),
            p=np.zeros(12),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    cloud = make(
        "sensor_msgs/msg/PointCloud2",
        header=header(1),
        height=1,
        width=0,
        fields=[],
        is_bigendian=False,
        point_step=16,
        row_step=0,
        data=np.zeros(0, np.uint8),
        is_dense=True,
    )
    dataset = open_rows(
        tmp_path,
        ("/camera_info", info(k)),
        ("/camera_info", info(k)),
        ("/cloud", cloud),
        ("/chatter", text("hello")),
        ("/x", number(1)),
    )
    report = dataset.report()
    camera = report["cameras"]["/camera_info"]
    assert camera["k"] == k.tolist() and camera["width"] == 640 and camera["frame_id"] == "optical"
    assert set(report["streams"]) == {"/x"}
    assert "number of points" in report["not_read"]["/cloud"]
    assert "text" in report["not_read"]["/chatter"]
    assert list(dataset.problems()) == []
    moved = open_rows(tmp_path, ("/camera_info", info(k)), ("/camera_info", info(k * 2)))
    assert any("calibration changes" in str(problem) for problem in moved.problems())


def test_instructions(tmp_path: Path) -> None:
    rows = [
        ("/task/instruction", text("pick the cup ")),
        ("/other", text("lift")),
        ("/x", number(1)),
    ]
    assert open_rows(tmp_path, *rows)[0].instruction == "pick the cup"
    assert open_rows(tmp_path, *rows, instruction_topic="/other")[0].instruction == "lift"
    missing = open_rows(tmp_path, *rows, instruction_topic="/nothing")
    assert missing[0].instruction == ""
    assert [problem.stream for problem in missing.problems()] == ["/nothing"]
    two = open_rows(tmp_path, *rows, ("/task/instruction", text("put it down")))
    assert two[0].instruction == "pick the cup"
    assert any("2 different instructions" in str(problem) for problem in two.problems())


def test_not_finite_values_are_a_problem(tmp_path: Path) -> None:
    dataset = open_rows(tmp_path, ("/x", number(float("nan"))))
    (problem,) = dataset.problems()
    assert isinstance(problem, DataError) and problem.stream == "/x"
