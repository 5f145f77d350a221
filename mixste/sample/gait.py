"""Walking and running: published joint-angle curves over the stride, a heading to follow, and feet that stay put.

The curves approximate published means at every 5 % of the stride, by eye, kept as six harmonics: walking at natural
cadence like Winter (1991), The Biomechanics and Motor Control of Human Gait; running like Novacheck (1998), The
biomechanics of running, Gait and Posture 7. Foot contact is at 0 %; flexion and dorsiflexion are positive, degrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixste.sample.body import Angles
from mixste.sample.chance import Chance

# fmt: off
_WALK: Mapping[str, tuple[float, ...]] = {
    "hip": (20, 19, 17, 14, 10, 6, 2, -2, -5.5, -8.5, -10.5, -10.5, -7, 0, 8, 15, 19.5, 22, 22, 21),
    "knee": (4, 9, 16, 19.5, 18.5, 15.5, 12, 8.5, 6, 6, 9.5, 18, 33, 50, 62, 64.5, 58, 43, 23, 6),
    "ankle": (0, -4.5, -4, -0.5, 3, 5, 6.5, 8, 9.3, 9.6, 7, -2, -15, -19, -12, -5, -0.5, 1.5, 2, 1.5),
}
_RUN: Mapping[str, tuple[float, ...]] = {
    "hip": (38, 37, 34, 29, 22, 14, 5, -3, -7, -5, 3, 14, 26, 37, 46, 51, 52, 49, 44, 40),
    "knee": (15, 26, 37, 43, 42, 35, 25, 17, 17, 28, 47, 68, 85, 94, 93, 82, 63, 41, 22, 12),
    "ankle": (6, 9, 17, 23, 24, 18, 4, -14, -21, -17, -9, -3, 0, 2, 4, 5, 6, 6, 6, 6),
}
# fmt: on


@dataclass(frozen=True)
class Gait:
    """A style of going: curves, the part of the stride a foot stands, arm swing, trunk lean, pelvic tilt; degrees."""

    curves: Mapping[str, tuple[float, ...]]
    stance: float
    reach: float
    arm_swing: float
    elbow: float
    arm_out: float
    lean: float
    tilt: float


WALK = Gait(_WALK, stance=0.6, reach=1.0, arm_swing=17.0, elbow=22.0, arm_out=7.0, lean=2.0, tilt=1.0)
RUN = Gait(_RUN, stance=0.37, reach=1.0, arm_swing=32.0, elbow=88.0, arm_out=12.0, lean=-3.0, tilt=13.0)
STEP_ROUND = Gait(_WALK, stance=0.6, reach=0.55, arm_swing=9.0, elbow=24.0, arm_out=8.0, lean=1.0, tilt=1.0)


def curve(points: tuple[float, ...], phase: np.ndarray, harmonics: int = 6) -> np.ndarray:
    """Return the periodic curve through `points`, evenly spaced over a stride, at `phase` (t,) counted in strides."""
    terms = np.fft.rfft(np.array(points, dtype=float)) / len(points)
    value = np.full_like(phase, terms[0].real)
    for order in range(1, harmonics + 1):
        turn = 2 * np.pi * order * phase
        value += 2 * (terms[order].real * np.cos(turn) - terms[order].imag * np.sin(turn))
    return value


def go(gait: Gait, stride: np.ndarray, heading: np.ndarray, chance: Chance, seconds: np.ndarray) -> Angles:
    """Return the angles of going with the right foot's `stride` (t,), in strides, along `heading` (t,), in degrees."""
    size = gait.reach * chance.between(0.88, 1.12) * (1 + chance.wander(seconds, 0.04))
    sway = np.cos(2 * np.pi * stride)
    list_ = -4.0 * size * np.sin(2 * np.pi * stride)
    turn = heading + chance.between(3.0, 6.0) * size * sway
    angles = {
        "hip.turn": turn,
        "hip.list": list_,
        "hip.lean": np.full_like(seconds, gait.tilt + chance.between(-1.0, 1.0)),
    }
    for side, sign in (("r", 1.0), ("l", -1.0)):
        phase = stride if side == "r" else stride + 0.5
        angles |= _leg(gait, side, phase, size, chance, seconds)
        angles[f"{side}_hip.abduction"] = sign * list_ - chance.between(1.0, 3.0)
        facing = foot_heading(phase, heading, gait.stance) - turn
        angles[f"{side}_hip.rotation"] = 6.0 - sign * 35.0 * np.tanh(facing / 35.0)
        angles |= _arm(gait, side, phase, size / gait.reach, chance, seconds)
    against = -(turn - heading) * chance.between(1.6, 2.2)
    lean = gait.lean * chance.between(0.6, 1.4)
    angles |= {"spine.turn": against / 2, "thorax.turn": against / 2, "neck.turn": -against * 0.45}
    angles |= {"spine.list": -list_ / 2, "thorax.list": -list_ / 2}
    return angles | {"spine.lean": lean + 0 * seconds, "neck.lean": -0.8 * lean + 0 * seconds}


def foot_heading(phase: np.ndarray, heading: np.ndarray, stance: float) -> np.ndarray:
    """Return where a foot points (t,): the heading in the middle of each stance, turned to the next one in swing."""
    number = np.floor(phase)
    swing = np.clip((phase - number - stance) / (1 - stance), 0.0, 1.0)
    here = np.interp(number + stance / 2, phase, heading)
    there = np.interp(number + 1 + stance / 2, phase, heading)
    return here + (there - here) * swing**2 * (3 - 2 * swing)


def standing(gait: Gait, stride: np.ndarray) -> np.ndarray:
    """Return when the right and the left foot stand (t 2), from the right foot's stride (t,)."""
    return np.stack([stride % 1.0 < gait.stance, (stride + 0.5) % 1.0 < gait.stance], axis=1)


def _leg(gait: Gait, side: str, phase: np.ndarray, size: np.ndarray, chance: Chance, seconds: np.ndarray) -> Angles:
    hip, knee, ankle = (curve(gait.curves[joint], phase) for joint in ("hip", "knee", "ankle"))
    return {
        f"{side}_hip.flexion": size * hip + chance.between(-1.0, 1.0) + chance.wander(seconds, 0.7),
        f"{side}_knee.flexion": np.maximum(size * knee + chance.between(0.0, 2.0), 0.0),
        f"{side}_ankle.flexion": size * ankle,
    }


def _arm(gait: Gait, side: str, phase: np.ndarray, size: np.ndarray, chance: Chance, seconds: np.ndarray) -> Angles:
    """The arm is forward when the other leg is: half a stride from its own side's foot contact."""
    forward = -np.cos(2 * np.pi * (phase - 0.02))
    swing = gait.arm_swing * chance.between(0.7, 1.3) * size
    return {
        f"{side}_shoulder.flexion": swing * forward + chance.between(-6.0, 2.0) + chance.wander(seconds, 1.5),
        f"{side}_shoulder.abduction": gait.arm_out + chance.between(-2.0, 4.0) + chance.wander(seconds, 1.0),
        f"{side}_shoulder.rotation": -0.25 * gait.elbow + chance.wander(seconds, 3.0),
        f"{side}_elbow.flexion": gait.elbow * chance.between(0.85, 1.15) + 0.45 * swing * forward,
    }
