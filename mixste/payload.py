"""Keypoints that are asked about and motion that is answered, as JSON; whichever server stands between.

A request is `{"inputs": KEYPOINTS, "params": {"skeleton": ..., "fps": ..., "image_size": [width, height]}}`, KEYPOINTS
being `t j 2|3` as `Lifter.lift` takes them, null for what is missing. The answer is a motion; `answer` says its keys.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from mixste.errors import MixsteError
from mixste.lifter import THRESHOLD, Lifter, Tell
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig
from mixste.motion import Motion
from mixste.settings.rules import Rule, Settings, SettingsError, Share, one_of
from mixste.settings.typed import build
from mixste.skeleton import known_skeletons, load_skeleton

FORM = '{"inputs": [[[x, y, confidence], ...], ...], "params": {"skeleton": ..., "fps": ..., "image_size": [w, h]}}'
_DECIMALS = 6  # of a metre
_TOLD = 1000  # characters of a part of an error, which may quote what was sent
_TWO = Rule("two numbers: width and height in pixels", lambda value: len(value) == 2)
_KNOWN = one_of(*known_skeletons())  # not a file of one's own: whoever asks must not have the server read its files


@dataclass(frozen=True)
class Asked(Settings):
    """What a request says of its keypoints, as `Lifter.lift` takes it, and whether to average with the mirror image."""

    skeleton: Annotated[str, _KNOWN]
    fps: float
    image_size: Annotated[tuple[float, ...], _TWO]
    threshold: Share = THRESHOLD
    flip: bool = True


class Answering:
    """A model that answers requests; `options` are `Lifter`'s, flip apart. Any number of threads may ask at once."""

    def __init__(self, model: PoseModel, config: ModelConfig, **options: Any) -> None:
        self.config = config
        mirroring = Lifter(model, config, flip=True, **options)
        self._lifters = {True: mirroring, False: Lifter(mirroring.model, config, flip=False, **options)}

    def __call__(self, inputs: Any, params: Any, tell: Tell | None = None) -> dict[str, Any]:
        """Lift the keypoints of a request; MixsteError says what is wrong with it."""
        asked = read_params(params)
        motion = self._lifters[asked.flip].lift(
            read_keypoints(inputs),
            skeleton=asked.skeleton,
            fps=asked.fps,
            image_size=(asked.image_size[0], asked.image_size[1]),
            threshold=asked.threshold,
            tell=tell,
        )
        return answer(motion)


class Deadline:
    """Tells a lifting that goes on to stop: after so many seconds, or as soon as `stopped` is set."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.stopped = False

    @property
    def left(self) -> float:
        """Seconds that are left, 0 or more."""
        return max(0.0, self._until - time.monotonic())

    def __call__(self, done: int = 0, total: int = 0) -> None:
        """Raise TimeoutError if it is time to stop."""
        if self.stopped or not self.left:
            raise TimeoutError(f"stopped after {done} of {total} frames")


def read_request(body: bytes) -> tuple[Any, Any]:
    """Return inputs and params of a request's JSON; MixsteError if it is none."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MixsteError("the request's body is no JSON", found=str(error), expected=FORM) from error
    if not isinstance(tree, dict) or not {"inputs"} <= tree.keys() <= {"inputs", "params"}:
        found = f"the keys {', '.join(map(repr, tree))}" if isinstance(tree, dict) else type(tree).__name__
        raise MixsteError("cannot read this request", found=_short(found), expected=FORM)
    return tree["inputs"], tree.get("params")


def read_params(tree: Any) -> Asked:
    """Return what a request's params say; MixsteError names everything that is missing, wrong or unknown."""
    if not isinstance(tree, Mapping | None):
        raise MixsteError("params cannot be used", found=_short(repr(tree)), expected=f"an object, as in {FORM}")
    given = {name: value for name, value in (tree or {}).items() if value is not None and value != []}
    try:
        return build(Asked, given, "params")
    except SettingsError as error:
        found = "; ".join(f"{one.key}: {_short(repr(one.found))}" for one in error.problems)
        expected = "; ".join(f"{one.key}: {one.expected}" for one in error.problems)
        raise MixsteError("params cannot be used", found=found, expected=expected) from error


def read_keypoints(inputs: Any) -> np.ndarray:
    """Return a request's keypoints as an array, null as NaN; MixsteError if they are not regular lists of numbers."""
    try:
        values = np.asarray(inputs)
        if values.dtype.kind == "O":
            values = values.astype(np.float64)
        if values.dtype.kind in "fiu":
            return values
        found = "text" if values.dtype.kind == "U" else f"{values.dtype.name} values"
    except (ValueError, TypeError, OverflowError) as error:
        found = str(error)
    raise MixsteError(
        "inputs are no array of numbers",
        found=_short(found),
        expected="a list of frames, each a list of joints, each x, y and, if there is one, confidence",
    )


def answer(motion: Motion) -> dict[str, Any]:
    """Return a motion as JSON: joints `t j 3` to six decimals, and all that it takes to use them."""
    return {
        "joints": motion.joints.astype(np.float64).round(_DECIMALS).tolist(),
        "joint_names": list(load_skeleton(motion.skeleton).joints),
        "skeleton": motion.skeleton,
        "fps": motion.fps,
        "unit": motion.unit,
        "frame": motion.frame,
        "rooted": motion.rooted,
        "report": list(motion.report),
    }


def refusal(code: str, error: MixsteError) -> dict[str, str]:
    """Return an error as JSON: its code, its message, and what, found, expected, mend as far as there are any."""
    parts = {name: _short(part) for name, part in error.parts.items()}
    return {"error_code": code, "message": _short(str(error)), **parts}


def _short(text: str) -> str:
    return text if len(text) <= _TOLD else f"{text[:_TOLD]} ... ({len(text)} characters)"
