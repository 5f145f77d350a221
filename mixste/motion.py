"""What comes out of lifting: joints over time that say their skeleton, fps, unit and frame, and what was guessed.

Frames: "camera" has X right, Y down, Z forward; "world" has Z up, X right and Y forward as a level camera sees them.
Units: metres, or "screen" where only the shape is known. Every method returns a new Motion and adds to its report.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.geometry import UNITS
from mixste.skeleton import load_skeleton

FRAMES = ("camera", "world")


@dataclass(frozen=True, eq=False)
class Motion:
    """One person's joints (t j 3), float32, a frame or more, with all that is needed to use them.

    `rooted` says that the root is at the origin of every frame; otherwise positions are absolute. `report` has a
    sentence for each thing that was mapped, filled or guessed. MixsteError for what does not fit together.
    """

    joints: np.ndarray
    skeleton: str
    fps: float
    unit: str = "m"
    frame: str = "camera"
    rooted: bool = True
    report: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", np.asarray(self.joints, dtype=np.float32))
        object.__setattr__(self, "report", tuple(self.report))
        _check_joints(self.joints, self.skeleton)
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise MixsteError("no motion has this frame rate", found=self.fps, expected="frames a second, above 0")
        for name, known in (("unit", UNITS), ("frame", FRAMES)):
            if getattr(self, name) not in known:
                raise MixsteError(f"unknown {name} of a motion", found=getattr(self, name), expected=" or ".join(known))

    def save(self, path: str | Path) -> Path:
        """Write the motion and return the path; its ending says as what, MixsteError for one that none of ENDINGS is.

        A .bvh holds metres, Y up, and the skeleton with constant bone lengths (`mixste.armature`); .npz, .csv and
        .parquet hold every number as it is, and can be loaded; .html, .mp4 and .gif are to be looked at.
        """
        from mixste.motion_files import writer_of

        path = Path(path)
        writer_of(path)(path, self)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Motion":
        """Read an .npz, .csv or .parquet file that `save` wrote; MixsteError if it is anything else, or damaged."""
        from mixste.motion_files import read_motion

        return cls(**read_motion(Path(path)))

    def smoothed(self, cutoff_hz: float = 6.0) -> "Motion":
        """Take out what moves faster than `cutoff_hz`, without lag: a Butterworth filter, forwards and backwards.

        MixsteError if the cutoff is not between 0 and half the frame rate.
        """
        from mixste.refining.smoothing import low_pass

        said = f"Joints were smoothed with a zero-phase Butterworth filter, cutoff {cutoff_hz:g} Hz."
        return self.changed(said, joints=low_pass(self.joints, self.fps, cutoff_hz))

    def z_up(self, *, pitch: float = 0.0, gravity: Sequence[float] | None = None) -> "Motion":
        """Turn camera axes into a world with Z up; X stays to the camera's right, Y is forward along the ground.

        The camera is taken to be level, or tilted down by `pitch` degrees; `gravity`, the direction down in camera
        axes (3,), says both tilt and roll. MixsteError if the motion is not in camera axes.
        """
        from mixste.refining.upright import camera_to_level, down_of

        if self.frame != "camera":
            raise MixsteError("cannot turn this motion upright", found=f"frame {self.frame}", expected="frame camera")
        down = down_of(pitch, gravity)
        tilt = f"{pitch:g} degrees down" if pitch else "level (assumed, not measured)"
        how = "gravity was given" if gravity is not None else f"the camera was taken to be {tilt}"
        joints = self.joints.astype(np.float64) @ camera_to_level(down).T
        return self.changed(f"Axes were turned to Z up: {how}.", joints=joints, frame="world")

    def grounded(self) -> "Motion":
        """Put the feet on a floor at Z = 0 and hold them still while they stand; bone lengths stay.

        A rooted motion gets the way that its standing feet make it go. MixsteError unless the frame is "world" and the
        skeleton has hips, knees and ankles.
        """
        from mixste.refining.ground import ground

        joints, said = ground(self)
        return self.changed(*said, joints=joints, rooted=False)

    def scaled(self, height: float) -> "Motion":
        """Scale to a person of a stated height, metres; of the motion, the legs say how tall it is now."""
        from mixste.lifting.trajectory import stature

        check_height(height)
        factor = height / stature(self.joints, load_skeleton(self.skeleton))
        said = f"Scaled by {factor:.3f} to a stated height of {height:g} m, judged by the legs' bones."
        return self.changed(said, joints=self.joints * factor, unit="m")

    def fitted(self, *, symmetric: bool = True) -> "Motion":
        """Give every bone one length, its median; left and right the same if `symmetric`. This is what a .bvh holds.

        MixsteError for a skeleton whose joints have no place in `mixste/armature/rest.yaml`.
        """
        from mixste.armature import fit_bones

        joints, said = fit_bones(self, symmetric=symmetric)
        return self.changed(said, joints=joints)

    def located(
        self, keypoints: np.ndarray, intrinsics: Sequence[float], *, smooth_hz: float | None = None
    ) -> "Motion":
        """Find where the root was from pixels (t j 2|3; x, y, confidence) and intrinsics (fx, fy, cx, cy), pixels.

        Returns absolute positions in camera axes; the report has the reprojection error (`mixste.lifting.trajectory`).
        MixsteError unless the motion is rooted, in camera axes and metres, and the keypoints are of its skeleton.
        """
        from mixste.lifting.trajectory import locate

        joints, said = locate(self, keypoints, intrinsics, smooth_hz=smooth_hz)
        return self.changed(*said, joints=joints, rooted=False)

    def changed(self, *said: str, **values: Any) -> "Motion":
        """Return this motion with other values and more sentences in its report."""
        return replace(self, **values, report=(*self.report, *said))


def check_height(height: float) -> None:
    """Raise MixsteError for a height in metres that no person has."""
    if not 0.3 < height < 3.0:
        mend = f"give metres, as {height / 100:g}" if 30 < height < 300 else None
        raise MixsteError("no person is this tall", found=f"{height:g} m", expected="0.3 to 3 metres", mend=mend)


def _check_joints(joints: np.ndarray, skeleton: str) -> None:
    count = len(load_skeleton(skeleton).joints)
    if joints.ndim != 3 or joints.shape[1:] != (count, 3) or not len(joints):
        expected = f"`t j 3` with {count} joints ({skeleton}) and a frame at least"
        raise MixsteError("these joints are no motion", found=f"shape {joints.shape}", expected=expected)
    if not np.isfinite(joints).all():
        found = f"{int((~np.isfinite(joints)).sum())} values that are NaN or infinite"
        raise MixsteError("these joints are no motion", found=found, expected="finite numbers")
