"""From pixels to 3D with an exported model: numpy and onnxruntime, nothing else.

    mixste export models:/mixste@champion -o mixste.onnx
    python examples/onnx_lift.py mixste.onnx keypoints.npy 1920 1080 joints.npy

keypoints.npy holds one person's joints in the model's order and at its fps, (t j 3): x and y in pixels, and confidence,
which is 0 where a joint was not seen.
"""

import json
import sys

import numpy as np
import onnxruntime


def lift(model: str, pixels: np.ndarray, width: float, height: float) -> np.ndarray:
    """Lift `t j 3` to joints `t j 3`: the model's unit, camera axes, relative to the root."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["mixste"])

    screen = pixels[..., :2] * 2 / width - [1, height / width]
    keypoints = np.where(pixels[..., 2:] > 0, np.concatenate([screen, pixels[..., 2:]], axis=-1), 0)
    keypoints = keypoints[..., : len(about["channels"])].astype(np.float32)

    frames, size = len(keypoints), about["frames"]
    if about["output"] == "centre":  # a window around every frame
        index = np.arange(frames)[:, None] + (np.arange(size) - size // 2) * about["step"]
        windows = np.split(keypoints[index.clip(0, frames - 1)], range(64, frames, 64))
    else:  # one window after the other; the last may be shorter
        windows = [keypoints[None, first : first + size] for first in range(0, frames, size)]
    lifted = [session.run(["joints"], {"keypoints": each})[0].reshape(-1, *pixels.shape[1:-1], 3) for each in windows]

    joints = np.concatenate(lifted)
    root = about["parents"].index(-1)
    return joints - joints[:, root : root + 1]


if __name__ == "__main__":
    model, source, width, height, target = sys.argv[1:]
    np.save(target, lift(model, np.load(source), float(width), float(height)))
