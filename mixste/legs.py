"""How long a person's legs are, which says how tall they are, or whether the unit is right."""

import numpy as np

from mixste.skeleton import Skeleton


def leg_length(joints: np.ndarray, skeleton: Skeleton) -> float | None:
    """Return the mean length of both legs from hip over knee to ankle, in the unit of joints (t j 3).

    Each bone's is the median over the frames in which all are known; None if there is no such frame or joint.
    """
    chain = [[f"{side}_{part}" for part in ("hip", "knee", "ankle")] for side in "lr"]
    if not {name for leg in chain for name in leg} <= set(skeleton.joints):
        return None
    places = np.asarray(joints, dtype=np.float64)[:, [[skeleton.index(name) for name in leg] for leg in chain]]
    bones = np.linalg.norm(np.diff(places, axis=2), axis=-1)
    bones = bones[np.isfinite(bones).all(axis=(1, 2))]
    return float(np.median(bones, axis=0).sum(axis=-1).mean()) if len(bones) else None
