"""Two people in one video, found in any order: who is who, and a BVH file each.

python examples/two_people.py [MODEL] [FOLDER]
"""

import numpy as np
from walk import FPS, SIZE, given, walk

from mixste import Lifter
from mixste.detections import ghosts, read_detections, tracks

model, folder = given()

# A detector's output, whose people change places from frame to frame.
both = np.stack([walk("S1", x=-0.8)[1], walk("S2", x=0.8)[1]], axis=1)  # (t p 17 3)
both[::2] = both[::2, ::-1]
np.savez(folder / "two.npz", keypoints=both, fps=FPS, image_size=SIZE, skeleton="h36m17")

found = read_detections(folder / "two.npz")
people = tracks(found)
left_out = ghosts(people, FPS)  # doubles, flickers, pictures on the wall
print("\n".join(left_out.values()) or f"{len(people)} people, no ghosts")

lifter = Lifter.load(model)
for person in people:
    if person.name not in left_out:
        motion = lifter.lift(person.keypoints, skeleton=person.skeleton, fps=FPS, image_size=SIZE)
        print(person.name, "from frame", person.first, "->", motion.save(folder / f"{person.name}.bvh"))
