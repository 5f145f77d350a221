"""Numbers for a page: steps of a fixed size, differences in time, compressed. viewer.js has the way back (`unpack`)."""

import base64
import zlib
from typing import Any

import numpy as np

from mixste.errors import MixsteError

ABSENT = -(2**31)  # a value that is not there


def pack(values: np.ndarray, step: float) -> dict[str, Any]:
    """Return values (t ...) for JSON, each at most `step / 2` off; what is not finite comes back as NaN.

    Raises MixsteError for values that are too large to count in steps.
    """
    flat = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    there = np.isfinite(flat)
    if (np.abs(flat[there]) >= step * 2**31).any():
        largest = float(np.abs(flat[there]).max())
        raise MixsteError("cannot show these numbers", found=f"one of {largest:g}", expected=f"steps of {step:g}")
    counts = np.where(there, np.rint(np.where(there, flat, 0) / step), ABSENT).astype(np.int32).T
    changes = np.diff(counts, axis=1, prepend=np.int32(0))  # wraps around, as adding up in the browser does
    zigzag = ((changes << 1) ^ (changes >> 31)).astype("<u4")  # small either way: its upper bytes are zeros
    planes = zigzag.reshape(-1, 1).view(np.uint8).T.tobytes()
    data = base64.b64encode(zlib.compress(planes, 9)).decode("ascii")
    return {"width": flat.shape[1], "step": step, "data": data}
