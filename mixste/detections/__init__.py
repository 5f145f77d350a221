"""2D keypoints of any detector: `read_detections(path)`, and who is who in them: `tracks`, `ghosts`."""

from mixste.detections.formats import FORMATS
from mixste.detections.ghosts import ghosts
from mixste.detections.people import Detections, Track
from mixste.detections.reading import read_detections
from mixste.detections.tracking import tracks

__all__ = ["FORMATS", "Detections", "Track", "ghosts", "read_detections", "tracks"]
