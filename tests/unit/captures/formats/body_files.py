"""Small files of AMASS's layout: body models of 160 vertices around 52 joints, DMPL shapes, a regressor, clips."""

from pathlib import Path
from typing import Any

import numpy as np

from mixste.skeleton import load_skeleton

SMPLH, H36M = load_skeleton("smplh52"), load_skeleton("h36m17")
VERTICES, SHAPES, SOFT = 160, 16, 8
BODY = {  # the middle and the left side of a body, Y up, metres
    "hip": (0, -0.22, 0), "spine1": (0, -0.11, -0.02), "spine2": (0, 0.03, 0), "spine3": (0, 0.08, 0.02),
    "thorax": (0, 0.29, -0.01), "neck": (0, 0.37, 0.04), "l_hip": (0.07, -0.31, 0), "l_knee": (0.1, -0.69, 0),
    "l_ankle": (0.09, -1.09, -0.04), "l_foot": (0.12, -1.14, 0.08), "l_collar": (0.08, 0.2, 0),
    "l_shoulder": (0.17, 0.23, -0.02), "l_elbow": (0.43, 0.21, -0.04), "l_wrist": (0.68, 0.22, -0.04),
}  # fmt: skip


def rest() -> np.ndarray:
    """The joints (52 3) of the body at rest; fingers go on from the wrists."""
    places: dict[str, np.ndarray] = {}
    for name, parent in zip(SMPLH.joints, SMPLH.parents, strict=True):
        left = "l_" + name[2:] if name[:2] == "r_" else name
        mirror = (-1, 1, 1) if name[:2] == "r_" else (1, 1, 1)
        finger = places[SMPLH.joints[parent]] + np.multiply(mirror, (0.03, 0.0, 0.01)) if left not in BODY else 0
        places[name] = np.multiply(mirror, BODY[left]) if left in BODY else finger
    return np.stack([places[name] for name in SMPLH.joints])


def model_parts(seed: int = 0) -> dict[str, np.ndarray]:
    """A body model's arrays as SMPL+H's npz has them: three vertices around every joint, four more at the head."""
    rng = np.random.default_rng(seed)
    joints = len(SMPLH.joints)
    around = rng.normal(0, 0.01, (joints, 3, 3))
    around -= around.mean(axis=1, keepdims=True)
    template = np.concatenate([(rest()[:, None] + around).reshape(-1, 3), rng.normal((0, 0.54, 0), 0.01, (4, 3))])
    owners = np.append(np.repeat(np.arange(joints), 3), [SMPLH.index("neck")] * 4)
    weights = np.zeros((VERTICES, joints))
    weights[np.arange(VERTICES), owners] = 0.7
    weights[np.arange(VERTICES), np.maximum(np.array(SMPLH.parents)[owners], 0)] += 0.3
    regressor = np.zeros((joints, VERTICES))
    for joint in range(joints):
        regressor[joint, 3 * joint : 3 * joint + 3] = 1 / 3
    tree = np.stack([np.array(SMPLH.parents), np.arange(joints)]).astype(np.uint32)
    return {
        "v_template": template,
        "shapedirs": rng.normal(0, 0.004, (VERTICES, 3, SHAPES)),
        "posedirs": rng.normal(0, 0.002, (VERTICES, 3, 9 * (joints - 1))),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": tree,
        "f": np.zeros((4, 3), dtype=np.uint32),
        "bs_style": np.array("lbs"),
    }


def regressor() -> np.ndarray:
    """A regressor (17 v) in h36m17's order: the joint's own vertices, and a little of others with both signs."""
    rng = np.random.default_rng(5)
    matrix = np.zeros((len(H36M.joints), VERTICES))
    for row, name in enumerate(H36M.joints):
        joint = SMPLH.index({"spine": "spine2", "head": "neck"}.get(name, name))
        own = slice(VERTICES - 4, VERTICES) if name == "head" else slice(3 * joint, 3 * joint + 3)
        matrix[row, own] = 1
        matrix[row, rng.integers(0, VERTICES, 6)] += rng.normal(0, 0.02, 6)
    return matrix / matrix.sum(axis=1, keepdims=True)


def soft_shapes() -> np.ndarray:
    """DMPL shapes (v 3 d), more of them than AMASS uses."""
    return np.random.default_rng(7).normal(0, 0.002, (VERTICES, 3, 30))


def write_bodies(folder: Path, genders: tuple[str, ...] = ("male", "female")) -> None:
    """Write smplh/GENDER/model.npz, dmpls/GENDER/model.npz and regressor.npy."""
    for seed, gender in enumerate(genders):
        for name, parts in (("smplh", model_parts(seed)), ("dmpls", {"eigvec": soft_shapes()})):
            (folder / name / gender).mkdir(parents=True)
            np.savez(folder / name / gender / "model.npz", **parts)
    np.save(folder / "regressor.npy", regressor())


def clip_parts(frames: int = 40, *, new: bool = False, seed: int = 0, **changed: Any) -> dict[str, Any]:
    """A clip's arrays as AMASS's npz has them, old or new: a body upright in Z, swaying."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 60
    poses = 0.3 * np.sin(2 * time + rng.uniform(0, 6, 156)) * rng.uniform(0.2, 1, 156)
    poses[:, :3] = np.pi / 2 * np.array([1, 0, 0]) + 0.05 * np.sin(time)  # the model's Y goes to the world's Z
    shared = {"trans": np.array([0, 0, 1.2]) + 0.1 * np.sin(time), "gender": np.array("male")}
    shared["betas"] = rng.normal(0, 0.5, SHAPES)
    if new:
        parts = {"root_orient": poses[:, :3], "pose_body": poses[:, 3:66], "pose_hand": poses[:, 66:], "poses": poses}
        more = {"mocap_frame_rate": np.array(60.0), "surface_model_type": np.array("smplh")}
        return {**shared, **parts, **more, "labels": np.array(["a", None], dtype=object), **changed}
    dmpls = rng.normal(0, 0.5, (frames, SOFT))
    return {**shared, "poses": poses, "dmpls": dmpls, "mocap_framerate": np.array(60.0), **changed}


def write_clip(path: Path, frames: int = 40, **options: Any) -> Path:
    """Write one clip; `options` are those of `clip_parts`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **clip_parts(frames, **options))
    return path
