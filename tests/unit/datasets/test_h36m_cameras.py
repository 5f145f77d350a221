"""Human3.6M's calibration, number by number: a camera that is moved a little still sees poses and keypoints agree."""

import numpy as np
import pytest

from mixste.cameras import load_rig
from mixste.datasets.h36m import subject_cameras
from mixste.errors import MixsteError

# Facts of the data set, as distributed with it. Width and height, focal lengths, centre, in pixels.
IMAGES = {
    "54138969": (1000, 1002, 1145.049, 1143.781, 512.542, 515.451),
    "55011271": (1000, 1000, 1149.676, 1147.592, 508.849, 508.065),
    "58860488": (1000, 1000, 1149.141, 1148.799, 519.816, 501.403),
    "60457274": (1000, 1002, 1145.511, 1144.774, 514.968, 501.882),
}
# k1, k2, k3, p1, p2 of each.
DISTORTIONS = (
    (-0.207099, 0.247775, -0.003075, -0.000976, -0.001424),
    (-0.194214, 0.240409, 0.006820, -0.001619, -0.002741),
    (-0.208338, 0.255488, -0.002460, 0.001484, -0.000760),
    (-0.198384, 0.218324, -0.008948, -0.000587, -0.001813),
)
# Of each camera the quaternion w, x, y, z from its axes to the world's, and where it stood, in millimetres.
POSES = {
    "S1": (
        (0.140706, -0.150070, -0.755241, 0.622328, 1841.1, 4955.3, 1563.4),
        (0.615719, -0.764836, -0.148338, 0.117947, 1761.3, -5078.0, 1606.3),
        (0.146515, -0.146479, 0.765302, -0.609418, -1846.8, 5215.0, 1492.0),
        (0.583401, -0.785316, 0.145488, -0.147496, -1794.8, -3722.7, 1574.9),
    ),
    "S5": (
        (0.146738, -0.162371, -0.755189, 0.617894, 2097.4, 4880.9, 1605.7),
        (0.615976, -0.762679, -0.157282, 0.118982, 2031.7, -5167.9, 1612.9),
        (0.142914, -0.129078, 0.767838, -0.611014, -1620.6, 5171.7, 1496.4),
        (0.592048, -0.781422, 0.127475, -0.150364, -1637.2, -3867.3, 1547.0),
    ),
    "S6": (
        (0.133790, -0.156924, -0.757109, 0.619888, 1935.5, 4950.2, 1618.1),
        (0.614720, -0.762881, -0.161748, 0.118192, 1969.8, -5128.7, 1632.8),
        (0.152995, -0.135291, 0.764610, -0.611278, -1769.6, 5185.4, 1477.0),
        (0.591610, -0.780477, 0.128323, -0.156159, -1721.7, -3884.1, 1540.5),
    ),
    "S7": (
        (0.143524, -0.163134, -0.754833, 0.618882, 1974.5, 4926.4, 1597.8),
        (0.614167, -0.763826, -0.159665, 0.117793, 1937.1, -5119.8, 1631.6),
        (0.145501, -0.128748, 0.766052, -0.612714, -1741.8, 5208.2, 1464.8),
        (0.591285, -0.782176, 0.124455, -0.151965, -1734.7, -3832.4, 1548.6),
    ),
    "S8": (
        (0.141106, -0.155899, -0.756192, 0.619644, 2150.7, 4896.2, 1611.9),
        (0.616960, -0.764767, -0.148464, 0.111582, 2220.0, -5148.5, 1613.0),
        (0.147144, -0.133771, 0.767013, -0.610037, -1571.2, 5137.0, 1498.2),
        (0.592782, -0.782587, 0.121478, -0.146320, -1476.9, -3896.7, 1548.0),
    ),
    "S9": (
        (0.155406, -0.155482, -0.753210, 0.619959, 2044.5, 4935.1, 1481.2),
        (0.618784, -0.763474, -0.141322, 0.119340, 1991.0, -5123.8, 1568.8),
        (0.133578, -0.136710, 0.768945, -0.610074, -1671.0, 5212.0, 1528.4),
        (0.587940, -0.782341, 0.142761, -0.147949, -1696.0, -3827.1, 1591.4),
    ),
    "S11": (
        (0.152325, -0.154423, -0.754756, 0.619107, 2098.4, 4926.6, 1500.3),
        (0.618945, -0.760092, -0.153006, 0.125526, 2083.2, -4912.2, 1561.1),
        (0.149432, -0.156502, 0.768123, -0.602630, -1609.8, 5177.3, 1537.9),
        (0.589425, -0.781888, 0.139912, -0.147154, -1590.7, -3854.2, 1578.0),
    ),
}


def assert_intrinsics(cameras):
    assert [camera.name for camera in cameras] == list(IMAGES)
    images = [[*camera.size, *camera.focal, *camera.centre] for camera in cameras]
    np.testing.assert_allclose(images, list(IMAGES.values()), rtol=0, atol=6e-4)
    distortions = [[*camera.radial, *camera.tangential] for camera in cameras]
    np.testing.assert_allclose(distortions, DISTORTIONS, rtol=0, atol=6e-7)


def assert_poses(cameras, subject):
    expected = np.array(POSES[subject])
    np.testing.assert_allclose([camera.orientation for camera in cameras], expected[:, :4], rtol=0, atol=2e-6)
    places = 1000 * np.array([camera.translation for camera in cameras])
    np.testing.assert_allclose(places, expected[:, 4:], rtol=0, atol=0.06)


@pytest.mark.parametrize("subject", POSES)
def test_a_subjects_cameras_are_the_measured_ones_where_they_stood_for_it(subject):
    assert_intrinsics(subject_cameras(subject))
    assert_poses(subject_cameras(subject), subject)


def test_the_rig_is_the_cameras_as_they_stood_for_s1():
    assert_intrinsics(load_rig("h36m").cameras)
    assert_poses(load_rig("h36m").cameras, "S1")


@pytest.mark.parametrize("subject", ["S2", "S3", "S4"])
def test_no_pose_is_known_for_the_subjects_that_have_none(subject):
    with pytest.raises(MixsteError, match=f"no camera of Human3.6M is known for subject {subject}"):
        subject_cameras(subject)
