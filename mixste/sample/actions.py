"""The seven things the sample's people do, each as joint angles over time.

Depths and ranges follow published ones: squatting to 95-120 degrees of knee flexion (Escamilla 2001), sitting down with
the trunk leaning 25-40 degrees forwards at lift-off (Kralj, Jaeger and Munih 1990), shoulder, elbow and trunk within
the ranges of Kapandji. Standing feet are kept flat: the ankle takes up what hip and knee do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixste.sample.body import Angles
from mixste.sample.chance import Chance
from mixste.sample.gait import RUN, STEP_ROUND, WALK, Gait, go, standing


@dataclass(frozen=True)
class Performance:
    """Joint angles, each (t,) in degrees, and when the right and the left foot stand (t 2)."""

    angles: Angles
    standing: np.ndarray


def walking(chance: Chance, seconds: np.ndarray) -> Performance:
    """Walk at 0.8-1.05 strides a second along a gently bending path."""
    stride = _strides(chance, seconds, 0.8, 1.05)
    heading = _bend(chance, seconds, 6.0, 20.0)
    return _going(WALK, stride, heading, chance, seconds)


def running(chance: Chance, seconds: np.ndarray) -> Performance:
    """Run at 1.3-1.5 strides a second around a wide curve; both feet leave the floor between strides."""
    stride = _strides(chance, seconds, 1.3, 1.5)
    heading = _bend(chance, seconds, 25.0, 45.0)
    return _going(RUN, stride, heading, chance, seconds)


def turning(chance: Chance, seconds: np.ndarray) -> Performance:
    """Take short steps and turn by 90-150 degrees again and again."""
    stride = _strides(chance, seconds, 0.85, 1.0)
    heading = chance.between(0.0, 360.0) + chance.wander(seconds, 3.0)
    start, side = chance.between(0.2, 0.7), chance.pick((-1.0, 1.0))
    while start < seconds[-1] - 1.0:
        lasts = chance.between(1.7, 2.3)
        heading = heading + side * chance.between(90.0, 150.0) * _ease((seconds - start) / lasts)
        start += lasts + chance.between(0.2, 0.8)
        side *= chance.pick((-1.0, 1.0, 1.0))
    return _going(STEP_ROUND, stride, heading, chance, seconds)


def squatting(chance: Chance, seconds: np.ndarray) -> Performance:
    """Squat to 95-120 degrees of the knee and rise, arms held out in front."""
    depth, down = chance.between(95.0, 120.0), np.zeros_like(seconds)
    start, lasts = chance.between(0.2, 0.6), chance.between(2.0, 2.6)
    while start + lasts < seconds[-1]:
        down += chance.between(0.9, 1.0) * _bump(seconds, start, lasts * 0.45, lasts * 0.1)
        start += lasts + chance.between(0.1, 0.5)
    angles = _stand(chance, seconds, 5 + depth * down, 2 + 0.74 * depth * down, chance.between(24.0, 34.0) * down)
    raised, bent = chance.between(55.0, 95.0), chance.between(10.0, 80.0)
    for side in "lr":
        angles[f"{side}_shoulder.flexion"] += raised * down
        angles[f"{side}_elbow.flexion"] += bent * down
    angles["spine.lean"] = chance.between(6.0, 12.0) * down
    angles["neck.lean"] = -chance.between(15.0, 25.0) * down
    return _grounded(angles, chance, seconds)


def reaching(chance: Chance, seconds: np.ndarray) -> Performance:
    """Reach out with one hand or both, to the shelf above, to the front or aside, or to the ground."""
    still = np.zeros_like(seconds)
    knee, lean, turn, arms = 5 + still, still, still, _arms(chance, seconds)
    start = chance.between(0.1, 0.5)
    while start < seconds[-1] - 1.2:
        out = _bump(seconds, start, chance.between(0.6, 0.9), chance.between(0.2, 0.7))
        height = chance.between(-1.0, 1.0)
        sides = chance.pick(("l", "r", "lr"))
        knee = knee + max(-height, 0.0) * chance.between(25.0, 55.0) * out
        lean = lean + (8.0 + max(-height, 0.0) * chance.between(30.0, 45.0)) * out
        turn = turn + {"l": -1.0, "r": 1.0, "lr": 0.0}[sides] * chance.between(5.0, 25.0) * out
        for side in sides:
            _reach(arms, side, height, out, chance)
        start += chance.between(1.9, 2.6)
    angles = _stand(chance, seconds, knee, 1 + 0.6 * (knee - 5) + 0.15 * lean, lean) | arms
    angles |= {"spine.turn": turn / 2, "thorax.turn": turn / 2, "neck.turn": -turn / 2}
    return _grounded(angles | {"spine.lean": 0.35 * lean, "thorax.lean": 0.25 * lean}, chance, seconds)


def sitting(chance: Chance, seconds: np.ndarray) -> Performance:
    """Sit down, stay with the hands on the lap or in talk, and stand up again."""
    lasts = chance.between(1.5, 2.0)
    seated = _bump(seconds, chance.between(0.3, 0.8), lasts, seconds[-1] - 2 * lasts - chance.between(1.2, 1.6))
    moving = 4 * seated * (1 - seated)
    thigh = 3 + chance.between(83.0, 90.0) * seated
    lean = chance.between(22.0, 32.0) * moving - chance.between(4.0, 10.0) * seated
    angles = _stand(chance, seconds, thigh + 3 + chance.between(10.0, 16.0) * moving, thigh, lean)
    angles["spine.lean"] = chance.between(8.0, 14.0) * moving + chance.between(4.0, 12.0) * seated
    angles["thorax.lean"] = chance.between(2.0, 8.0) * seated + seated * chance.wander(seconds, 2.0)
    talks = np.maximum(chance.wander(seconds, 0.6, 0.15, 0.7), 0.0) * seated**4
    for side in "lr":
        angles[f"{side}_shoulder.flexion"] += chance.between(6.0, 14.0) * seated + 22.0 * talks
        angles[f"{side}_shoulder.rotation"] -= chance.between(0.0, 15.0) * seated
        angles[f"{side}_elbow.flexion"] += chance.between(34.0, 44.0) * seated + 45.0 * talks
    return _grounded(angles, chance, seconds)


def waving(chance: Chance, seconds: np.ndarray) -> Performance:
    """Stand and wave with one arm or both, the forearm going to and fro 1.4-2.2 times a second."""
    angles = _stand(chance, seconds, 5 + 0 * seconds, 2 + 0 * seconds, 0 * seconds)
    up = _bump(seconds, chance.between(0.3, 0.8), 0.8, seconds[-1] - chance.between(2.8, 3.4))
    beat = np.sin(2 * np.pi * (chance.between(1.4, 2.2) * seconds + chance.wander(seconds, 0.06)))
    for side in chance.pick(("l", "r", "r", "lr")):
        angles[f"{side}_shoulder.abduction"] += chance.between(60.0, 95.0) * up
        angles[f"{side}_shoulder.rotation"] += (chance.between(70.0, 85.0) + chance.between(8.0, 14.0) * beat) * up
        angles[f"{side}_elbow.flexion"] += (chance.between(65.0, 85.0) + chance.between(12.0, 24.0) * beat) * up
        angles[f"{side}_wrist.flexion"] = 15.0 * beat * up
    return _grounded(angles, chance, seconds)


ACTIONS: dict[str, Callable[[Chance, np.ndarray], Performance]] = {
    act.__name__: act for act in (walking, running, turning, squatting, reaching, sitting, waving)
}


def _stand(chance: Chance, seconds: np.ndarray, knee: np.ndarray, thigh: np.ndarray, lean: np.ndarray) -> Angles:
    """Both feet flat, the thighs `thigh` degrees from the vertical, the pelvis leaning by `lean`; arms hang."""
    lean = lean + chance.wander(seconds, 0.8, 0.05, 0.4)
    sway = chance.wander(seconds, 0.8, 0.05, 0.3)
    apart, heading = chance.between(0.5, 5.0), chance.between(0.0, 360.0)
    angles = {"hip.lean": lean, "hip.turn": heading + 0 * seconds}
    for side, sign in (("l", 1.0), ("r", -1.0)):
        angles[f"{side}_hip.flexion"] = thigh + lean
        angles[f"{side}_hip.abduction"] = apart + sign * sway
        angles[f"{side}_hip.rotation"] = np.full_like(seconds, apart)
        angles[f"{side}_knee.flexion"] = knee
        angles[f"{side}_ankle.flexion"] = knee - thigh
    return angles | _arms(chance, seconds)


def _arms(chance: Chance, seconds: np.ndarray) -> Angles:
    """Arms that hang loosely."""
    angles = {}
    for side in "lr":
        angles[f"{side}_shoulder.flexion"] = chance.between(-4.0, 6.0) + chance.wander(seconds, 2.0)
        angles[f"{side}_shoulder.abduction"] = chance.between(6.0, 12.0) + chance.wander(seconds, 1.0)
        angles[f"{side}_shoulder.rotation"] = -chance.between(5.0, 15.0) + chance.wander(seconds, 2.0)
        angles[f"{side}_elbow.flexion"] = chance.between(12.0, 24.0) + chance.wander(seconds, 2.0)
    return angles


def _reach(arms: Angles, side: str, height: float, out: np.ndarray, chance: Chance) -> None:
    """Raise the arm of `side` to `height` (-1 the ground, 0 the front, 1 overhead) while `out` (t,) is 1, not 0."""
    arms[f"{side}_shoulder.flexion"] = arms[f"{side}_shoulder.flexion"] + (85.0 + 60.0 * height) * out
    arms[f"{side}_shoulder.abduction"] = arms[f"{side}_shoulder.abduction"] + chance.between(-15.0, 35.0) * out
    arms[f"{side}_elbow.flexion"] = arms[f"{side}_elbow.flexion"] * (1 - 0.6 * out) + 80.0 * out * (1 - out)


def _strides(chance: Chance, seconds: np.ndarray, slow: float, fast: float) -> np.ndarray:
    """Draw a cadence that drifts a little and count strides (t,) from a random beginning."""
    cadence = chance.between(slow, fast) * (1 + chance.wander(seconds, 0.03))
    return chance.between(0.0, 1.0) + np.cumsum(cadence) * (seconds[1] - seconds[0])


def _bend(chance: Chance, seconds: np.ndarray, least: float, most: float) -> np.ndarray:
    """Draw a heading (t,) that turns by `least` to `most` degrees a second to one side."""
    rate = chance.pick((-1.0, 1.0)) * chance.between(least, most)
    return chance.between(0.0, 360.0) + rate * seconds + chance.wander(seconds, 4.0, 0.05, 0.3)


def _ease(u: np.ndarray) -> np.ndarray:
    """Go smoothly from 0 to 1 while `u` does, at rest before and after."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


def _bump(seconds: np.ndarray, start: float, rise: float, hold: float) -> np.ndarray:
    """Rise from 0 to 1 in `rise` seconds, stay for `hold`, and fall as it rose."""
    return _ease((seconds - start) / rise) - _ease((seconds - start - rise - hold) / rise)


def _going(gait: Gait, stride: np.ndarray, heading: np.ndarray, chance: Chance, seconds: np.ndarray) -> Performance:
    angles = go(gait, stride, heading, chance, seconds)
    return Performance(_alive(angles, chance, seconds), standing(gait, stride))


def _grounded(angles: Angles, chance: Chance, seconds: np.ndarray) -> Performance:
    return Performance(_alive(angles, chance, seconds), np.ones((len(seconds), 2), dtype=bool))


def _alive(angles: Angles, chance: Chance, seconds: np.ndarray) -> Angles:
    """Add what nobody does on purpose: the trunk's small movements and a look around."""
    sizes = {"spine": 1.0, "thorax": 1.2, "neck": 3.0}
    drift = {
        f"{joint}.{motion}": chance.wander(seconds, size * (2.0 if (joint, motion) == ("neck", "turn") else 1.0))
        for joint, size in sizes.items()
        for motion in ("lean", "list", "turn")
    }
    return angles | {name: angles.get(name, 0.0) + curve for name, curve in drift.items()}
