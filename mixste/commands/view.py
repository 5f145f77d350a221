"""`mixste view`: a motion file as a page for the browser."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.commands.terminal import command, layouts, say, whole
from mixste.errors import MixsteError, counted
from mixste.files.whole import check_ending, check_place

if TYPE_CHECKING:
    import numpy as np

    from mixste.detections import Track
    from mixste.motion import Motion


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "view",
        "make a page of a motion that any browser opens: turn it, play it, compare it",
        "The page is one file and needs no network.",
        "mixste view walk.npz --open",
        "mixste view lifted.parquet -o compared.html --truth measured.parquet",
        "mixste view walk.npz --keypoints openpose_json/",
    )
    option = parser.add_argument
    option("file", type=Path, metavar="FILE", help="a motion that `mixste lift` wrote: .npz, .parquet or .csv")
    option("-o", "--output", type=Path, metavar="PAGE", help="where to write (default: FILE with the ending .html)")
    option("--truth", type=Path, metavar="FILE", help="a motion of the same frames to lay over it, with the errors")
    option("--keypoints", type=Path, metavar="INPUT", help="the 2D it was lifted from, as `mixste lift` reads it")
    option("--person", type=whole, default=1, metavar="N", help="who of them: 1 is who is seen most (default)")
    skeleton = option("--skeleton", metavar="NAME", help="layout of the keypoints, if not the one recognised")
    skeleton.completer = layouts  # type: ignore[attr-defined]
    option("--title", default="", help="the page's heading (default: the file's name)")
    option("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the page; MixsteError for a file that is no motion, or ground truth or keypoints that are of another."""
    from mixste.motion import Motion
    from mixste.viewer.page import write_html

    page = options.output or options.file.with_suffix(".html")
    check_ending(page, ".html")
    check_place(page)
    motion = Motion.load(options.file)
    joints = None
    if options.truth is not None:
        joints, said = _truth(motion, Motion.load(options.truth))
        motion = motion.changed(*said)
    track = None if options.keypoints is None else _track(options, motion)
    write_html(
        page,
        motion,
        keypoints=None if track is None else track.keypoints,
        keypoint_skeleton=None if track is None else track.skeleton,
        truth=joints,
        title=options.title or options.file.stem,
    )
    say(f"written to {page}")
    if options.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _track(options: argparse.Namespace, motion: "Motion") -> "Track":
    """Return the person of the keypoints that the motion is of; MixsteError if theirs are other frames."""
    from mixste.detections import read_detections, tracks

    people = tracks(read_detections(options.keypoints, skeleton=options.skeleton, fps=motion.fps))
    if options.person > len(people):
        expected = f"1 to {len(people)}"
        raise MixsteError("there is no such person", found=f"--person {options.person}", expected=expected)
    track = people[options.person - 1]
    if len(track.keypoints) != len(motion.joints):
        found = f"{counted(len(track.keypoints), 'frame')} of {track.name}"
        mend = "name another with --person"
        raise MixsteError(
            "these keypoints are of another motion", found=found, expected=f"{len(motion.joints)}", mend=mend
        )
    return track


def _truth(motion: "Motion", truth: "Motion") -> "tuple[np.ndarray, tuple[str, ...]]":
    """Return the ground truth's joints where they are to be drawn, and what has to be said of that."""
    from mixste.skeleton import load_skeleton

    _refuse_other(motion, truth)
    if motion.rooted or not truth.rooted:
        return truth.joints, ()
    root = load_skeleton(motion.skeleton).root
    moved = truth.joints - truth.joints[:, [root]] + motion.joints[:, [root]]
    return moved, ("The ground truth is relative to its root: it is shown where the motion's root is.",)


def _refuse_other(motion: "Motion", truth: "Motion") -> None:
    """Raise MixsteError unless two motions have the same joints, axes and unit, and as many frames at the same rate."""
    names = ("skeleton", "frame", "unit", "fps")
    pairs = {name: (getattr(truth, name), getattr(motion, name)) for name in names}
    pairs["frames"] = (len(truth.joints), len(motion.joints))
    wrong = [f"{name} {own}, not {wanted}" for name, (own, wanted) in pairs.items() if own != wanted]
    if wrong:
        raise MixsteError("this ground truth is of another motion", found="; ".join(wrong), expected="the same")
