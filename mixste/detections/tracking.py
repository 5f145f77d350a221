"""People followed through the frames: detections that are one person's become a track."""

import numpy as np

from mixste.detections.following import Crowd, match, sizes_of
from mixste.detections.people import Detections, Track
from mixste.errors import MixsteError

FPS = 30.0
SMALLEST = 0.25  # of the median size: nobody is taken for smaller, so that one joint alone can be followed
PART = 0.15  # the most it may cost, in sizes of the person, to take someone for the other part of a person

Sightings = list[tuple[int, np.ndarray]]


def tracks(detections: Detections, *, fps: float | None = None, bridge: float = 0.5, least: int = 5) -> list[Track]:
    """Follow people through the frames; first comes whom most was seen of: frames times confidence.

    Who is not seen for up to `bridge` seconds is the same person after it, with zeros between. A person who was found
    in two parts in a frame is put together. Who was seen in fewer frames than `least` is left out, unless all were.
    `fps` is the detections' own by default, else 30.
    """
    known = detections.fps if fps is None else fps
    rate = FPS if known is None else float(known)
    if not 0 < rate < np.inf or bridge < 0 or least < 1:
        found, expected = f"fps {fps}, bridge {bridge}, least {least}", "more than 0, 0 or more, 1 or more"
        raise MixsteError("cannot follow people so", found=found, expected=expected)
    people = _follow(detections, rate, bridge)
    enough = min(least, max(len(sightings) for sightings in people))
    kept = [_track(sightings, detections.skeleton) for sightings in people if len(sightings) >= enough]
    order = sorted(kept, key=lambda track: -float(track.keypoints[..., 2].sum(dtype=np.float64)))
    return [Track(track.keypoints, track.skeleton, f"person {n}", track.first) for n, track in enumerate(order, 1)]


def _follow(detections: Detections, fps: float, bridge: float) -> list[Sightings]:
    smallest = SMALLEST * float(np.median(np.concatenate([sizes_of(people) for people in detections.frames])))
    sightings: list[Sightings] = []
    crowd: Crowd | None = None
    for frame, people in enumerate(detections.frames):
        if not len(people):
            continue
        sizes = np.maximum(sizes_of(people), max(smallest, 1e-9))
        new = np.arange(len(people))
        if crowd is not None:
            crowd = crowd.since(frame - 1 - int(bridge * fps))
            people, new = _continue(crowd, people, sizes, frame, fps, sightings)
        ids = np.arange(len(sightings), len(sightings) + len(new))
        sightings += [[(frame, people[index])] for index in new]
        newcomers = Crowd.of(people[new], ids, sizes[new], frame)
        crowd = newcomers if crowd is None else crowd + newcomers if len(new) else crowd
    return sightings


def _continue(
    crowd: Crowd, people: np.ndarray, sizes: np.ndarray, frame: int, fps: float, sightings: list[Sightings]
) -> tuple[np.ndarray, np.ndarray]:
    """Find those who are known among people; return people, put together from their parts, and who of them are new."""
    costs = crowd.costs(people, sizes, frame, fps)
    rows, columns = match(crowd, costs)
    new = np.delete(np.arange(len(people)), columns)
    if len(new) and len(rows):
        people, new = _put_together(people, new, columns, costs[rows])
    crowd.see(rows, people[columns], sizes[columns], frame, fps)
    for row, column in zip(crowd.ids[rows], columns, strict=True):
        sightings[row].append((frame, people[column]))
    return people, new


def _put_together(
    people: np.ndarray, new: np.ndarray, columns: np.ndarray, costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give newcomers' joints to a person whom they fit and who lacks most of them; the surer of shared joints stay."""
    people, left = people.copy(), []
    for index in new:
        person = int(costs[:, index].argmin())
        own, other = people[columns[person]], people[index]
        lacking = (other[:, 2] > 0) & (own[:, 2] == 0)
        if costs[person, index] < PART and 2 * lacking.sum() > (other[:, 2] > 0).sum():
            people[columns[person]] = np.where(other[:, 2:] > own[:, 2:], other, own)
        else:
            left.append(index)
    return people, np.array(left, dtype=np.int64)


def _track(sightings: Sightings, skeleton: str) -> Track:
    first, last = sightings[0][0], sightings[-1][0]
    keypoints = np.zeros((last - first + 1, *sightings[0][1].shape), np.float32)
    for frame, joints in sightings:
        keypoints[frame - first] = joints
    return Track(keypoints, skeleton, "", first)
