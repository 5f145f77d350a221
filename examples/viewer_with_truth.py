"""A page to turn and play a motion, its 2D input beside it and ground truth over it, each joint's error as colour.

python examples/viewer_with_truth.py [MODEL] [FOLDER]
"""

from walk import FPS, SIZE, given, walk

from mixste import Lifter
from mixste.viewer import write_html

model, folder = given()
joints, keypoints = walk()
motion = Lifter.load(model).lift(keypoints, skeleton="h36m17", fps=FPS, image_size=SIZE)
page = write_html(folder / "walk.html", motion, keypoints=keypoints, truth=joints, title="A walk of the sample")
print(page, f"{page.stat().st_size / 1e3:.0f} kB: open it in a browser")
