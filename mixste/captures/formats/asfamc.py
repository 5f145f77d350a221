"""Acclaim ASF/AMC: a skeleton of bones (ASF) and their angles, frame after frame (AMC).

- A bone's frame turns by C M C^-1 in its parent's: C is its `axis`, M its degrees of freedom. Of an order "XYZ", and of
  the degrees of freedom as listed, the first acts first: M = Rz Ry Rx.
- A joint is the end of the bone of its name: the bone's `direction` times `length`, turned; `root` is the root itself.
- Positions stay in the file's unit; metres_per_unit must hold the factor of `:units length` (CMU: 0.0254 / 0.45).
- The ASF file lies beside the AMC file: the only one there, or the one named as the AMC up to its last underscore.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixste.captures.capture import Capture
from mixste.captures.formats.chains import AXES, carry, turn, upright
from mixste.captures.formats.numbers import read_text
from mixste.errors import MixsteError

DEGREES = {"deg": 1.0, "degrees": 1.0, "rad": 180.0 / np.pi, "radians": 180.0 / np.pi}
_ROOT_DOFS = {"tx", "ty", "tz", "rx", "ry", "rz"}
_NUMBER_LINE = re.compile(r"^\s*\d+\s*$", re.MULTILINE)
_COMMENT = re.compile(r"#.*")
_RECOPY = "the file may be cut short or damaged: copy or export it again"


@dataclass
class Bone:
    """One bone: its end from its start (3) in rest, its axis as (axis, degrees) in order, its degrees of freedom."""

    name: str
    parent: int = -1
    vector: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axis: tuple[tuple[str, float], ...] = ()
    dofs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asf:
    """A skeleton in its file's unit: the root first, parents before children; `scale` is degrees per angle unit."""

    bones: tuple[Bone, ...]
    scale: float


@dataclass(frozen=True)
class Amc:
    """The motion: every bone's values (t n) as written, the frames' numbers (t), the name of the unit of angle."""

    values: dict[str, np.ndarray]
    numbers: np.ndarray
    angle: str | None


def read(path: Path) -> Capture:
    """Read an AMC file with the ASF file beside it: all bones' ends (t k 3) in the file's unit and axes; no fps."""
    asf, amc = read_asf(find_asf(path)), read_amc(path)
    try:
        positions = bone_ends(asf, amc)
    except MixsteError as error:
        raise MixsteError(f"cannot read {path}: {error}") from error
    return Capture(tuple(bone.name for bone in asf.bones), positions, None, amc.numbers)


def find_asf(path: Path) -> Path:
    """Return the ASF file that belongs to an AMC file; MixsteError if that is not one file."""
    found = sorted(file for file in path.parent.glob("*") if file.suffix.lower() == ".asf")
    named = [file for file in found if file.stem in (path.stem, path.stem.rpartition("_")[0])]
    chosen = named if named else found
    if len(chosen) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise MixsteError(
            f"no one ASF file belongs to {path}", found=names, expected="one beside it, named as its subject"
        )
    return chosen[0]


def bone_ends(asf: Asf, amc: Amc) -> np.ndarray:
    """Return the root and the ends of all bones (t k 3), in the file's unit and axes, by forward kinematics."""
    _check(asf, amc)
    frames, scale = len(amc.numbers), DEGREES[amc.angle] if amc.angle else asf.scale
    ends = np.empty((len(asf.bones), 3, frames))
    turned: list[np.ndarray] = []
    for index, bone in enumerate(asf.bones):
        values = dict(zip(bone.dofs, amc.values.get(bone.name, np.empty((frames, 0))).T, strict=True))
        frame = turned[bone.parent] if index else upright(frames)
        if bone.dofs:
            frame = _turn_bone(frame, bone, {dof: angle * scale for dof, angle in values.items() if dof[0] == "r"})
        turned.append(frame)
        if index:
            ends[index] = ends[bone.parent] + carry(frame, bone.vector)
        else:
            ends[index] = bone.vector[:, None] + np.stack([values.get(f"t{axis}", np.zeros(frames)) for axis in "xyz"])
    return np.ascontiguousarray(ends.transpose(2, 0, 1))


def _turn_bone(frame: np.ndarray, bone: Bone, angles: dict[str, np.ndarray]) -> np.ndarray:
    for axis, degrees in reversed(bone.axis):
        frame = turn(frame, axis, degrees)
    for dof in reversed(angles):
        frame = turn(frame, dof[1].upper(), angles[dof])
    for axis, degrees in bone.axis:
        frame = turn(frame, axis, -degrees)
    return frame


def _check(asf: Asf, amc: Amc) -> None:
    """Refuse a motion whose bones and values are not the skeleton's."""
    expected = {bone.name: len(bone.dofs) for bone in asf.bones if bone.dofs}
    found = {name: values.shape[1] for name, values in amc.values.items()}
    wrong = [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
    if wrong:
        raise MixsteError(
            "the motion does not fit its ASF file",
            found=", ".join(f"{name}: {found.get(name, 'no')} values" for name in wrong),
            expected=", ".join(f"{name}: {expected.get(name, 'no')} values" for name in wrong),
            mend="put the subject's own ASF file beside it",
        )


def read_amc(path: Path) -> Amc:
    """Read the motion; every frame must hold what the first holds, or the frame is named and the file refused."""
    text = read_text(path)
    first = _NUMBER_LINE.search(text)
    header, body = (text[: first.start()], text[first.start() :]) if first else (text, "")
    angle = next((word[1:].lower() for word in header.split() if word[1:].lower() in DEGREES), None)
    tokens = (_COMMENT.sub("", body) if "#" in body else body).split()
    starts = [at for at, token in enumerate(tokens[:100_000]) if _is_name(token)]
    length = _frame_length(tokens, starts)
    if not length or not starts or starts[0] != 1:
        raise MixsteError(f"cannot read {path}", found="no whole frame", expected="a number, then bones", mend=_RECOPY)
    spans = _spans(tokens, [start for start in starts if start < length], length)
    try:
        numbers, values = _columns(tokens, spans, length)
    except ValueError as error:
        number = _first_different(tokens, spans, length)
        expected = f"{length - 1} names and values a frame, as in the first"
        raise MixsteError(
            f"cannot read {path} at frame {number}", found=str(error), expected=expected, mend=_RECOPY
        ) from error
    return Amc(values, numbers, angle)


def _is_name(token: str) -> bool:
    return token[0].isalpha() and token.lower() not in ("nan", "inf", "infinity")


def _frame_length(tokens: list[str], starts: list[int]) -> int:
    """Return how many tokens the first frame has: up to the number before the first bone's next name."""
    first = tokens[starts[0]] if starts else ""
    again = next((at for at in starts[1:] if tokens[at] == first), None)
    return len(tokens) if again is None else again - starts[0]


def _spans(tokens: list[str], starts: list[int], length: int) -> dict[str, range]:
    """Return where in a frame each bone's values stand."""
    return {tokens[at]: range(at + 1, end) for at, end in zip(starts, [*starts[1:], length], strict=True)}


def _columns(tokens: list[str], spans: dict[str, range], length: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the frames' numbers (t) and each bone's values (t n); ValueError if a frame is not like the first."""
    if len(tokens) % length:
        raise ValueError(f"{len(tokens) % length - 1} names and values in the last frame")
    frames = len(tokens) // length
    values = {}
    for name, span in spans.items():
        if tokens[span.start - 1 :: length].count(name) != frames:
            raise ValueError(f"a frame without {name} in its place")
        columns = [list(map(float, tokens[at::length])) for at in span]
        values[name] = np.array(columns).reshape(len(span), frames).T
    return np.array(list(map(int, tokens[::length]))), values


def _first_different(tokens: list[str], spans: dict[str, range], length: int) -> str:
    names = {span.start - 1: name for name, span in spans.items()}
    for start in range(0, len(tokens), length):
        frame = tokens[start : start + length]
        if not frame[0].isdigit() and start:
            return tokens[start - length]
        wrong = len(frame) != length or any(frame[at] != name for at, name in names.items())
        if wrong or any(_is_name(token) != (at in names) for at, token in enumerate(frame)):
            return tokens[start]
    return "unknown"


def read_asf(path: Path) -> Asf:
    """Read the skeleton; a missing or damaged part is refused by its name."""
    sections = _sections(read_text(path))
    try:
        scale = _angle_unit(sections["units"])
        bones = [_root(sections["root"], scale), *(_bone(block, scale) for block in _blocks(sections["bonedata"]))]
        return Asf(_ordered(bones, sections["hierarchy"]), scale)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise MixsteError(
            f"cannot read {path}", found=f"no usable {error}", expected="an ASF skeleton", mend=_RECOPY
        ) from error
    except MixsteError as error:
        raise MixsteError(f"cannot read {path}: {error}") from error


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Return the lines of each `:section` as words."""
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in text.splitlines():
        words = line.replace("(", " ").replace(")", " ").split()
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if words and not words[0].startswith("#"):
            current.append(words)
    return sections


def _blocks(lines: list[list[str]]) -> list[dict[str, list[str]]]:
    """Return the begin ... end blocks as {key: words}."""
    blocks: list[dict[str, list[str]]] = []
    for words in lines:
        if words[0] == "begin":
            blocks.append({})
        elif words[0] != "end":
            blocks[-1].setdefault(words[0].lower(), words[1:])
    return blocks


def _angle_unit(lines: list[list[str]]) -> float:
    units = {words[0].lower(): words[1].lower() for words in lines}
    if units.get("angle", "deg") not in DEGREES:
        raise MixsteError("unknown unit of angle", found=units["angle"], expected="deg or rad", mend="correct :units")
    if not float(units.get("length", "1")) > 0:
        raise MixsteError(
            "unknown unit of length", found=units["length"], expected="a number above 0", mend="correct :units"
        )
    return DEGREES[units.get("angle", "deg")]


def _axis(values: list[str], order: str, scale: float) -> tuple[tuple[str, float], ...]:
    if sorted(order.upper()) != sorted(AXES):
        raise MixsteError("unknown order of an axis", found=order, expected="the letters X, Y and Z, once each")
    degrees = dict(zip(AXES, (float(value) * scale for value in values), strict=True))
    return tuple((axis, degrees[axis]) for axis in order.upper())


def _root(lines: list[list[str]], scale: float) -> Bone:
    keys = {words[0].lower(): words[1:] for words in lines}
    dofs = tuple(word.lower() for word in keys["order"])
    if not _ROOT_DOFS.issuperset(dofs) or len(set(dofs)) < len(dofs):
        raise MixsteError("unknown order of the root", found=keys["order"], expected="TX TY TZ RX RY RZ in any order")
    orientation = keys.get("orientation", ["0", "0", "0"])
    axis = _axis(orientation, keys.get("axis", ["XYZ"])[0], scale)
    position = np.array(keys.get("position", ["0", "0", "0"]), dtype=float)
    return Bone("root", -1, position, axis, dofs)


def _bone(block: dict[str, list[str]], scale: float) -> Bone:
    name, dofs = block["name"][0], tuple(word.lower() for word in block.get("dof", []))
    if not {"rx", "ry", "rz"}.issuperset(dofs) or len(set(dofs)) < len(dofs):
        raise MixsteError(f"bone {name} cannot be moved so", found=" ".join(dofs), expected="rx, ry, rz, once each")
    direction = np.array(block["direction"], dtype=float)
    norm = np.linalg.norm(direction) or 1.0
    axis = block.get("axis", ["0", "0", "0", "XYZ"])
    return Bone(name, -1, direction / norm * float(block["length"][0]), _axis(axis[:3], axis[3], scale), dofs)


def _ordered(bones: list[Bone], hierarchy: list[list[str]]) -> tuple[Bone, ...]:
    """Return the bones with the root first and every parent before its children, and set their parents."""
    named = {bone.name: bone for bone in bones}
    children = {words[0]: words[1:] for words in hierarchy if words[0] not in ("begin", "end")}
    ordered: list[Bone] = []
    waiting = [("root", -1)]
    while waiting:
        name, parent = waiting.pop(0)
        bone = named.pop(name, None)
        if bone is None:
            raise MixsteError("the hierarchy is damaged", found=f"{name}, twice or without data", mend=_RECOPY)
        bone.parent = parent
        waiting = [(child, len(ordered)) for child in children.get(name, [])] + waiting
        ordered.append(bone)
    if named:
        raise MixsteError("the hierarchy is damaged", found=f"no place for {', '.join(named)}", mend=_RECOPY)
    return tuple(ordered)
