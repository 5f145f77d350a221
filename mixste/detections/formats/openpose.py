"""One JSON document a frame: OpenPose's, which AlphaPose writes too (`--format open`, `cmu`), and MMPose's of images.

They come as a folder of files, as one file, or as one object of them by image name.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mixste.detections.formats import mmpose
from mixste.detections.formats.found import Found, frame_numbers, gather, triples
from mixste.detections.formats.jsons import read_json
from mixste.errors import MixsteError

KEYS = {"people": ("pose_keypoints_2d", "pose_keypoints"), "bodies": ("joints",)}
NAMES = {"people": "OpenPose JSON", "bodies": "AlphaPose JSON in CMU-Pose's form", "list": "MMPose JSON of images"}


def read(document: Any, path: Path) -> Found | None:
    """Return the people of one frame's document, or of an object of them by image name; None if it is neither."""
    if kind_of(document):
        return _read([(path.name, document)], path)
    if isinstance(document, dict) and document and all(kind_of(frame) for frame in document.values()):
        return _read(document.items(), path)
    return None


def read_folder(path: Path) -> Found:
    """Return the people of a folder of such documents, by the number in each name; other files are ignored."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".json" and file.is_file())
    if not files:
        raise MixsteError(f"there are no keypoints in {path}", found="no .json file", expected="one JSON file a frame")
    return _read(((file.name, read_json(file)) for file in files), path)


def kind_of(document: Any) -> str:
    """Return which kind of frame a document is; nothing if it is none."""
    if isinstance(document, dict):
        return next((key for key in KEYS if isinstance(document.get(key), list)), "")
    return "list" if mmpose.is_frame(document) else ""


def _read(documents: Iterable[tuple[str, Any]], path: Path) -> Found:
    """Return everyone with a body. No document is held after its people: an hour of them, parsed, takes gigabytes."""
    kinds: dict[str, str] = {}
    bodies: list[list[np.ndarray]] = []
    damage: MixsteError | None = None
    for name, document in documents:
        kinds[name] = kind = kind_of(document)
        try:
            bodies.append(people_of(document, kind, f"{path.name}, {name}") if kind else [])
        except MixsteError as error:
            damage = damage or error  # to be told after what is wrong with the folder as a whole
    numbers = _numbers(kinds, path)
    if damage is not None:
        raise damage
    people = [(number, joints) for number, frame in zip(numbers, bodies, strict=True) for joints in frame]
    return gather(path, NAMES[next(iter(kinds.values()))], people, numbers)


def _numbers(kinds: dict[str, str], path: Path) -> list[int]:
    """Return the frames' numbers; MixsteError if they are not all of one kind, or two have the same number."""
    first = next(iter(kinds.values()))
    odd = next((name for name, kind in kinds.items() if kind != first or not kind), None)
    if odd is not None:
        expected = f"{NAMES.get(first, 'one JSON document a frame')} as in {next(iter(kinds))}"
        raise MixsteError(f"cannot read {path}", found=f"something else in {odd}", expected=expected)
    numbers = frame_numbers(path, list(kinds))
    if len(set(numbers)) < len(numbers):
        raise MixsteError(f"cannot read {path}", found="two files of one frame number", expected="one a frame")
    return numbers


def people_of(document: Any, kind: str, where: str) -> list[np.ndarray]:
    """Return the (j 3) of everyone in a frame's document who has a body; MixsteError names the place of damage."""
    if kind == "list":
        return mmpose.people_of(document, where)
    people = []
    for person in document[kind]:
        values = next((person[key] for key in KEYS[kind] if key in person), None) if isinstance(person, dict) else None
        if values is None:
            expected = f"{KEYS[kind][0]} of every person"
            raise MixsteError(f"cannot read {where}", found="a person without keypoints", expected=expected)
        if values:
            people.append(triples(values, where))
    return people
