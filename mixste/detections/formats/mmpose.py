"""MMPose's predictions: lists of people, `{keypoints (j 2), keypoint_scores (j)}`, one a frame.

Its inferencer writes `[{frame_id, instances}]` of a video; its demos, `{meta_info, instance_info: [...]}` of the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections.formats.found import Found, gather, numbers_in
from mixste.errors import MixsteError

FORMAT = "MMPose JSON"


def read(document: Any, path: Path) -> Found | None:
    """Return the people of a video's predictions; None if the document is something else."""
    frames = document.get("instance_info") if isinstance(document, dict) else document
    if not isinstance(frames, list) or not frames:
        return None
    if all(is_frame(frame) for frame in frames) and any(frames):
        frames = [{"frame_id": number, "instances": frame} for number, frame in enumerate(frames)]
    if not all(_is_numbered(frame) for frame in frames):
        return None
    people = [
        (frame["frame_id"], joints)
        for frame in frames
        for joints in people_of(frame["instances"], f"{path}, frame {frame['frame_id']}")
    ]
    return gather(path, FORMAT, people, [frame["frame_id"] for frame in frames])


def is_frame(document: Any) -> bool:
    """Whether a document is a list of people, or of nobody."""
    return isinstance(document, list) and all(map(_is_person, document))


def _is_person(one: Any) -> bool:
    return isinstance(one, dict) and "keypoints" in one and "image_id" not in one


def people_of(instances: Sequence[dict[str, Any]], where: str) -> list[np.ndarray]:
    """Return the (j 3) of everyone in a frame; MixsteError names the place if keypoints and scores do not fit."""
    return [_joints(person, where) for person in instances]


def _joints(person: dict[str, Any], where: str) -> np.ndarray:
    places = numbers_in(_plain(person["keypoints"]), where)
    given = _plain(person.get("keypoint_scores"))
    scores = np.ones(len(places)) if given is None else numbers_in(given, where)
    if places.ndim != 2 or places.shape[1] != 2 or scores.shape != places.shape[:1]:
        found = f"keypoints {places.shape}, scores {scores.shape}"
        raise MixsteError(f"cannot read the keypoints of {where}", found=found, expected="(joints, 2) and (joints,)")
    return np.column_stack([places, scores])


def _plain(value: Any) -> Any:
    """Unwrap an array that the demos' JSON library wrote."""
    return value["__ndarray__"] if isinstance(value, dict) and "__ndarray__" in value else value


def _is_numbered(frame: Any) -> bool:
    return isinstance(frame, dict) and isinstance(frame.get("frame_id"), int) and is_frame(frame.get("instances"))
