"""Everyone who may be seen again, where they are expected in a frame, and who of them is whom there.

A person keeps the place of every joint and the velocity of the body. What it costs to take a detection for a person is
the mean distance of its joints from the expected ones, in sizes of the person, weighed by the confidence of both and
less for joints that stray from the body's motion, as arms and legs do. What is allowed grows with the time that the
person has not been seen, but what it costs does not shrink.
"""

from dataclasses import dataclass, fields

import numpy as np

NEAR = 0.3  # cost that is allowed, by how much it grows a second, and up to where
GROWTH = 2.0
FARTHEST = 1.0
CUT = 1.5  # no joint counts for more, so that one that jumped away does not cost a person
DOUBT = 0.1  # what no confidence costs
LOST = 0.05  # what it costs that the person was not there in the frame before
SETTLING = 0.15  # seconds over which the velocity is averaged
STEADY = 0.01  # sizes that every joint strays
STRAYING = 0.2  # how much of what a joint strays a frame is new
FADING = 0.8  # how much of its weight a joint keeps a frame that it is not seen in
SHRINKING = 0.95  # how much of its size a person keeps a frame, at least: arms come down again
KNOWN = 3  # frames after which a person goes before newcomers


@dataclass
class Crowd:
    """One row a person: `places` (a j 2) and `weights` (a j) of joints, `velocities` (a 2) in pixels a frame, `sizes`.

    `strayed` (a j) is how far joints go away from the body's motion in a frame, in sizes, `last` the frame in which
    they were last seen, `hits` the number of those in which they were.
    """

    ids: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    velocities: np.ndarray
    sizes: np.ndarray
    strayed: np.ndarray
    last: np.ndarray
    hits: np.ndarray

    @classmethod
    def of(cls, people: np.ndarray, ids: np.ndarray, sizes: np.ndarray, frame: int) -> "Crowd":
        """Return newcomers (a j 3), seen first in a frame and standing still as far as is known."""
        still, one = np.zeros((len(people), 2)), np.ones(len(people), dtype=np.int64)
        return cls(
            ids,
            people[..., :2].astype(float),
            people[..., 2].astype(float),
            still,
            sizes,
            np.zeros(people.shape[:2]),
            frame * one,
            one,
        )

    def __add__(self, others: "Crowd") -> "Crowd":
        own = (getattr(self, field.name) for field in fields(self))
        return Crowd(*(np.concatenate([a, getattr(others, f.name)]) for a, f in zip(own, fields(self), strict=True)))

    def since(self, frame: int) -> "Crowd":
        """Return those who were seen in a frame or after it."""
        keep = self.last >= frame
        return self if keep.all() else Crowd(*(getattr(self, field.name)[keep] for field in fields(self)))

    def expected(self, frame: int) -> np.ndarray:
        """Return where the joints (a j 2) are in a frame if nobody turns or stops."""
        return self.places + (self.velocities * (frame - self.last)[:, None])[:, None]

    def costs(self, people: np.ndarray, sizes: np.ndarray, frame: int, fps: float) -> np.ndarray:
        """Return what it costs to take each of people (p j 3) for each person, (a p); inf: it is not allowed."""
        passed = frame - self.last
        steady = self.weights / (STEADY + self.strayed * passed[:, None])
        weights = steady[:, None] * people[None, ..., 2]
        away = np.linalg.norm(self.expected(frame)[:, None] - people[None, ..., :2], axis=-1)
        away = np.minimum(away / np.maximum(self.sizes[:, None], sizes)[..., None], CUT)
        total = weights.sum(axis=-1)
        mean = np.where(total > 0, (weights * away).sum(axis=-1) / np.where(total > 0, total, 1), np.inf)
        seen = people[..., 2] > 0
        doubt = DOUBT * (1 - people[..., 2].sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1))
        costs = mean + doubt + LOST * (passed > 1)[:, None]
        allowed = np.minimum(NEAR + GROWTH * (passed - 1) / fps, FARTHEST)
        return np.where(costs < allowed[:, None], costs, np.inf)

    def see(self, rows: np.ndarray, people: np.ndarray, sizes: np.ndarray, frame: int, fps: float) -> None:
        """Take people (n j 3) for the persons in `rows`: move them there, and learn how fast they move."""
        expected, passed = self.expected(frame)[rows], (frame - self.last[rows])[:, None]
        confidence, weights = people[..., 2], self.weights[rows] * people[..., 2]
        moved = (weights[..., None] * (people[..., :2] - self.places[rows])).sum(axis=1)
        total = weights.sum(axis=1, keepdims=True)
        velocity = moved / np.where(total > 0, total, 1) / passed
        share = np.where(self.hits[rows] == 1, 1.0, 1 - np.exp(-passed[:, 0] / fps / SETTLING))[:, None]
        self.velocities[rows] += np.where(total > 0, share * (velocity - self.velocities[rows]), 0)
        away = np.linalg.norm(people[..., :2] - expected, axis=-1) / self.sizes[rows, None] / passed
        self.strayed[rows] += np.where(confidence > 0, STRAYING * (np.minimum(away, CUT) - self.strayed[rows]), 0)
        self.places[rows] = np.where(confidence[..., None] > 0, people[..., :2], expected)
        self.weights[rows] = np.maximum(confidence, FADING * self.weights[rows])
        self.sizes[rows] = np.maximum(SHRINKING * self.sizes[rows], sizes)
        self.last[rows] = frame
        self.hits[rows] += 1


def sizes_of(people: np.ndarray) -> np.ndarray:
    """Return the diagonals (p,) of the boxes around the seen joints of people (p j 3)."""
    seen = people[..., 2:] > 0
    low = np.where(seen, people[..., :2], np.inf).min(axis=1)
    high = np.where(seen, people[..., :2], -np.inf).max(axis=1)
    return np.linalg.norm(high - low, axis=1)


def match(crowd: Crowd, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return persons' rows and detections' columns that belong together; who is known well chooses before newcomers."""
    known = crowd.hits >= KNOWN
    if known.all():
        return _assigned(costs)
    free = np.arange(costs.shape[1])
    rows, columns = [], []
    for turn in (np.flatnonzero(known), np.flatnonzero(~known)):
        own, taken = _assigned(costs[np.ix_(turn, free)])
        rows.append(turn[own])
        columns.append(free[taken])
        free = np.delete(free, taken)
    return np.concatenate(rows), np.concatenate(columns)


def _assigned(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    # of bounded weight, so that nobody gives a near detection up for another to have a far one
    weighed = np.where(np.isfinite(costs), 1 - NEAR / (NEAR + costs), 1.0)
    rows, columns = linear_sum_assignment(weighed)
    allowed = np.isfinite(costs[rows, columns])
    return rows[allowed], columns[allowed]
