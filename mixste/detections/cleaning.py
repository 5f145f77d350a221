"""What a reader found, checked and in order: frames without gaps, missing joints as 0, 0, 0."""

import numpy as np

from mixste.detections.formats.found import Found
from mixste.errors import MixsteError, counted

SURE = 10.0  # scores of some detectors go up to about here, 1 being sure already; beyond it, they are on another scale
SPREAD = 100  # frames a detected one: more are no video's


def ordered(found: Found, source: str) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """Return people (n j 3) by frame, the frames' indices (n,), how many frames there are, and what is said of them.

    Index 0 is the lowest number; a number that is missing is a frame without people.
    """
    first, last, count = int(found.frames.min()), int(found.frames.max()), len(np.unique(found.frames))
    total = last - first + 1
    if total > SPREAD * (count + 10):
        span = f"{counted(count, 'frame')}, numbered {first} to {last}"
        raise MixsteError(f"{source} is no video", found=span, expected="consecutive numbers", mend="number the frames")
    said = []
    if (np.diff(found.frames) < 0).any():
        said.append("frames stood out of order; they are sorted by their numbers")
    if count < total:
        gaps = f"{total - count} of the frame numbers {first} to {last} are missing"
        said.append(f"{gaps}; they are frames without people")
    order = np.argsort(found.numbers, kind="stable")
    return found.people[order], found.numbers[order] - first, total, said


def cleaned(people: np.ndarray, source: str) -> tuple[np.ndarray, list[str]]:
    """Return people (n j 3) with missing joints as 0, 0, 0 and confidence 0 to 1, in float32, and sentences on repairs.

    Detectors write 0 for what they do not know, some in one coordinate only. MixsteError if nobody is left, or scores
    are on another scale.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(people.astype(np.float32)).all(axis=-1)
    place, confidence = people[..., :2], np.where(finite, people[..., 2], 0.0)
    negative, highest = finite & (confidence < 0), confidence.max(initial=0.0)
    edge = finite & (confidence > 0) & (place == 0).any(axis=-1)
    seen = finite & (confidence > 0) & ~edge
    if not seen.any():
        raise MixsteError(f"nobody was detected in {source}", found=_nobody(people), expected="one person at least")
    if highest > SURE:
        found, mend = f"confidence up to {highest:g}", "divide it by its highest possible value"
        raise MixsteError(f"the scores of {source} are on another scale", found=found, expected="0 to 1", mend=mend)
    partly = seen.any(axis=-1)[:, None]
    counts = {"are not numbers; they are read as missing": ~finite & partly}
    counts |= {"have negative confidence; they are read as missing": negative & partly}
    counts |= {"have an x or y of exactly 0; they are read as missing": edge & (place != 0).any(axis=-1) & partly}
    counts |= {f"have confidence above 1, up to {highest:g}; it is cut to 1": seen & (confidence > 1)}
    said = [f"{int(mask.sum())} of {mask.size} keypoints {what}" for what, mask in counts.items() if mask.any()]
    if (confidence[seen] == 1).all():
        said.append("every confidence is 1: the file has none that tells anything")
    kept = np.concatenate([place, np.minimum(confidence, 1.0)[..., None]], axis=-1)
    return np.where(seen[..., None], kept, 0.0).astype(np.float32), said


def _nobody(people: np.ndarray) -> str:
    return f"{counted(len(people), 'person')} without a joint" if len(people) else "frames without people"
