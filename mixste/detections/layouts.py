"""Which layout keypoints are in: named, or recognised from the number of joints and the length of the bones."""

import numpy as np

from mixste.errors import MixsteError
from mixste.skeleton import Skeleton, known_skeletons, load_skeleton

LAYOUTS = {17: "coco17", 18: "coco18", 25: "body25", 26: "halpe26", 33: "blazepose33"}
SHORTER = 0.7  # times the bones of the layout that was named: another is surely the right one
WHOLE = {133: "coco17", 136: "halpe26"}  # bodies with face and hands: the layout their first joints are in


def layout_of(joints: int, named: str | None, source: str) -> tuple[str, str]:
    """Return the layout of so many joints and a sentence on it; keypoints are cut to it where they are of a whole body.

    MixsteError if `named` has another number of joints, or none is named and the number tells none.
    """
    if named is not None:
        needed = len(load_skeleton(named).joints)
        if joints != needed and WHOLE.get(joints) != named:
            found = f"{joints} joints a person"
            raise MixsteError(f"{source} is not in the layout {named}", found=found, expected=f"{needed}")
        return named, _cut(joints, named) or f"the layout is {named}, as named"
    name = LAYOUTS.get(joints) or WHOLE.get(joints)
    if name is None:
        known = [f"{count} ({layout})" for count, layout in sorted({**LAYOUTS, **WHOLE}.items())]
        raise MixsteError(
            f"cannot tell the layout of {source}",
            found=f"{joints} joints a person",
            expected=f"one of {', '.join(known)}, or skeleton= of as many joints",
            mend="name a layout of mixste/skeletons",
        )
    return name, _cut(joints, name) or f"{joints} joints are read as {name}; name the skeleton if they are another's"


def _cut(joints: int, name: str) -> str:
    kept = len(load_skeleton(name).joints)
    return (
        f"the first {kept} of {joints} joints are read, as {name}; face and hands are left out" if joints > kept else ""
    )


def likelier(keypoints: np.ndarray, named: str) -> str | None:
    """Return a layout of as many joints in which keypoints (t j 3) have much shorter bones than as `named`, or None."""
    layouts = [load_skeleton(name) for name in [*known_skeletons(), named]]
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
