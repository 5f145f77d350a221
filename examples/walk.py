"""A walk of the generated sample as a detector sees it: what the examples lift where you have keypoints of your own.

python examples/walk.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

from mixste.captures.formats.bvh import joint_positions
from mixste.sample import make_trial
from mixste.skeleton import load_skeleton

FPS, SIZE, FOCAL = 60.0, (1920, 1080), 1500.0


def walk(subject: str = "S1", x: float = 0.0, frames: int = 180) -> tuple[np.ndarray, np.ndarray]:
    """Return joints (t 17 3) of h36m17, metres, camera axes, and what is seen (t 17 3): x, y in pixels, confidence."""
    bvh = make_trial(subject, "walking")  # centimetres, Y up, facing +Z
    order = [bvh.names.index(name) for name in load_skeleton("h36m17").joints]
    left, up, ahead = np.moveaxis(joint_positions(bvh)[:frames, order] / 100, -1, 0)
    joints = np.stack([left + x, 1 - up, 7 - ahead], axis=-1)  # they come towards a level camera, a metre high
    pixels = joints[..., :2] / joints[..., 2:] * FOCAL + np.array(SIZE) / 2
    noise = np.random.default_rng(0).normal(0, 2, pixels.shape)
    return joints, np.concatenate([pixels + noise, np.full((*pixels.shape[:2], 1), 0.9)], axis=-1)


def given(model: str = "cmu-small") -> tuple[str, Path]:
    """Return the model and the folder of the command line, by default this one and runs/examples."""
    model, folder = (*sys.argv[1:3], *(model, "runs/examples")[len(sys.argv) - 1 :])
    Path(folder).mkdir(parents=True, exist_ok=True)
    return model, Path(folder)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "walk.npz", keypoints=walk()[1], fps=FPS, image_size=SIZE, skeleton="h36m17")
    print(f"mixste lift {folder / 'walk.npz'} -o {folder / 'walk.bvh'} --model cmu-small")
