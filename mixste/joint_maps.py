"""Joint maps, which are data: `skeletons/maps/NAME.yaml` says how the joints of the layout NAME become h36m17's.

A map of one's own is such a file anywhere. Every map reports of each joint whether it is exact, another joint near it,
averaged, synthesised or missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.skeleton import FOLDER, Skeleton, is_own, load_skeleton, read_data, read_yaml

MAPS = FOLDER / "maps"
OWN = "h36m17"  # what a layout of one's own is mapped to

Names = tuple[str, ...]


@dataclass(frozen=True)
class JointSource:
    """Where one joint comes from: the mean of `joints`, moved along the line between the means of `along`.

    It is moved by `metres`, and by `times` the line's length. `near`: the one joint is close by. No joints: missing.
    """

    joints: Names
    along: tuple[Names, Names] | None = None
    metres: float = 0.0
    times: float = 0.0
    near: bool = False

    @property
    def groups(self) -> tuple[Names, ...]:
        """The joints whose means it is made of: the place, then both ends of the line, if there is one."""
        return (self.joints, *(self.along or ()))

    @property
    def needs(self) -> set[str]:
        """The names of all joints it is made of."""
        return {name for names in self.groups for name in names}

    def place(self, joints: Sequence[str], positions: np.ndarray) -> np.ndarray:
        """Return its positions (t 3) from the named joints' (t k 3): NaN if it is missing or a line has no length."""
        if not self.joints:
            return np.full_like(positions[:, 0], np.nan)
        means = [positions[:, [joints.index(name) for name in names]].mean(axis=1) for names in self.groups]
        return self._moved(*means)

    def keypoint(self, joints: Sequence[str], keypoints: np.ndarray) -> np.ndarray:
        """Return its x, y, confidence (t 3) from the named joints' (t k 3); zeros if it is missing."""
        if not self.joints:
            return np.zeros_like(keypoints[:, 0])
        means = [_mean_of_seen(keypoints[:, [joints.index(name) for name in names]]) for names in self.groups]
        confidence = np.min([mean[:, 2] for mean in means], axis=0)
        return np.concatenate([self._moved(*(mean[:, :2] for mean in means)), confidence[:, None]], axis=1)

    def _moved(self, place: np.ndarray, *ends: np.ndarray) -> np.ndarray:
        if not ends:
            return place
        line = ends[1] - ends[0]
        if self.metres:
            with np.errstate(invalid="ignore", divide="ignore"):
                place = place + line * (self.metres / np.linalg.norm(line, axis=1, keepdims=True))
        return place + line * self.times

    def __str__(self) -> str:
        names = " and ".join(self.joints)
        if not self.joints:
            return "missing"
        if self.along is None:
            kind = "near" if self.near else "exact" if len(self.joints) == 1 else "averaged"
            return f"{kind}: {names}"
        amount = f"{self.metres:g} m along" if self.metres else f"{self.times:g} times"
        start, end = (" and ".join(names) for names in self.along)
        return f"synthesised: {names} moved by {amount} {start} to {end}"


def _mean_of_seen(keypoints: np.ndarray) -> np.ndarray:
    """Return the mean (t 3) of those of (t k 3) that have confidence, with their least times their share of all."""
    seen = keypoints[..., 2] > 0
    used = seen | ~seen.any(axis=1, keepdims=True)
    place = np.where(used[..., None], keypoints[..., :2], 0).sum(axis=1) / used.sum(axis=1, keepdims=True)
    confidence = np.where(used, keypoints[..., 2], np.inf).min(axis=1) * seen.mean(axis=1)
    return np.concatenate([place, confidence[:, None]], axis=1).astype(keypoints.dtype)


@dataclass(frozen=True)
class JointMap:
    """How named joints become those of `skeleton`: one source a target joint, in the skeleton's order."""

    name: str
    skeleton: Skeleton
    sources: tuple[JointSource, ...]

    @property
    def missing(self) -> Names:
        """The skeleton's joints that nothing is there for."""
        return tuple(
            joint for joint, source in zip(self.skeleton.joints, self.sources, strict=True) if not source.joints
        )

    def apply(self, joints: Sequence[str], positions: np.ndarray) -> np.ndarray:
        """Return (t j 3) from named joints' positions (t k 3), both metres; a missing joint is NaN.

        MixsteError if a joint that the map names is not among them.
        """
        self._check(joints, positions)
        return np.stack([source.place(joints, positions) for source in self.sources], axis=1)

    def apply_keypoints(self, joints: Sequence[str], keypoints: np.ndarray) -> np.ndarray:
        """Return (t j 3) from detections (t k 3) of x, y, confidence, in any unit of the image.

        A joint is as sure as the least sure of those it is made of; a missing one is 0, 0 with confidence 0. Of a mean
        only joints with confidence count, and where one of two has none, that of the mean is half the other's.
        MixsteError if a joint that the map names is not among them, or if the map moves one by metres.
        """
        self._check(joints, keypoints)
        metric = [joint for joint, made in zip(self.skeleton.joints, self.sources, strict=True) if made.metres]
        if metric:
            found, expected = f"{', '.join(metric)} moved by metres", "moves by times a length: an image has no metres"
            raise MixsteError(f"joint map {self.name} does not fit detections", found=found, expected=expected)
        return np.stack([source.keypoint(joints, keypoints) for source in self.sources], axis=1)

    def _check(self, joints: Sequence[str], positions: np.ndarray) -> None:
        absent = sorted(set().union(*(source.needs for source in self.sources)) - set(joints))
        if absent:
            raise MixsteError(
                f"joint map {self.name} does not fit",
                found=f"no joint {', '.join(absent)} among {', '.join(joints)}",
                expected="every joint that the map names",
                mend="name another map in joint_map, or write your own (see mixste/skeletons/maps/README.md)",
            )
        if positions.ndim != 3 or positions.shape[1:] != (len(joints), 3):
            expected = f"frames x {len(joints)} joints x 3: {', '.join(joints)}"
            raise MixsteError(f"joint map {self.name} does not fit", found=positions.shape, expected=expected)

    def onto(self, skeleton: Skeleton) -> "JointMap":
        """Return the map for a skeleton whose joints are among its own; MixsteError if one is not."""
        absent = [joint for joint in skeleton.joints if joint not in self.skeleton.joints]
        if absent:
            found = f"no {', '.join(absent)} in the map"
            raise MixsteError(
                f"joint map {self.name} cannot make {skeleton.name}", found=found, mend="complete the map"
            )
        return JointMap(self.name, skeleton, tuple(self.sources[self.skeleton.index(name)] for name in skeleton.joints))

    def report(self) -> dict[str, str]:
        """Return of every joint whether it is exact, near, averaged, synthesised or missing, and from what."""
        return {joint: str(source) for joint, source in zip(self.skeleton.joints, self.sources, strict=True)}


@cache
def map_skeleton(source: str, target: str) -> JointMap:
    """Return the map between any two layouts `skeletons/NAME.yaml`; what the source has nothing for is missing.

    A joint comes from the source's own map where that has it, else from the joint of the same name. A layout of one's
    own, a YAML file, has its map in itself, under `h36m17`, or none.
    """
    start, end = load_skeleton(source), load_skeleton(target)
    known = {joint: JointSource((joint,)) for joint in start.joints}
    own = _own_map(source) if source != target else None
    if own is not None:
        known |= dict(zip(own.skeleton.joints, own.sources, strict=True))
    return JointMap(f"{source} to {target}", end, tuple(known.get(joint, JointSource(())) for joint in end.joints))


def _own_map(source: str) -> JointMap | None:
    if not is_own(source):
        return load_joint_map(source) if (MAPS / f"{source}.yaml").is_file() else None
    joints = read_yaml(Path(source)).get(OWN)
    return None if joints is None else _joint_map(source, source, {"skeleton": OWN, "joints": joints})


def load_joint_map(name: str | Path) -> JointMap:
    """Return `mixste/skeletons/maps/NAME.yaml`, or the map in a YAML file; MixsteError if it is missing or wrong."""
    tree = read_yaml(Path(name)) if is_own(name) else read_data(str(name), MAPS)
    return _joint_map(name, Path(name).stem if is_own(name) else str(name), tree)


def _joint_map(name: str | Path, short: str, tree: dict[str, Any]) -> JointMap:
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
        case None:
            return JointSource(())
        case str():
            return JointSource((tree,))
        case {"near": str() as other, **rest} if not rest:
            return JointSource((other,), near=True)
        case {"mean": [str(), str(), *_] as names, **rest} if not rest and _names(names):
            return JointSource(_names(names))
        case {"from": start, "along": [one, two], **amount} if _names(start) and _names(one) and _names(two):
            match amount:
                case {"metres": float() | int() as metres, **rest} if not rest:
                    return JointSource(_names(start), (_names(one), _names(two)), metres=float(metres))
                case {"times": float() | int() as times, **rest} if not rest:
                    return JointSource(_names(start), (_names(one), _names(two)), times=float(times))
    raise MixsteError(
        f"joint map {name} is wrong at {joint}",
        found=tree,
        expected="NAME, null, {near: NAME}, {mean: [NAME, NAME]}, or "
        "{from: NAMES, along: [NAMES, NAMES], metres: NUMBER or times: NUMBER}",
    )


def _names(value: Any) -> Names:
    """Return the names of one joint or of a list of them; none if it is neither."""
    names = [value] if isinstance(value, str) else value
    good = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if good else ()
