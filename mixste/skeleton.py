"""Skeletons and joint maps, both data: `skeletons/NAME.yaml` and `skeletons/maps/NAME.yaml`, or a user's own file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError

FOLDER = Path(__file__).parent / "skeletons"


@dataclass(frozen=True)
class Skeleton:
    """Named joints in their order, each with its parent's index (-1: root); `left` and `right` pair up one by one."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def root(self) -> int:
        """The joint that poses are relative to."""
        return self.parents.index(-1)

    @property
    def flip(self) -> tuple[int, ...]:
        """The permutation of joints that swaps left and right."""
        swap = dict(zip(self.left + self.right, self.right + self.left, strict=True))
        return tuple(swap.get(joint, joint) for joint in range(len(self.joints)))

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """All (parent, child) pairs, in the order of the children."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def limbs(self) -> tuple[tuple[int, int], ...]:
        """The bones whose two ends are on one side: upper and lower arms and legs, which are rigid."""
        sided = {*self.left, *self.right}
        return tuple(bone for bone in self.bones if sided.issuperset(bone))

    def index(self, name: str) -> int:
        """Return a joint's index; MixsteError if there is no such joint."""
        if name not in self.joints:
            raise MixsteError(f"skeleton {self.name} has no such joint", found=name, expected=", ".join(self.joints))
        return self.joints.index(name)


@dataclass(frozen=True)
class JointSource:
    """Where one joint comes from: the mean of `joints`, moved along the line from `along[0]` to `along[1]`.

    It is moved by `metres`, and by `times` the line's length.
    """

    joints: tuple[str, ...]
    along: tuple[str, str] | None = None
    metres: float = 0.0
    times: float = 0.0

    @property
    def needs(self) -> set[str]:
        """The names of all joints it is made of."""
        return {*self.joints, *(self.along or ())}

    def place(self, joints: Sequence[str], positions: np.ndarray) -> np.ndarray:
        """Return its positions (t 3) from the named joints' (t k 3), metres; a line without length gives NaN."""
        place: np.ndarray = positions[:, [joints.index(name) for name in self.joints]].mean(axis=1)
        if self.along is None:
            return place
        start, end = (positions[:, joints.index(name)] for name in self.along)
        length = np.linalg.norm(end - start, axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved: np.ndarray = place + (end - start) * (self.metres / length + self.times)
        return moved

    def __str__(self) -> str:
        names = " and ".join(self.joints)
        if self.along is None:
            return f"exact: {names}" if len(self.joints) == 1 else f"averaged: {names}"
        amount = f"{self.metres:g} m along" if self.metres else f"{self.times:g} times"
        return f"synthesised: {names} moved by {amount} {self.along[0]} to {self.along[1]}"


@dataclass(frozen=True)
class JointMap:
    """How a capture's joints become those of `skeleton`: one source a target joint, in the skeleton's order."""

    name: str
    skeleton: Skeleton
    sources: tuple[JointSource, ...]

    def apply(self, joints: Sequence[str], positions: np.ndarray) -> np.ndarray:
        """Return (t j 3) from the capture's named joints (t k 3), both metres; MixsteError if one is not there."""
        missing = sorted(set().union(*(source.needs for source in self.sources)) - set(joints))
        if missing:
            raise MixsteError(
                f"joint map {self.name} does not fit",
                found=f"no joint {', '.join(missing)} among {', '.join(joints)}",
                expected="every joint that the map names",
                mend="name another map in joint_map, or write your own (see mixste/skeletons/maps/README.md)",
            )
        return np.stack([source.place(joints, positions) for source in self.sources], axis=1)

    def onto(self, skeleton: Skeleton) -> "JointMap":
        """Return the map for a skeleton whose joints are among its own; MixsteError if one is not."""
        missing = [joint for joint in skeleton.joints if joint not in self.skeleton.joints]
        if missing:
            found = f"no {', '.join(missing)} in the map"
            raise MixsteError(
                f"joint map {self.name} cannot make {skeleton.name}", found=found, mend="complete the map"
            )
        return JointMap(self.name, skeleton, tuple(self.sources[self.skeleton.index(name)] for name in skeleton.joints))

    def report(self) -> dict[str, str]:
        """Return for every joint whether it is exact, averaged or synthesised, and from what."""
        return {joint: str(source) for joint, source in zip(self.skeleton.joints, self.sources, strict=True)}


@cache
def load_skeleton(name: str) -> Skeleton:
    """Return `mixste/skeletons/NAME.yaml`; MixsteError if there is none."""
    tree = _read(name, FOLDER)
    joints = tuple(tree["joints"])
    parents = tuple(joints.index(parent) if parent else -1 for parent in tree["joints"].values())
    left, right = (tuple(joints.index(joint) for joint in tree[side]) for side in ("left", "right"))
    return Skeleton(name, joints, parents, left, right)


def load_joint_map(name: str | Path) -> JointMap:
    """Return `mixste/skeletons/maps/NAME.yaml`, or the map in a YAML file; MixsteError if it is missing or wrong."""
    own = str(name).endswith((".yaml", ".yml"))
    tree = _read_file(Path(name)) if own else _read(str(name), FOLDER / "maps")
    short = Path(name).stem if own else str(name)
    if set(tree) != {"skeleton", "joints"} or not isinstance(tree["joints"], dict):
        raise MixsteError(f"joint map {name} is wrong", found=", ".join(tree), expected="the keys skeleton and joints")
    skeleton = load_skeleton(tree["skeleton"])
    if set(tree["joints"]) != set(skeleton.joints):
        wrong = sorted(map(str, set(tree["joints"]) ^ set(skeleton.joints)))
        raise MixsteError(
            f"joint map {name} is wrong", found=f"missing or unknown: {', '.join(wrong)}", expected=skeleton.joints
        )
    return JointMap(short, skeleton, tuple(_source(name, joint, tree["joints"][joint]) for joint in skeleton.joints))


def _source(name: str | Path, joint: str, tree: Any) -> JointSource:
    match tree:
        case str() | {"joint": str()}:
            return JointSource((tree if isinstance(tree, str) else tree["joint"],))
        case {"mean": [str(), str(), *_] as names, **rest} if not rest:
            return JointSource(tuple(names))
        case {
            "from": str() as start,
            "along": [str() as one, str() as two],
            "metres": float() | int() as metres,
            **rest,
        } if not rest:
            return JointSource((start,), (one, two), metres=float(metres))
        case {
            "from": str() as start,
            "along": [str() as one, str() as two],
            "times": float() | int() as times,
            **rest,
        } if not rest:
            return JointSource((start,), (one, two), times=float(times))
    raise MixsteError(
        f"joint map {name} is wrong at {joint}",
        found=tree,
        expected="NAME, {mean: [NAME, NAME]}, or {from: NAME, along: [NAME, NAME], metres: NUMBER or times: NUMBER}",
    )


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise MixsteError(
            f"there is no {name} in {folder}", found=name, expected=f"one of {known}, or a path to a .yaml file"
        )
    return _read_file(path)


def _read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="a YAML file") from error
    if not isinstance(tree, dict):
        raise MixsteError(f"cannot read {path}", found=type(tree).__name__, expected="keys and values")
    return tree
