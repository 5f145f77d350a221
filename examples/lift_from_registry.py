"""Three lines from keypoints to 3D, with the champion that `make repro` registered.

python examples/lift_from_registry.py [MODEL] [FOLDER]
"""

import numpy as np
from walk import FPS, SIZE, given, walk

from mixste import Lifter

model, folder = given("models:/mixste@champion")
joints, keypoints = walk()  # (t 17 3): x, y in pixels, confidence; yours go here

lifter = Lifter.from_registry(model)
motion = lifter.lift(keypoints, skeleton="h36m17", fps=FPS, image_size=SIZE)
motion.save(folder / "champion.npz")

error = np.linalg.norm(motion.joints - (joints - joints[:, :1]), axis=-1)  # both relative to the hip
print(f"{len(motion.joints)} frames, {motion.unit}, {motion.frame} axes, MPJPE {1000 * error.mean():.0f} mm")
print("\n".join(motion.report))
