"""A list of people, each with its image: AlphaPose's and Halpe's results, and COCO's."""

from pathlib import Path
from typing import Any

from mixste.detections.formats.found import Found, frame_numbers, gather, triples
from mixste.errors import MixsteError


def read(document: Any, path: Path) -> Found | None:
    """Return the people of such a list, by the number in `image_id`, a number itself in COCO's; None if it is none."""
    if not isinstance(document, list) or not document or not all(map(_is_person, document)):
        return None
    people = [entry for entry in document if entry.get("category_id", 1) == 1]
    names = [entry["image_id"] for entry in people]
    numbered = bool(names) and all(isinstance(name, int) for name in names)
    if not numbered and not all(isinstance(name, str) for name in names):
        raise MixsteError(f"cannot read {path}", found="image_id both of numbers and of names", expected="one of both")
    numbers = names if numbered else frame_numbers(path, names)
    rows = [
        (number, triples(entry["keypoints"], f"{path}, entry {index}"))
        for index, (number, entry) in enumerate(zip(numbers, people, strict=True))
    ]
    others = len(document) - len(people)
    report = (f"{others} detections of another category than 1, person, are left out",) if others else ()
    return gather(path, _format(people, numbered), rows, numbers, report=report)


def _is_person(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("keypoints"), list) and "image_id" in entry


def _format(people: list[dict[str, Any]], numbered: bool) -> str:
    return "COCO results JSON" if numbered and not any("box" in entry for entry in people) else "AlphaPose results JSON"
