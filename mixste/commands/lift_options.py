"""The options of `mixste lift`, and what they alone say will not work."""

import argparse
from pathlib import Path

from mixste.commands.terminal import layouts, positive, size
from mixste.errors import MixsteError
from mixste.files.whole import check_ending, check_place
from mixste.registry import CHAMPION
from mixste.zoo import any_model

# What the input will say and the options do not, for checks that take it but do not depend on it.
ANY_SIZE = (1000, 1000)  # for a camera whose form alone is looked at


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe what is read, what reads it, and what becomes of the motion."""
    option = parser.add_argument
    option(
        "input",
        type=Path,
        metavar="INPUT",
        help="a video; or OpenPose's folder, AlphaPose, COCO, MMPose JSON, npz, Parquet, DeepLabCut, SLEAP",
    )
    option(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        action="append",
        required=True,
        help=".bvh .npz .csv .parquet .html .mp4 or .gif, as often as wanted",
    )
    option(
        "--model",
        default=CHAMPION,
        help=f"{any_model()} (default: %(default)s)",
    )
    _add_input(parser)
    _add_video(parser)
    _add_result(parser)
    option("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default)")
    option("--precision", choices=("fp32", "bf16", "int8"), default="fp32", help="of the model (default: %(default)s)")
    option("--no-flip", dest="flip", action="store_false", help="do not average with the mirrored input: half the time")


def _add_input(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what the input does not say").add_argument
    skeleton = option("--skeleton", metavar="NAME", help="layout of the keypoints, as body25, coco17, or its own .yaml")
    skeleton.completer = layouts  # type: ignore[attr-defined]
    option("--fps", type=positive, metavar="N", help="frames per second")
    option("--image-size", type=size, metavar="WxH", help="pixels of the video, as 1920x1080")
    option("--person", default="1", metavar="N|all", help="1: who is seen most (default); all: a file for each, FILE-N")
    option("--all-people", action="store_true", help="keep doubles, flickers and who stands still in the background")
    option("--threshold", type=float, metavar="C", help="confidence below which a keypoint is missing (default: 0.05)")


def _add_video(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("people in a video").add_argument
    option(
        "--detector",
        default="rtmlib",
        metavar="NAME",
        help="rtmlib (default), rtmlib-light, rtmlib-large, or MODULE:NAME of your own",
    )
    option("--weights", type=Path, metavar="FOLDER", help="of rtmlib's weights (default: MIXSTE_WEIGHTS)")
    option(
        "--save-keypoints", type=Path, metavar="FILE", help="what was found, Parquet: to lift again without the video"
    )


def _add_result(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what becomes of the motion, in this order").add_argument
    option("--smooth", type=positive, metavar="HZ", help="take out what is faster, as 6")
    option("--height", type=positive, metavar="M", help="scale to a person of this height, metres")
    option(
        "--camera", metavar="CAMERA", help="find where the root was: FX,FY,CX,CY in pixels, a FILE of them, or 60deg"
    )
    option("--smooth-root", type=positive, metavar="HZ", help="the root's path, whose depth is noisy, as 2")
    option("--z-up", action="store_true", help="turn camera axes to Z up; the camera is taken to be level")
    option("--ground", action="store_true", help="Z up, feet on the floor and still while they stand")


def check(options: argparse.Namespace) -> None:
    """Refuse what the options alone say will not work."""
    from mixste.lifting.camera import read_camera
    from mixste.lifting.pixels import confidence, frame_rate
    from mixste.motion import check_height
    from mixste.motion_files import writer_of

    for path in options.output:
        writer_of(path)
    if options.save_keypoints:
        check_ending(options.save_keypoints, ".parquet")
        check_place(options.save_keypoints)
    check_places(options, options.output)
    if options.person != "all" and not (options.person.isdecimal() and int(options.person)):
        expected = "a number, from 1 on, or all"
        raise MixsteError("there is no such person to lift", found=f"--person {options.person}", expected=expected)
    if options.smooth_root and not options.camera:
        raise MixsteError("the root has no path", found="--smooth-root without --camera", mend="give --camera")
    if options.height:
        check_height(options.height)
    if options.camera:
        read_camera(options.camera, options.image_size or ANY_SIZE)
    confidence(threshold(options))
    if options.fps:
        check_cutoffs(options, frame_rate(options.fps))


def check_places(options: argparse.Namespace, outputs: list[Path]) -> None:
    """Refuse outputs where no file can be written, or that would take the place of the input or the keypoints."""
    keypoints = options.save_keypoints
    for path in outputs:
        check_place(path)
        if keypoints and path.resolve() == keypoints.resolve():
            raise MixsteError(f"cannot write {path}", found="--save-keypoints writes there", mend="name another file")
    for path in (*outputs, *([keypoints] if keypoints else [])):
        if path.exists() and options.input.exists() and path.samefile(options.input):
            raise MixsteError(f"cannot write {path}", found="the input is there", mend="name another file")


def check_cutoffs(options: argparse.Namespace, fps: float) -> None:
    """Refuse to smooth with a cutoff that is not below half of the frame rate."""
    import numpy as np

    from mixste.refining.smoothing import low_pass

    for cutoff in (options.smooth, options.smooth_root):
        if cutoff:
            low_pass(np.zeros((1, 1)), fps, cutoff)


def threshold(options: argparse.Namespace) -> float:
    """Return the confidence below which a keypoint is missing."""
    from mixste.lifter import THRESHOLD

    return THRESHOLD if options.threshold is None else float(options.threshold)
