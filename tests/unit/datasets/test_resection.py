"""The camera that made pixels is found again from them, exactly or about."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mixste.datasets.resection import reproject, resect


def scene(seed, points=60):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    world = rng.uniform(-1, 1, (points, 3))
    intrinsics = np.array([[800.0, 0, 310], [0, 790, 250], [0, 0, 1]])
    return world, intrinsics, rotation, np.array([0.1, -0.2, 5.0])


@pytest.mark.parametrize("seed", range(5))
def test_exact_pixels_give_the_camera_back(seed):
    world, *camera = scene(seed)
    for found, true in zip(resect(world, reproject(world, *camera)), camera, strict=True):
        np.testing.assert_allclose(found, true, atol=1e-6)


def test_noisy_pixels_give_it_about():
    world, *camera = scene(7, points=2000)
    noise = np.random.default_rng(1).normal(0, 1, (2000, 2))
    _, rotation, translation = resect(world, reproject(world, *camera) + noise)
    np.testing.assert_allclose(rotation, camera[1], atol=5e-3)
    np.testing.assert_allclose(translation, camera[2], atol=0.03)


def test_a_point_on_the_axis_is_seen_in_the_middle():
    intrinsics = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    middle = reproject(np.array([[0.0, 0, 3]]), intrinsics, np.eye(3), np.zeros(3))
    assert middle.tolist() == [[320, 240]]
