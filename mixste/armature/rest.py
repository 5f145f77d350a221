"""The pose at rest, which is data: where joints are, where leaves end, in which order a joint turns."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mixste.errors import MixsteError
from mixste.skeleton import Skeleton, load_skeleton, read_data

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Rest:
    """A skeleton at rest: joints (j 3) and ends (j 3; of leaves, relative to them), in statures; orders like "ZXY".

    `hinges` has the axis (3,) of every joint that is one.
    """

    skeleton: Skeleton
    joints: np.ndarray
    ends: dict[int, np.ndarray]
    orders: tuple[str, ...]
    hinges: dict[int, np.ndarray]

    @property
    def offsets(self) -> np.ndarray:
        """Each joint's place relative to its parent (j 3); the root's is zero."""
        parents = [joint if parent < 0 else parent for joint, parent in enumerate(self.skeleton.parents)]
        return self.joints - self.joints[parents]


@cache
def load_rest(name: str) -> Rest:
    """Return a skeleton's pose at rest; MixsteError if `rest.yaml` does not know all of its joints."""
    skeleton, data = load_skeleton(name), read_data("rest", FOLDER)
    unknown = [joint for joint in skeleton.joints if _left(joint) not in data["joints"]]
    if unknown:
        found = f"{len(unknown)} joints without a place in {FOLDER / 'rest.yaml'}: {', '.join(unknown[:5])}"
        raise MixsteError(
            f"no armature can be made of skeleton {name}", found=found, expected="joints named as h36m17's"
        )
    joints = np.array([_sided(joint, data["joints"][_left(joint)]) for joint in skeleton.joints])
    ends = {}
    for leaf in sorted(set(range(len(joints))) - set(skeleton.parents)):
        bone = joints[leaf] - joints[skeleton.parents[leaf]]
        own = data["ends"].get(_left(skeleton.joints[leaf]))
        along = data["other_ends"] * bone / np.linalg.norm(bone)
        ends[leaf] = along if own is None else _sided(skeleton.joints[leaf], own)
    orders = tuple(data["orders"].get(_left(joint), data["other_orders"]) for joint in skeleton.joints)
    hinges = {
        index: _sided(joint, data["hinges"][_left(joint)], mirror=(1.0, -1.0, -1.0))
        for index, joint in enumerate(skeleton.joints)
        if _left(joint) in data["hinges"]
    }
    return Rest(skeleton, joints, ends, orders, hinges)


def _left(joint: str) -> str:
    return f"l_{joint[2:]}" if joint.startswith("r_") else joint


def _sided(joint: str, place: list[float], mirror: tuple[float, float, float] = (-1.0, 1.0, 1.0)) -> np.ndarray:
    """A place mirrors to the other side; an axis that turns mirrors the other way round."""
    return np.array(place, dtype=np.float64) * (mirror if joint.startswith("r_") else 1.0)
