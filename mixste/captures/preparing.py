"""From a capture file to recordings: mapped joints, metres, Z up, sound pieces, one frame rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixste.captures import Capture, Recording, SourceError, read_capture
from mixste.captures.cleaning import Defect, Limits, clean
from mixste.captures.resampling import resample
from mixste.captures.trials import Trial
from mixste.errors import MixsteError, counted
from mixste.joint_maps import JointMap
from mixste.skeleton import Skeleton

UPRIGHT = {"y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), "z": np.eye(3)}
PERSON = (1.5, 8.0)


@dataclass(frozen=True)
class Source:
    """One kind of capture file: how it is read and becomes metres with Z up; `fps` None: the file's own.

    `more` is what its format needs besides the file.
    """

    name: str
    format: str
    joint_map: JointMap
    metres_per_unit: float
    up: str
    fps: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.metres_per_unit) and self.metres_per_unit > 0):
            what, expected = f"unknown unit of source {self.name}", "metres per unit, above 0 (centimetres: 0.01)"
            raise MixsteError(what, found=self.metres_per_unit, expected=expected, mend="set metres_per_unit")
        if self.up not in UPRIGHT:
            raise MixsteError(
                f"unknown vertical axis of source {self.name}", found=self.up, expected=", ".join(UPRIGHT)
            )


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its recordings, the frames it had, the ranges taken out, why it was rejected, if so.

    `dropped` frames were left out unseen at its start; `notes` are the reader's.
    """

    trial: Trial
    recordings: tuple[Recording, ...] = ()
    frames: int = 0
    defects: tuple[Defect, ...] = ()
    rejected: str = ""
    dropped: int = 0
    notes: tuple[str, ...] = ()


def prepare(trial: Trial, source: Source, limits: Limits, *, read: Callable[..., Capture] = read_capture) -> Outcome:
    """Return the recordings of one capture file at `limits.fps`; a damaged or wholly broken one is rejected, with why.

    `read` is `read_capture`, or that with its time taken. MixsteError if the settings do not fit the file: another
    frame rate, a unit that makes no person, a missing joint.
    """
    try:
        capture = read(trial.path, source.format, **source.more)
    except SourceError:
        raise
    except MixsteError as error:
        return Outcome(trial, rejected=str(error))
    fps = _frame_rate(capture.fps, source, trial)
    joints = _mapped(capture, source, trial)
    _check_unit(joints[limits.drop_frames :], source, trial)
    pieces, defects = clean(joints, fps, source.joint_map.skeleton, limits, capture.numbers)
    recordings = [
        Recording(
            source.name, name, trial.subject, trial.action, limits.fps, _resampled(joints[piece], fps, limits.fps)
        )
        for name, piece in zip(_names(trial.name, len(pieces)), pieces, strict=True)
    ]
    why, dropped = "" if pieces else _why(defects, len(joints)), min(limits.drop_frames, len(joints))
    return Outcome(trial, tuple(recordings), len(joints), tuple(defects), why, dropped, capture.notes)


def _mapped(capture: Capture, source: Source, trial: Trial) -> np.ndarray:
    """Return the skeleton's joints (t j 3), metres, Z up."""
    try:
        joints = source.joint_map.apply(capture.joints, capture.positions * source.metres_per_unit)
    except MixsteError as error:
        raise MixsteError(f"cannot prepare {trial.path}: {error}") from error
    return joints @ UPRIGHT[source.up].T


def _names(trial: str, count: int) -> list[str]:
    return [trial if piece == 0 else f"{trial}.{piece}" for piece in range(count)]


def _resampled(joints: np.ndarray, fps: float, target: float) -> np.ndarray:
    return resample(joints, fps, target).astype(np.float32)


def _why(defects: list[Defect], frames: int) -> str:
    reasons = "; ".join(dict.fromkeys(defect.reason for defect in defects))
    return reasons or f"too short: {counted(frames, 'frame')}, all dropped at the start"


def _frame_rate(found: float | None, source: Source, trial: Trial) -> float:
    fps = source.fps or found
    if fps is None:
        raise MixsteError(f"no frame rate for {trial.path}", found=f"{source.format}, which holds none", mend="set fps")
    if found and abs(fps - found) > 0.01 * found:
        raise MixsteError(
            f"another frame rate in {trial.path}",
            found=f"{found:g} fps",
            expected=f"{fps:g} fps, the source's",
            mend="correct fps",
        )
    return fps


def _check_unit(joints: np.ndarray, source: Source, trial: Trial) -> None:
    """Refuse a unit in which the bones do not add up to a person's."""
    total = _bones(joints[np.isfinite(joints).all(axis=(1, 2))], source.joint_map.skeleton)
    if total is not None and not PERSON[0] <= total <= PERSON[1]:
        raise MixsteError(
            f"the unit of source {source.name} is wrong",
            found=f"bones that add up to {total:.3g} m in {trial.path}",
            expected=f"{PERSON[0]:g} to {PERSON[1]:g} m for a person",
            mend=f"correct metres_per_unit, now {source.metres_per_unit:g}",
        )


def _bones(joints: np.ndarray, skeleton: Skeleton) -> float | None:
    if not len(joints):
        return None
    parents, children = np.array(skeleton.bones).T
    return float(np.median(np.linalg.norm(joints[:, children] - joints[:, parents], axis=2).sum(axis=1)))
