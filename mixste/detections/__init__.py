"""2D keypoints of any detector: `read_detections(path)`, and `tracks(detections)`, people followed through the frames."""

from mixste.detections.formats import FORMATS
from mixste.detections.ghosts import ghosts
from mixste.detections.people import Detections, Track
from mixste.detections.reading import read_detections
from mixste.detections.tracking import tracks

__all__ = ["FORMATS", "Detections", "Track", "ghosts", "read_detections", "tracks"]
