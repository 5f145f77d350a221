"""A BVH for Blender: smooth, of a stated height, Z up, feet on the floor (File > Import > Motion Capture).

python examples/bvh_for_blender.py [MODEL] [FOLDER]
"""

from walk import FOCAL, FPS, SIZE, given, walk

from mixste import Lifter

model, folder = given()
keypoints = walk()[1]
motion = Lifter.load(model).lift(keypoints, skeleton="h36m17", fps=FPS, image_size=SIZE)

standing = motion.smoothed(6.0).scaled(1.75).z_up().grounded()  # the way is guessed from the feet
print(standing.save(folder / "grounded.bvh"))

camera = (FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2)  # fx, fy, cx, cy in pixels
walking = motion.smoothed(6.0).scaled(1.75).located(keypoints, camera, smooth_hz=2.0).z_up()  # the way is measured
print(walking.save(folder / "located.bvh"))
print("\n".join(walking.report))
