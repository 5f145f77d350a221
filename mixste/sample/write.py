"""Write the sample: FOLDER/SUBJECT/ACTION.bvh for every subject and action, and a README that says what it is."""

from pathlib import Path

import numpy as np

from mixste.captures.formats.bvh import Bvh, write_bvh
from mixste.errors import MixsteError
from mixste.files.whole import whole_folder
from mixste.sample.actions import ACTIONS
from mixste.sample.body import FPS, make_body
from mixste.sample.chance import Chance
from mixste.sample.root import place

SUBJECTS = tuple(f"S{number}" for number in range(1, 9))
_TITLE = "This is synthetic motion, made by `python -m pipelines.sample`."
README = """{title} Nobody was recorded.

{subjects} subjects with their own bone lengths do {actions} things each: {names}.
SUBJECT/ACTION.bvh: centimetres, Y up, facing +Z at rest, {fps:g} frames a second, floor at Y = 0.
How it is made and what it is not good for: docs/data-sample.md in the project.
Results obtained with it are results on synthetic data, and must be called so.

Licence: CC0 1.0 Universal (public domain), https://creativecommons.org/publicdomain/zero/1.0/
"""


def write_sample(folder: Path, seed: int = 0) -> list[Path]:
    """Write the whole sample in place of `folder` and return its files; the same seed gives the same bytes."""
    _refuse_others(folder)
    with whole_folder(folder) as partial:
        names = [f"{subject}/{action}.bvh" for subject in SUBJECTS for action in ACTIONS]
        for name in names:
            subject, action = name.removesuffix(".bvh").split("/")
            write_bvh(partial / name, make_trial(subject, action, seed))
        facts = {
            "title": _TITLE,
            "subjects": len(SUBJECTS),
            "actions": len(ACTIONS),
            "names": ", ".join(ACTIONS),
            "fps": FPS,
        }
        (partial / "README.txt").write_text(README.format(**facts), encoding="utf-8", newline="\n")
    return [folder / name for name in (*names, "README.txt")]


def make_trial(subject: str, action: str, seed: int = 0) -> Bvh:
    """Make one trial of 6-8 s (cm, Y up, 60 frames a second) of one of SUBJECTS doing one of ACTIONS."""
    who, what = SUBJECTS.index(subject), list(ACTIONS).index(action)
    body = make_body(Chance(seed, who))
    chance = Chance(seed, who, what + 1)
    seconds = np.arange(round(chance.between(6.0, 8.0) * FPS)) / FPS
    performance = ACTIONS[action](chance, seconds)
    return place(body, performance.angles, performance.standing)


def _refuse_others(folder: Path) -> None:
    """The folder is replaced as a whole, so it must be absent, empty or an earlier sample."""
    readme = folder / "README.txt"
    ours = readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(_TITLE)
    if folder.exists() and not ours and (folder.is_file() or any(folder.iterdir())):
        raise MixsteError(
            f"cannot write the sample into {folder}",
            found="something else there",
            expected="a new or empty folder, or an earlier sample",
            mend="name another folder",
        )
