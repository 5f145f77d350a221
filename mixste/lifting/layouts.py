"""Which layout keypoints are of, where their number leaves a choice: in the right one, bones are short."""

import numpy as np

from mixste.skeleton import FOLDER, Skeleton, load_skeleton

SHORTER = 0.7  # times the bones of the layout that was named: another is surely the right one


def known_layouts() -> list[str]:
    """Return the names of all layouts."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def likelier(keypoints: np.ndarray, named: str) -> str | None:
    """Return a layout of as many joints in which keypoints (t j 3) have much shorter bones than as `named`, or None."""
    layouts = [load_skeleton(name) for name in known_layouts()]
    lengths = {one.name: _bones(keypoints, one) for one in layouts if len(one.joints) == keypoints.shape[1]}
    best = min(lengths, key=lengths.__getitem__)
    return best if lengths[best] < SHORTER * lengths[named] else None


def _bones(keypoints: np.ndarray, skeleton: Skeleton) -> float:
    """Return the mean over bones of their median length in the frames that have both ends."""
    ends = keypoints[:, np.array(skeleton.bones)]
    length = np.linalg.norm(ends[:, :, 1, :2] - ends[:, :, 0, :2], axis=-1)
    least = ends[..., 2].min(axis=-1)
    medians = [np.median(own[sure > 0]) for own, sure in zip(length.T, least.T, strict=True) if sure.any()]
    return float(np.mean(medians)) if medians else np.inf
