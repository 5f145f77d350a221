"""Pixels as a model takes them: its own joints, in screen units, gaps filled over time.

A missing joint gets its place from the frames before and after, with confidence 0. Masks as in pre-training, 0, 0, 0,
are worse: with 5 % of single joints hidden, the sample's fine-tuned model erred by 204 mm at those joints, by 104 with
gaps filled, and by 105 with nothing hidden; its pre-trained parent by 154 either way, in gaps of ten frames by 209 and
159.
"""

from collections.abc import Iterator

import numpy as np

from mixste.detections.layouts import likelier
from mixste.errors import counted
from mixste.geometry import normalise_screen
from mixste.joint_maps import map_skeleton
from mixste.lifting.pixels import BLOCK, Pixels, cleaned, within
from mixste.lifting.survey import Survey
from mixste.skeleton import Skeleton


class Prepared:
    """Keypoints of `skeleton` at the pixels' own fps: `read(first, last)` gives any frames of them.

    Reads all of the pixels once, a block at a time; MixsteError if nothing can be lifted. `survey` counts what is odd,
    `hidden` the joints that are missing, `absent` names those that are nowhere.
    """

    def __init__(self, pixels: Pixels, skeleton: Skeleton) -> None:
        self.pixels, self.skeleton = pixels, skeleton
        self.map = map_skeleton(pixels.skeleton.name, skeleton.name)
        self.survey, self.hidden, self.lying = Survey(), 0, 0
        ends = [self._surveyed(number) for number in pixels.numbers()]
        self.survey.check(pixels)
        first, last = (np.stack(edge) for edge in zip(*ends, strict=True))
        self._before, self._after = _last_known(last), _last_known(first[::-1])[::-1]
        self._never = np.isnan(self._after[0, :, 0])
        self._blocks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def absent(self) -> tuple[str, ...]:
        """The model's joints that no frame has."""
        return tuple(np.array(self.skeleton.joints)[self._never].tolist())

    def read(self, first: int, last: int) -> np.ndarray:
        """Return x, y in screen units and confidence of frames first to last (t j 3), float32, without gaps."""
        numbers = range(first // BLOCK, -(-last // BLOCK))
        self._blocks = {number: self._blocks[number] for number in numbers if number in self._blocks}
        for number in numbers:
            if number not in self._blocks:
                self._blocks[number] = self._fill(number)
        joined = np.concatenate([self._blocks[number] for number in numbers])
        start = numbers.start * BLOCK
        return joined[first - start : last - start]

    def _surveyed(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Count a block; return the first and the last known of every joint: frame, x, y (j 3), or NaN."""
        raw = self.pixels.raw(number)
        told = cleaned(raw, self.pixels.threshold)
        clean = within(told, self.pixels.size)
        self.survey.add(raw, told, clean, self.pixels)
        values = self._mapped(clean)
        seen = values[..., 2] > 0
        self.hidden += int((~seen).sum())
        self.lying += int(_lies(values, self.skeleton).sum())
        frames = np.stack([seen.argmax(axis=0), len(seen) - 1 - seen[::-1].argmax(axis=0)])
        joints = np.arange(seen.shape[1])
        places = values[frames, joints, :2].astype(np.float64)
        known = np.concatenate([(frames + number * BLOCK)[..., None], places], axis=-1)
        known[:, values[..., 2].max(axis=0) == 0] = np.nan
        return known[0], known[1]

    def _mapped(self, clean: np.ndarray) -> np.ndarray:
        """Return a block's keypoints as the model's joints, in screen units; a missing one is 0, 0, 0."""
        values = self.map.apply_keypoints(self.pixels.skeleton.joints, clean)
        seen = values[..., 2:] > 0
        screen = normalise_screen(values[..., :2], *self.pixels.size)
        return np.where(seen, np.concatenate([screen, values[..., 2:]], axis=-1), np.float32(0))

    def _fill(self, number: int) -> np.ndarray:
        values = self._mapped(self.pixels.block(number))
        frames = np.arange(len(values)) + number * BLOCK
        before, after = self._before[number], self._after[number + 1]
        for joint in np.flatnonzero((values[..., 2] == 0).any(axis=0) & ~self._never):
            seen = values[:, joint, 2] > 0
            inside = np.concatenate([frames[seen][:, None], values[seen, joint, :2]], axis=1)
            known = np.concatenate([before[None, joint], inside, after[None, joint]])
            known = known[~np.isnan(known[:, 0])]
            for axis in (0, 1):
                values[~seen, joint, axis] = np.interp(frames[~seen], known[:, 0], known[:, 1 + axis])
        for never in np.flatnonzero(self._never).tolist():
            values[:, never, :2] = values[:, self._stand_in(never), :2]
        return values

    def _stand_in(self, joint: int) -> int:
        """Return the nearest joint up the skeleton that some frame has, or any."""
        while self._never[joint] and self.skeleton.parents[joint] >= 0:
            joint = self.skeleton.parents[joint]
        return int(np.flatnonzero(~self._never)[0]) if self._never[joint] else joint

    def sentences(self) -> Iterator[str]:
        """Yield what a user should know: the layout's map, what is odd, and what was missing and filled."""
        yield from self.survey.sentences(self.pixels)
        named = self.pixels.skeleton.name
        if other := likelier(self.pixels.some(), named):
            yield f"As {other} these keypoints have much shorter bones than as {named}: likely they are {other}."
        if self.lying > len(self) / 2:
            yield "The trunk is nearer to level than upright in most frames: if it is not, x and y are swapped."
        if self.map.name != f"{self.skeleton.name} to {self.skeleton.name}":
            yield f"{self.map.name}: {'; '.join(_changes(self.map.report()))}."
        if self.absent:
            instead = "put where the next joint up the skeleton is, with confidence 0"
            yield f"No frame has {', '.join(self.absent)}: {instead}."
        yield from self._missing()

    def _missing(self) -> Iterator[str]:
        rest = self.hidden - len(self) * int(self._never.sum())
        if rest:
            total = len(self) * int((~self._never).sum())
            share = f"{rest} of {total} joints in single frames ({rest / total:.1%})"
            yield f"{share} were missing: filled in over time, with confidence 0."
        if self.survey.empty:
            seconds = self.survey.longest / self.pixels.fps
            row = f"at most {self.survey.longest} in a row ({seconds:.2f} s)"
            yield f"No person is in {counted(self.survey.empty, 'frame')}, {row}: what stands there is a guess."


def _last_known(edges: np.ndarray) -> np.ndarray:
    """Return for every block and one more the last of `edges` (blocks j 3) before it that is known, else NaN."""
    out = np.full((len(edges) + 1, *edges.shape[1:]), np.nan)
    for number, edge in enumerate(edges):
        out[number + 1] = np.where(np.isnan(edge), out[number], edge)
    return out


def _lies(values: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return the frames (t,) in which the way from the hips to the thorax is more across than up."""
    if not {"hip", "thorax"} <= set(skeleton.joints):
        return np.zeros(len(values), dtype=bool)
    hip, thorax = values[:, skeleton.index("hip")], values[:, skeleton.index("thorax")]
    across, up = np.abs(thorax - hip)[:, :2].T
    return (across > 2 * up) & (hip[:, 2] > 0) & (thorax[:, 2] > 0)


def _changes(report: dict[str, str]) -> Iterator[str]:
    """Yield in words how the joints that are not simply taken over are made, and first how many are."""
    same = sum(text == f"exact: {joint}" for joint, text in report.items())
    yield f"{counted(same, 'joint')} as they are"
    yield from (f"{joint} {text}" for joint, text in report.items() if text not in (f"exact: {joint}", "missing"))
    missing = [joint for joint, text in report.items() if text == "missing"]
    if missing:
        yield f"nothing for {', '.join(missing)}"
