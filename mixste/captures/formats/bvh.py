"""BVH: a tree of joints with offsets, then one line of channel values a frame.

Conventions where the format leaves a choice:
- rotations compose in the order of the joint's own channels (the first listed is the outermost), in degrees;
- a position channel replaces that component of the joint's OFFSET, on any joint; one without a channel keeps it;
- an End Site is a joint without channels, named PARENT_End.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixste.captures.capture import Capture
from mixste.captures.formats.chains import AXES, carry, turn, upright
from mixste.captures.formats.numbers import parse_numbers, read_text
from mixste.errors import MixsteError
from mixste.files.whole import whole_file

CHANNELS = {name.lower(): name for axis in AXES for name in (f"{axis}position", f"{axis}rotation")}
_MOTION = re.compile(r"^\s*Frames:\s*(\d+)\s*Frame\s+Time:\s*(\S+)[^\S\n]*(?:\n|$)", re.IGNORECASE)
_RECOPY = "the file may be cut short or damaged: copy or export it again"


@dataclass(frozen=True)
class Bvh:
    """One BVH file: k joints, n channels, t frames; offsets (k 3) and positions in the file's unit, angles in degrees.

    `values` (t n) holds the joints' channels one joint after the other, in the order of `channels`.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    frame_time: float
    values: np.ndarray


@dataclass
class _Tree:
    """The hierarchy while it is read."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, name: str, parent: int) -> int:
        if name in self.names:
            raise MixsteError("two joints have one name", found=name, expected="every joint named once")
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append([0.0, 0.0, 0.0])
        self.channels.append(())
        return len(self.names) - 1


def read(path: Path) -> Capture:
    """Read a BVH file as a capture; its fps is rounded to hundredths, as frame times are written with few digits."""
    bvh = read_bvh(path)
    return Capture(bvh.names, joint_positions(bvh), round(1.0 / bvh.frame_time, 2))


def read_bvh(path: str | Path) -> Bvh:
    """Read a BVH file; a damaged or truncated one is refused with what was found and expected."""
    header, motion, body = read_text(Path(path)).partition("MOTION")
    if not motion:
        raise MixsteError(
            f"cannot read {path}", found="no MOTION section", expected="HIERARCHY, then MOTION", mend=_RECOPY
        )
    try:
        tree = _read_hierarchy(header.split())
        frame_time, values = _read_motion(body, sum(map(len, tree.channels)))
    except MixsteError as error:
        raise MixsteError(f"cannot read {path}: {error}") from error
    return Bvh(tuple(tree.names), tuple(tree.parents), np.array(tree.offsets), tuple(tree.channels), frame_time, values)


def write_bvh(path: str | Path, bvh: Bvh, decimals: int = 4) -> None:
    """Write a BVH file whose text depends on `bvh` and `decimals` alone; joints must be in depth-first order."""
    lines = ["HIERARCHY"]
    order = [joint for joint, parent in enumerate(bvh.parents) if parent < 0]
    visited: list[int] = []
    for root in order:
        _write_joint(bvh, root, 0, lines, visited, decimals)
    if visited != list(range(len(bvh.names))):
        raise MixsteError(
            f"cannot write {path}", found="joints out of order", expected="children after their parent, depth first"
        )
    lines += ["MOTION", f"Frames: {len(bvh.values)}", f"Frame Time: {bvh.frame_time:.8f}"]
    row = " ".join([f"%.{decimals}f"] * bvh.values.shape[1])
    lines += [row % tuple(values) for values in (np.round(bvh.values, decimals) + 0.0).tolist()]
    with whole_file(Path(path)) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def joint_positions(bvh: Bvh) -> np.ndarray:
    """Return all joints' positions (t k 3) in the file's unit and axes, by forward kinematics."""
    frames = len(bvh.values)
    positions = np.empty((len(bvh.names), 3, frames))
    turned: list[np.ndarray] = []
    column = 0
    for joint, (parent, channels) in enumerate(zip(bvh.parents, bvh.channels, strict=True)):
        values = bvh.values[:, column : column + len(channels)].T
        column += len(channels)
        frame = turned[parent] if parent >= 0 else upright(frames)
        offset = carry(frame, _translation(bvh.offsets[joint], channels, values))
        positions[joint] = offset + positions[parent] if parent >= 0 else offset
        for channel, value in zip(channels, values, strict=True):
            frame = turn(frame, channel[0], value) if channel.endswith("rotation") else frame
        turned.append(frame)
    return np.ascontiguousarray(positions.transpose(2, 0, 1))


def _translation(offset: np.ndarray, channels: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    moved = np.repeat(offset[:, None], values.shape[1], axis=1)
    for channel, value in zip(channels, values, strict=True):
        if channel.endswith("position"):
            moved[AXES.index(channel[0])] = value
    return moved


def _read_hierarchy(tokens: list[str]) -> _Tree:
    tree = _Tree()
    stack = [-1]
    at = 0
    while at < len(tokens):
        word = tokens[at].upper()
        if word in ("ROOT", "JOINT", "END"):
            brace = _find(tokens, "{", at)
            name = " ".join(tokens[at + 1 : brace])
            stack.append(tree.add(f"{tree.names[stack[-1]]}_End" if word == "END" else name, stack[-1]))
            at = brace + 1
        elif word == "OFFSET":
            tree.offsets[stack[-1]] = _floats(tokens[at + 1 : at + 4])
            at += 4
        elif word == "CHANNELS":
            at = _read_channels(tokens, at, tree, stack[-1])
        elif word == "}" and len(stack) > 1:
            stack.pop()
            at += 1
        elif word == "HIERARCHY" and at == 0:
            at += 1
        else:
            raise MixsteError("the hierarchy is damaged", found=tokens[at], mend=_RECOPY)
    if len(stack) != 1 or not tree.names:
        raise MixsteError("the hierarchy is damaged", found="an open brace or no joint at all", mend=_RECOPY)
    return tree


def _find(tokens: list[str], token: str, start: int) -> int:
    try:
        return tokens.index(token, start)
    except ValueError:
        raise MixsteError("the hierarchy is damaged", found=f"no {token} after {tokens[start]}", mend=_RECOPY) from None


def _floats(tokens: list[str]) -> list[float]:
    try:
        numbers = [float(token) for token in tokens]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise MixsteError("an OFFSET is damaged", found=" ".join(tokens), expected="three numbers", mend=_RECOPY)
    return numbers


def _read_channels(tokens: list[str], at: int, tree: _Tree, joint: int) -> int:
    try:
        end = at + 2 + int(tokens[at + 1])
        tree.channels[joint] = tuple(CHANNELS[token.lower()] for token in tokens[at + 2 : end])
    except (ValueError, KeyError, IndexError) as error:
        found = " ".join(tokens[at : at + 8])
        raise MixsteError("a CHANNELS line is damaged", found=found, expected=sorted(CHANNELS.values())) from error
    return end


def _read_motion(body: str, channels: int) -> tuple[float, np.ndarray]:
    head = _MOTION.match(body)
    if head is None:
        found = " ".join(body[:60].split()) or "nothing"
        raise MixsteError(
            "the MOTION section is damaged", found=found, expected="Frames: N, Frame Time: SECONDS", mend=_RECOPY
        )
    frames, values = int(head[1]), parse_numbers(body[head.end() :])
    if values.size != frames * channels:
        found = f"{values.size} numbers"
        raise MixsteError(
            "the motion is cut short or damaged", found=found, expected=f"{frames} frames of {channels}", mend=_RECOPY
        )
    return _frame_time(head[2]), values.reshape(frames, channels)


def _frame_time(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 10.0:
        raise MixsteError("the frame time is impossible", found=text, expected="seconds, above 0")
    return seconds


def _write_joint(bvh: Bvh, joint: int, depth: int, lines: list[str], visited: list[int], decimals: int) -> None:
    visited.append(joint)
    children = [child for child, parent in enumerate(bvh.parents) if parent == joint]
    parent, channels, indent = bvh.parents[joint], bvh.channels[joint], "\t" * depth
    end = parent >= 0 and not channels and not children and bvh.names[joint] == f"{bvh.names[parent]}_End"
    word = "ROOT" if parent < 0 else "JOINT"
    offset = " ".join(f"{value:.{decimals}f}" for value in np.round(bvh.offsets[joint], decimals) + 0.0)
    lines += [
        indent + ("End Site" if end else f"{word} {bvh.names[joint]}"),
        indent + "{",
        f"{indent}\tOFFSET {offset}",
    ]
    if not end:
        lines.append(" ".join([f"{indent}\tCHANNELS {len(channels)}", *channels]))
    for child in children:
        _write_joint(bvh, child, depth + 1, lines, visited, decimals)
    lines.append(indent + "}")
