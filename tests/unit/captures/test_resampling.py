import numpy as np
import pytest

from mixste.captures.resampling import resample, resampled_length

RATES = [(60, 50), (120, 50), (100, 50), (30, 50), (59.94, 50), (25, 60)]


@pytest.mark.parametrize(("fps", "target"), RATES)
@pytest.mark.parametrize("hertz", [0.5, 2.0, 5.0])
def test_slow_motion_is_kept(fps, target, hertz):
    times = np.arange(int(6 * fps)) / fps
    motion = np.stack([np.sin(2 * np.pi * hertz * times), 3 * np.ones_like(times)], axis=1)[:, None]
    result = resample(motion, fps, target)
    new = np.arange(len(result)) / target
    inner = slice(int(target), -int(target))
    np.testing.assert_allclose(result[inner, 0, 0], np.sin(2 * np.pi * hertz * new)[inner], atol=2e-4)
    np.testing.assert_allclose(result[:, 0, 1], 3.0)


@pytest.mark.parametrize(("fps", "target"), RATES)
def test_steady_motion_is_kept_to_the_ends(fps, target):
    motion = 2.0 * np.arange(200)[:, None, None] / fps
    result = resample(motion, fps, target)
    np.testing.assert_allclose(result[:, 0, 0], 2.0 * np.arange(len(result)) / target, atol=1e-4)
    np.testing.assert_allclose(result[0], motion[0], atol=1e-12)


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    motion = np.sin(2 * np.pi * 45.0 * np.arange(600) / 120)[:, None, None]
    assert np.abs(resample(motion, 120, 50)[20:-20]).max() < 0.01


def test_equal_rates_change_nothing():
    motion = np.random.default_rng(0).normal(size=(9, 2, 3))
    assert resample(motion, 50, 50.0) is motion


@pytest.mark.parametrize(("frames", "expected"), [(0, 0), (1, 1), (2, 1), (7, 6), (61, 51), (60, 50)])
def test_no_frame_lies_beyond_the_last(frames, expected):
    assert resampled_length(frames, 60, 50) == expected
    assert len(resample(np.zeros((frames, 1, 3)), 60, 50)) == expected if frames else True


def test_a_short_clip_stays_finite():
    assert np.isfinite(resample(np.random.default_rng(0).normal(size=(3, 17, 3)), 120, 50)).all()
