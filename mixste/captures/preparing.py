"""From a capture file to recordings: mapped joints, metres, Z up, sound pieces, one frame rate."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mixste.captures import Capture, Recording, SourceError, read_capture
from mixste.captures.cleaning import Defect, Limits, clean
from mixste.captures.doubts import check_unit, rate_of
from mixste.captures.people import Figure, measure
from mixste.captures.resampling import resample
from mixste.captures.source import UPRIGHT, Source
from mixste.captures.trials import Trial
from mixste.errors import MixsteError, counted


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its recordings, the frames it had, the ranges taken out, why it was rejected, if so.

    `dropped` frames were left out unseen at its start; `notes` are the reader's; `figure` is of all frames after those.
    """

    trial: Trial
    recordings: tuple[Recording, ...] = ()
    frames: int = 0
    defects: tuple[Defect, ...] = ()
    rejected: str = ""
    dropped: int = 0
    notes: tuple[str, ...] = ()
    figure: Figure = field(default_factory=Figure)


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
    skeleton = source.joint_map.skeleton
    figure = measure(joints[limits.drop_frames :], skeleton, UPRIGHT[source.up])
    check_unit(source, figure, trial.path)
    pieces, defects = clean(joints, fps, skeleton, limits, capture.numbers)
    recordings = [
        Recording(
            source.name, name, trial.subject, trial.action, limits.fps, _resampled(joints[piece], fps, limits.fps)
        )
        for name, piece in zip(_names(trial.name, len(pieces)), pieces, strict=True)
    ]
    why = "" if pieces else _why(defects, len(joints), rate_of(source, fps))
    dropped = min(limits.drop_frames, len(joints))
    return Outcome(trial, tuple(recordings), len(joints), tuple(defects), why, dropped, capture.notes, figure)


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


def _why(defects: list[Defect], frames: int, rate: str) -> str:
    reasons = list(dict.fromkeys(defect.reason for defect in defects))
    if any(defect.too_fast for defect in defects):
        reasons.append(f"to mend it: correct the frame rate, {rate}, if it is too high")
    return "; ".join(reasons) or f"too short: {counted(frames, 'frame')}, all dropped at the start"


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
