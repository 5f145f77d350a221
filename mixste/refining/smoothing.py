"""Smoothing over time without lag."""

import numpy as np

from mixste.errors import MixsteError

ORDER = 2


def low_pass(values: np.ndarray, fps: float, cutoff_hz: float) -> np.ndarray:
    """Filter values (t ...) with a Butterworth of second order, forwards and backwards: no lag, -6 dB at `cutoff_hz`.

    A few frames are padded with fewer than is usual, and a single one stays as it is. MixsteError if the cutoff is not
    between 0 and half the frame rate.
    """
    from scipy.signal import butter, sosfiltfilt

    if not 0 < cutoff_hz < fps / 2:
        expected = f"above 0 and below half the frame rate, {fps / 2:g} Hz"
        raise MixsteError("cannot smooth with this cutoff", found=f"{cutoff_hz:g} Hz", expected=expected)
    values = np.asarray(values, dtype=np.float64)
    sections = butter(ORDER, cutoff_hz, fs=fps, output="sos")
    pad = min(len(values) - 1, round(3 * fps / cutoff_hz))
    return sosfiltfilt(sections, values, axis=0, padlen=pad) if pad else values.copy()
