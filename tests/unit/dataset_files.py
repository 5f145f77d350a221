"""Small files of the layouts that the data sets come in: a walking figure, seen by each data set's cameras."""

import pickle
from pathlib import Path

import numpy as np

from mixste.datasets.h36m import subject_cameras
from mixste.geometry import denormalise_screen
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton

H36M = load_skeleton("h36m17")
# One person in metres, Z up, facing Y: hip, right leg, left leg, trunk and head, left arm, right arm.
FIGURE = np.array(
    [
        *((0, 0, 0.95), (0.13, 0, 0.93), (0.14, 0.02, 0.5), (0.15, -0.03, 0.08)),
        *((-0.13, 0, 0.93), (-0.14, 0.02, 0.5), (-0.15, -0.03, 0.08)),
        *((0, -0.02, 1.2), (0, 0, 1.45), (0, 0.08, 1.55), (0, 0.04, 1.7)),
        *((-0.17, 0, 1.42), (-0.35, -0.05, 1.2), (-0.4, 0.15, 1.0)),
        *((0.17, 0, 1.42), (0.35, -0.05, 1.2), (0.4, 0.15, 1.0)),
    ]
)
# Of the data set's 32 joints those that nobody uses: toes, fingers, and doubles of others.
UNUSED = (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)
H36M_SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
COCO_SYMMETRY = [list(range(1, 17, 2)), list(range(2, 17, 2))]


def walk(frames: int, seed: int = 0) -> np.ndarray:
    """The figure (t 17 3), float32, turning about itself and drifting within a metre."""
    start = np.random.default_rng(seed).uniform(0, 6)
    angle = start + np.arange(frames) / 25
    turn = np.zeros((frames, 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = (
        np.cos(angle),
        -np.sin(angle),
        np.sin(angle),
        np.cos(angle),
    )
    turn[:, 2, 2] = 1
    drift = np.stack([0.5 * np.cos(angle / 2), 0.5 * np.sin(angle / 2), 0 * angle], axis=1)
    return (np.einsum("tik,jk->tji", turn, FIGURE) + drift[:, None]).astype(np.float32)


def all_joints(poses: np.ndarray) -> np.ndarray:
    """The 32 joints of Human3.6M (t 32 3), those that nobody uses far away."""
    whole = np.full((len(poses), 32, 3), 9.0, np.float32)
    whole[:, [joint for joint in range(32) if joint not in UNUSED]] = poses
    return whole


def save_objects(path: Path, **objects) -> Path:
    """An npz as the authors' scripts write it: each dictionary pickled in an array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{key: np.array(value, dtype=object) for key, value in objects.items()})
    return path


def h36m_pixels(poses: np.ndarray, subject: str) -> list[np.ndarray]:
    """What the four cameras see: (t 17 2), pixels."""
    return [denormalise_screen(camera.see(poses)[0], *camera.size) for camera in subject_cameras(subject)]


def h36m_subjects(subjects=("S1",), names=("Directions", "Directions 1", "WalkDog"), frames=20):
    """{subject: {action: (t 17 3)}}."""
    return {subject: {name: walk(frames + number, number) for number, name in enumerate(names)} for subject in subjects}


def write_h36m(
    folder: Path, poses=None, *, extra: int = 0, change=lambda pixels: pixels, metadata=None
) -> tuple[Path, Path]:
    """Both files; `extra` frames more of 2D, each camera's 2D put through `change`."""
    poses = h36m_subjects() if poses is None else poses
    whole = {subject: {name: all_joints(pose) for name, pose in actions.items()} for subject, actions in poses.items()}
    seen = {
        subject: {
            name: [change(longer(pixels, extra)) for pixels in h36m_pixels(pose, subject)]
            for name, pose in actions.items()
        }
        for subject, actions in poses.items()
    }
    about = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": H36M_SYMMETRY}
    return (
        save_objects(folder / "data_3d_h36m.npz", positions_3d=whole),
        save_objects(folder / "data_2d_h36m_gt.npz", positions_2d=seen, metadata={**about, **(metadata or {})}),
    )


def longer(pixels: np.ndarray, extra: int) -> np.ndarray:
    return (
        np.concatenate([pixels, np.repeat(pixels[-1:], extra, axis=0)]) if extra > 0 else pixels[: len(pixels) + extra]
    )


def motionbert_half(videos: dict[str, int], *, test: bool) -> dict[str, object]:
    """One half of MotionBERT's file: {source: frames}, each video of the subject and camera its name says."""
    parts = [_motionbert_video(source, frames, number) for number, (source, frames) in enumerate(videos.items())]
    keys = ("joint_2d", "confidence", "joint3d_image", "2.5d_factor")
    half: dict[str, object] = {key: np.concatenate([part[key] for part in parts]) for key in keys}
    half |= {key: [part[key] for part in parts for _ in range(len(part["joint_2d"]))] for key in ("source", "action")}
    half["camera_name"] = np.concatenate([part["camera_name"] for part in parts])
    if not test:
        del half["2.5d_factor"]
    return half


def _motionbert_video(source: str, frames: int, seed: int) -> dict[str, object]:
    camera = subject_cameras("S1")[int(source[-2:]) - 1]
    screen, points = camera.see(walk(frames, seed))
    pixels = denormalise_screen(screen, *camera.size)
    factor = 1000 * points[:, 0, 2] / camera.focal[0]  # millimetres a pixel at the root's depth
    depth = (points[..., 2] - points[:, :1, 2]) * 1000 / factor[:, None]
    return {
        "joint_2d": pixels,
        "confidence": np.full((frames, 17), 0.5 + seed / 10, np.float32),
        "joint3d_image": np.concatenate([pixels, depth[..., None]], axis=-1),
        "2.5d_factor": factor,
        "source": source,
        "camera_name": np.array([camera.name] * frames),
        "action": f"act_{source[9:11]}",
    }


def write_motionbert(path: Path, train: dict[str, int], test: dict[str, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {"train": motionbert_half(train, test=False), "test": motionbert_half(test, test=True)}
    path.write_bytes(pickle.dumps(halves))
    return path


def mpi_pose(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """2D (t 17 2) in pixels and 3D (t 17 3) in millimetres, in the order of mpi17."""
    seen = subject_cameras("S1")[0].see(walk(frames, seed))[1]
    order = map_skeleton("h36m17", "mpi17").apply(H36M.joints, seen)
    pixels = 1500 * order[..., :2] / order[..., 2:] + 1024
    return pixels.astype(np.float32), (1000 * order).astype(np.float32)


def mpi_values(frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    pixels, joints = mpi_pose(frames, seed)
    return {"data_2d": pixels, "data_3d": joints}


def write_mpi_inf_3dhp(folder: Path, cameras=("0", "1", "2", "4", "5", "6", "7", "8"), tests=("TS1", "TS5")):
    """Two training sequences of S1, one of S2, and test sequences whose every third frame is not valid."""
    sequences = {
        name: [{camera: mpi_values(12, seed) for seed, camera in enumerate(cameras)}, fps]
        for name, fps in (("S1 Seq1", 25), ("S1 Seq2", 50), ("S2 Seq1", 25))
    }
    test = {name: {**mpi_values(10, 3), "valid": np.arange(10) % 3 > 0} for name in tests}
    return (
        save_objects(folder / "data_train_3dhp.npz", data=sequences),
        save_objects(folder / "data_test_3dhp.npz", data=test),
    )


def humaneva_camera(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intrinsics (3 3), rotation (3 3) and translation (3,) of a camera four metres from the middle."""
    angle = 2 * np.pi * number / 3
    forward = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    down = np.array([0.0, 0, -1.0])
    rotation = np.stack([np.cross(down, forward), down, forward])
    return np.array([[760.0, 0, 320], [0, 750, 245], [0, 0, 1]]), rotation, -rotation @ (-4 * forward + [0, 0, 1.0])


def write_humaneva(folder: Path, subjects=("Train/S1", "Validate/S1"), *, change=lambda pixels: pixels):
    """3D, 2D of the ground truth, and the latter again, each camera's put through `change`, as a detector's."""
    skeleton = load_skeleton("humaneva15")
    onto = map_skeleton("h36m17", "humaneva15")
    poses = {
        subject: {
            name: onto.apply(H36M.joints, walk(40, n)) for n, name in enumerate(("Walking 1 chunk0", "Jog 1 chunk2"))
        }
        for subject in subjects
    }

    def see(pose: np.ndarray, number: int) -> np.ndarray:
        intrinsics, rotation, translation = humaneva_camera(number)
        seen = (pose @ rotation.T + translation) @ intrinsics.T
        return (seen[..., :2] / seen[..., 2:]).astype(np.float32)

    def positions(change):
        return {s: {n: [change(see(pose, k)) for k in range(3)] for n, pose in a.items()} for s, a in poses.items()}

    about = {"layout_name": "humaneva15", "num_joints": 15, "keypoints_symmetry": [skeleton.left, skeleton.right]}
    return (
        save_objects(folder / "data_3d_humaneva15.npz", positions_3d=poses),
        save_objects(folder / "data_2d_humaneva15_gt.npz", positions_2d=positions(lambda p: p), metadata=about),
        save_objects(folder / "data_2d_humaneva15_found.npz", positions_2d=positions(change), metadata=about),
    )
