"""Videos in: `read_video(path, detector)` finds people in every frame. The extra `video` has what it needs.

A detector is anything that looks like `Detector`; `load_detector(name)` gives one by rtmlib, or one of your own.
"""

from mixste.video.detector import DETECTORS, Detector, load_detector
from mixste.video.frames import is_video
from mixste.video.reading import read_video

__all__ = ["DETECTORS", "Detector", "is_video", "load_detector", "read_video"]
