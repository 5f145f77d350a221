"""Tracks that are no second person: doubles, flickers of a few joints, and what stands still behind the one who moves.

The first of the tracks, of whom most was seen, is a person. What is left out is said, and can be kept.
"""

from collections.abc import Sequence

import numpy as np

from mixste.detections.following import sizes_of
from mixste.detections.people import Track
from mixste.errors import counted

SAME = 0.1  # mean distance of joints, in sizes: nearer people are one, were they to stay so in most of their frames
MOST = 0.5
SURE = 0.5  # of the first person's median confidence: a joint that has it is surely seen
FEW = 0.25  # share of joints: a person who is half out of the picture has more that are surely seen
STILL = 0.02  # sizes from their middle place, that 9 of 10 joints stay within: people who stand sway by as much
LEAST = 1.0  # seconds before anyone is called still
FAINT = 0.8  # of the first person's mean confidence: a surer one is a person, however still


def ghosts(tracks: Sequence[Track], fps: float) -> dict[str, str]:
    """Return the names of tracks that are no person to lift, and why, in a sentence that is said to the user.

    `tracks` are as `mixste.detections.tracks` gives them, whom most was seen of first.
    """
    found: dict[str, str] = {}
    for index, track in enumerate(tracks[1:], 1):
        people = [other for other in tracks[:index] if other.name not in found]
        why = _double(track, people) or _flicker(track, tracks[0]) or _still(track, tracks[0], fps)
        if why:
            found[track.name] = f"{track.name} ({counted(int(_seen(track).sum()), 'frame')}) is left out: {why}"
    return found


def _seen(track: Track) -> np.ndarray:
    return np.asarray((track.keypoints[..., 2] > 0).any(axis=1))


def _double(track: Track, people: Sequence[Track]) -> str:
    beside = [other for other in people if other.first < _end(track) and track.first < _end(other)]
    share, nearest = max(((_together(track, other), other.name) for other in beside), default=(0.0, ""))
    return f"in {share:.0%} of its frames it has the place and pose of {nearest}" if share >= MOST else ""


def _together(track: Track, other: Track) -> float:
    """Return in which share of a track's frames its joints are where the other's are."""
    first, last = max(track.first, other.first), min(_end(track), _end(other))
    own, others = (one.keypoints[first - one.first : last - one.first] for one in (track, other))
    both = (own[..., 2] > 0) & (others[..., 2] > 0)
    shared = both.any(axis=1)
    own, others, both = own[shared], others[shared], both[shared]
    away = np.linalg.norm(own[..., :2] - others[..., :2], axis=-1) * both
    size = np.maximum(sizes_of(own), sizes_of(others))
    return float((away.sum(axis=1) < SAME * size * both.sum(axis=1)).sum() / _seen(track).sum())


def _end(track: Track) -> int:
    return track.first + len(track.keypoints)


def _flicker(track: Track, person: Track) -> str:
    enough = SURE * _typical(person)
    share = float((track.keypoints[_seen(track)][..., 2] > enough).mean())
    return f"{share:.0%} of its joints are surely seen (confidence above {enough:.2f})" if share < FEW else ""


def _still(track: Track, person: Track, fps: float) -> str:
    """Say how little a track moves whose people are less sure than one who moves."""
    confidence, sure = _mean(track), _mean(person)
    if confidence > FAINT * sure or _seen(track).sum() < LEAST * fps or _motion(person) < STILL:
        return ""
    motion = _motion(track)
    if motion >= STILL:
        return ""
    moves = f"its joints move by {motion:.1%} of its size" if motion >= 0.001 else "its joints do not move at all"
    return (
        f"it stands as still as a picture or an onlooker, {moves}, and is less surely seen than {person.name} "
        f"(confidence {confidence:.2f}, not {sure:.2f})"
    )


def _motion(track: Track) -> float:
    """Return how far from their middle place 9 of 10 joints stay, in sizes."""
    seen = track.keypoints[..., 2] > 0
    there = seen.any(axis=0)
    places = np.where(seen[..., None], track.keypoints[..., :2].astype(np.float64), np.nan)[:, there]
    away = np.linalg.norm(places - np.nanmedian(places, axis=0), axis=-1)
    return float(np.nanquantile(away, 0.9) / max(float(np.median(sizes_of(track.keypoints[_seen(track)]))), 1e-9))


def _typical(track: Track) -> float:
    return float(np.median(track.keypoints[..., 2][track.keypoints[..., 2] > 0]))


def _mean(track: Track) -> float:
    return float(track.keypoints[..., 2][track.keypoints[..., 2] > 0].mean())
