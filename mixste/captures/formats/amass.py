"""AMASS: SMPL+H parameters of one clip in an npz, old (`poses`) and new (`*_stageii.npz`), as joints in metres, Z up.

- The file's gender chooses the body model; the models are the user's own files, `GENDER/model.npz` below one folder.
- With a regressor of Human3.6M's joints these are regressed from the skinned vertices and named as in h36m17; without
  one the joints are SMPL+H's own, named as in smplh52.
- Soft tissue (DMPL) is moved where the file has it and a folder of its shapes is given.
- Files without motion (shape.npz, *_stagei.npz) are refused by name, so that they are counted, not passed over.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mixste.captures.capture import Capture, SourceError
from mixste.captures.formats.body_model import SKELETON, BodyModel, BodyMotion, read_body_model
from mixste.errors import MixsteError
from mixste.files.restricted import npz_keys, read_npz
from mixste.skeleton import load_skeleton

REGRESSED = load_skeleton("h36m17")
GENDERS = ("female", "male", "neutral")
_OLD = ("mocap_framerate", "poses")
_NEW = ("mocap_frame_rate", "root_orient", "pose_body", "pose_hand")
_WIDTHS = {"trans": 3, "poses": 156, "root_orient": 3, "pose_body": 63, "pose_hand": 90}
_KIND, _SOFT = "surface_model_type", "dmpls"


@dataclass(frozen=True)
class Clip:
    """One file: the motion, frames per second and the gender of its body."""

    motion: BodyMotion
    fps: float
    gender: str


@dataclass(frozen=True)
class Bodies:
    """The user's body model files: `models/GENDER/model.npz`, DMPL shapes `soft/GENDER/model.npz`, a regressor (17 v).

    `fallback` is the gender used for files of one that has no model; None: such a file stops everything.
    """

    models: Path
    soft: Path | None = None
    regressor: Path | None = None
    fallback: str | None = None

    def chosen(self, gender: str) -> str:
        """Return the gender whose model is used for a file of this one; SourceError if there is none."""
        for one in (gender, self.fallback):
            if one and (self.models / one / "model.npz").is_file():
                return one
        there = [name for name in GENDERS if (self.models / name / "model.npz").is_file()]
        raise SourceError(
            f"no body model {self.models / gender / 'model.npz'}",
            found=", ".join(there) or "none at all",
            expected=f"the {gender} one, because a file is of that gender",
            mend="download it (docs/amass.md), or name in body.fallback the one to use in its place",
        )

    def model(self, gender: str) -> BodyModel:
        """Return the body model of a gender, read once a process; SourceError if it cannot be used."""
        soft = self.soft / gender / "model.npz" if self.soft else None
        try:
            return _model(self.models / gender / "model.npz", soft, self.regressor)
        except SourceError:
            raise
        except MixsteError as error:
            raise SourceError(str(error)) from error


@cache
def _model(path: Path, soft: Path | None, regressor: Path | None) -> BodyModel:
    model = read_body_model(path, soft=soft, regressor=regressor)
    if regressor is not None:
        _check_order(model, regressor)
    return model


def _check_order(model: BodyModel, regressor: Path) -> None:
    """Refuse a regressor whose arms and legs are not, at rest, nearest to the body's own of the same names."""
    still = BodyMotion(np.zeros((1, len(SKELETON.joints), 3)), np.zeros((1, 3)), np.zeros(0))
    regressed, own = model.move(still)[0], model.joints.template
    if len(regressed) != len(REGRESSED.joints):
        expected = f"{len(REGRESSED.joints)}, those of {REGRESSED.name}"
        raise MixsteError(f"cannot use {regressor}", found=f"{len(regressed)} joints", expected=expected)
    sided = [REGRESSED.joints[joint] for joint in (*REGRESSED.left, *REGRESSED.right)]
    places = own[[SKELETON.index(name) for name in sided]]
    for name in sided:
        distance = np.linalg.norm(places - regressed[REGRESSED.index(name)], axis=1)
        if sided[int(distance.argmin())] != name:
            raise MixsteError(
                f"{regressor} has its joints in another order",
                found=f"{sided[int(distance.argmin())]} where {name} should be",
                expected=f"the order of {REGRESSED.name}: {', '.join(REGRESSED.joints)}",
                mend="reorder its rows",
            )


def read(path: Path, *, bodies: Bodies) -> Capture:
    """Read one clip: joints (t k 3) in metres, Z up, and what had to be chosen or left out on the way.

    MixsteError if it is damaged or no clip of SMPL+H; SourceError if the body models do not serve.
    """
    clip = read_clip(path)
    if clip.gender not in GENDERS:
        raise MixsteError(f"cannot read {path}", found=f"gender {clip.gender}", expected=", ".join(GENDERS))
    gender = bodies.chosen(clip.gender)
    model, notes = bodies.model(gender), []
    if gender != clip.gender:
        notes.append(f"{clip.gender} body: the {gender} model is used")
    if clip.motion.soft is not None and model.skin is None:
        notes.append("soft tissue (dmpls) is ignored: joints of the skeleton do not need it")
    elif clip.motion.soft is not None and not model.joints.soft.shape[2]:
        notes.append("soft tissue (dmpls) is ignored: no folder of its shapes is given")
    known, betas = model.joints.shapes.shape[2], len(clip.motion.betas)
    if betas > known:
        notes.append(f"{betas - known} of {betas} betas are ignored: the model has {known} shapes")
    names = SKELETON.joints if model.skin is None else REGRESSED.joints
    return Capture(names, model.move(clip.motion), clip.fps, notes=tuple(notes))


def read_clip(path: Path) -> Clip:
    """Read what an AMASS npz of either kind holds; MixsteError if it is damaged or no clip of SMPL+H."""
    keys = npz_keys(path)
    if "trans" not in keys:
        raise MixsteError(f"{path} is no clip", found=f"only {', '.join(keys)}", expected="trans: a body that moves")
    rate, *poses = _NEW if _NEW[0] in keys else _OLD
    there = [key for key in (_KIND, _SOFT) if key in keys]
    clip = read_npz(path, ["trans", "gender", "betas", rate, *poses, *there])
    kind = _text(clip[_KIND]) if _KIND in clip else "smplh"
    if kind != "smplh":
        raise MixsteError(f"{path} is of another body", found=kind, expected="smplh", mend="download SMPL+H's files")
    frames, fps = len(np.atleast_1d(clip["trans"])), clip[rate]
    if fps.size != 1 or not fps.item() > 0:
        raise MixsteError(f"cannot read {path}", found=f"{rate} {fps}", expected="frames per second, above 0")
    turns = np.concatenate([_table(path, clip, key, frames) for key in poses], axis=1)
    soft = _table(path, clip, _SOFT, frames) if _SOFT in clip else None
    betas = clip["betas"].astype(np.float64).ravel()
    motion = BodyMotion(turns.reshape(frames, -1, 3), _table(path, clip, "trans", frames), betas, soft)
    return Clip(motion, float(fps.item()), _text(clip["gender"]))


def _table(path: Path, clip: dict[str, np.ndarray], key: str, frames: int) -> np.ndarray:
    values = clip[key]
    width = _WIDTHS.get(key, values.shape[-1] if values.ndim else 0)
    if values.shape != (frames, width):
        raise MixsteError(f"cannot read {path}", found=f"{key} {values.shape}", expected=(frames, width))
    return values.astype(np.float64)


def _text(array: np.ndarray) -> str:
    """Return the one text in an array: some files have bytes, some objects."""
    value = array.ravel()[0] if array.size == 1 else array
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).lower()
