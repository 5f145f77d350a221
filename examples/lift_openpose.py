"""A folder of OpenPose's JSON files, one a frame, to a motion that numpy, pandas and Parquet readers open.

python examples/lift_openpose.py [MODEL] [FOLDER]
"""

import json

from walk import FPS, SIZE, given, walk

from mixste import Lifter
from mixste.detections import read_detections, tracks
from mixste.joint_maps import map_skeleton
from mixste.skeleton import load_skeleton

model, folder = given()

# What OpenPose leaves; with files of your own, begin below.
(folder / "openpose").mkdir(parents=True, exist_ok=True)
body25 = map_skeleton("h36m17", "body25").apply_keypoints(load_skeleton("h36m17").joints, walk()[1])
for number, joints in enumerate(body25):
    people = [{"pose_keypoints_2d": joints.ravel().tolist()}]
    (folder / f"openpose/walk_{number:012d}_keypoints.json").write_text(json.dumps({"people": people}))

found = read_detections(folder / "openpose", fps=FPS, image_size=SIZE)
person = tracks(found)[0]  # who is seen most
motion = Lifter.load(model).lift(person.keypoints, skeleton=person.skeleton, fps=FPS, image_size=SIZE)
for ending in ("npz", "csv", "parquet"):
    print(motion.save(folder / f"openpose.{ending}"))
print("\n".join([*found.report, *motion.report]))
