"""Skeletons, which are data: `skeletons/NAME.yaml`, or a YAML file of one's own.

A joint's name says where it is: the same name is the same place in all of them, but for CMU's, which have their files'
names. `mixste.joint_maps` rests on that.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mixste.errors import MixsteError, counted

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


@cache
def load_skeleton(name: str) -> Skeleton:
    """Return `mixste/skeletons/NAME.yaml`, or what a file NAME ending in .yaml describes; MixsteError if it cannot be.

    `joints` is each joint's parent (null: the root), `left` and `right` pair up one by one.
    """
    tree = read_yaml(Path(name)) if is_own(name) else read_data(name, FOLDER)
    try:
        joints = tuple(tree["joints"])
        parents = tuple(joints.index(parent) if parent else -1 for parent in tree["joints"].values())
        left, right = (tuple(joints.index(joint) for joint in tree[side]) for side in ("left", "right"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        expected = "joints: {NAME: its parent or null, ...}, left: [NAME, ...], right: [NAME, ...]"
        raise MixsteError(f"{name} describes no skeleton", found=error, expected=expected) from error
    if parents.count(-1) != 1 or len(left) != len(right):
        found = f"{counted(parents.count(-1), 'joint')} without a parent, {len(left)} left and {len(right)} right"
        raise MixsteError(f"{name} describes no skeleton", found=found, expected="one root, as many left as right")
    twice = [joint for joint in joints if (left + right).count(joints.index(joint)) > 1]
    loose = [joint for number, joint in enumerate(joints) if not _reaches_root(number, parents)]
    if twice or loose:
        found = f"{', '.join(twice)} on a side twice" if twice else f"{', '.join(loose)} apart from the root"
        raise MixsteError(f"{name} describes no skeleton", found=found, expected="a tree, a joint once left or right")
    return Skeleton(name, joints, parents, left, right)


def _reaches_root(joint: int, parents: tuple[int, ...]) -> bool:
    for _ in parents:
        joint = parents[joint] if joint >= 0 else joint
    return joint < 0


def is_own(name: str | Path) -> bool:
    """Whether a name is that of a YAML file of one's own."""
    return str(name).endswith((".yaml", ".yml"))


def known_skeletons() -> list[str]:
    """Return the names of all skeletons, layouts of keypoints among them."""
    return known_data(FOLDER)


def known_data(folder: Path) -> list[str]:
    """Return the names that `read_data` knows in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_data(name: str, folder: Path) -> dict[str, Any]:
    """Return what `folder/NAME.yaml` holds; MixsteError if there is none."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(known_data(folder))
        raise MixsteError(
            f"there is no {name} in {folder}", found=name, expected=f"one of {known}, or a path to a .yaml file"
        )
    return read_yaml(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds; MixsteError if it is not there, or not keys and values."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="a YAML file") from error
    if not isinstance(tree, dict):
        raise MixsteError(f"cannot read {path}", found=type(tree).__name__, expected="keys and values")
    return tree
