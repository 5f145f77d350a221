"""A detector of your own on a real video: anything that is called with a picture and says its layout.

python examples/own_detector.py [MODEL] [FOLDER]
"""

import av
import numpy as np
from walk import given, walk

from mixste import Lifter
from mixste.detections import tracks
from mixste.video import read_video

MARKS = np.stack(np.unravel_index(np.arange(1, 18), (3, 3, 3)), axis=-1) * 120  # a colour a joint, RGB


class Markers:
    skeleton = "h36m17"  # the layout of what it returns

    def __call__(self, image: np.ndarray) -> np.ndarray:  # (h w 3) RGB -> (people joints 3): x, y, confidence
        places = [np.argwhere((image == mark).all(axis=-1)) for mark in MARKS]  # a network goes here
        return np.array([[[*at.mean(axis=0)[::-1], 0.9] if len(at) else [0, 0, 0] for at in places]])


model, folder = given()
with av.open(folder / "markers.mkv", "w") as video:  # someone with coloured markers on black
    stream = video.add_stream("ffv1", rate=60, width=480, height=270, pix_fmt="bgr0")
    for x, y, _ in (walk(frames=40)[1] / 4).astype(int).transpose(0, 2, 1):
        image = np.zeros((270, 480, 3), np.uint8)
        image[y, x] = MARKS
        video.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    video.mux(stream.encode())
found = read_video(folder / "markers.mkv", Markers())
known = {name: getattr(found, name) for name in ("skeleton", "fps", "image_size")}  # the last two are the file's
print(Lifter.load(model).lift(tracks(found)[0].keypoints, **known).save(folder / "markers.bvh"))
